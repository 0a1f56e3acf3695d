"""What a source looks like as tokens: counts, lengths, a few samples, and a hash of the training stream."""

import hashlib
from typing import Any

import numpy as np

from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.config import DataConfig
from decaystudy.data.draws import permutation
from decaystudy.data.stream.order import TokenStream
from decaystudy.data.stream.validation import ValidationSet
from decaystudy.errors import UserError

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
SAMPLES = 3
SAMPLE_TOKENS = 60


def stats(config: DataConfig, seed: int = 0, tokens: int = 1_000_000) -> dict[str, Any]:
    """Facts about the part of the source that is tokenized; the first ``tokens`` tokens of the stream are, after this.

    ``stream_hash`` is that of ``stream_hash`` below, over the first ``tokens`` tokens that a run with ``seed`` sees.
    """
    if tokens < 1:
        raise UserError(f"--tokens must be at least 1, not {tokens}")
    corpus = Corpus.open(config)
    stream = TokenStream(
        corpus, seed=seed, sequence_length=config.sequence_length, held_out_share=config.untrained_share
    )
    hashed = stream_hash(stream, tokens)
    validation = ValidationSet.of(corpus, config)
    missing = set(corpus.shards.missing())
    made = [shard for shard in range(len(corpus)) if shard not in missing]
    counts = [corpus.shards.counts(shard) or {} for shard in made]
    lengths = np.concatenate([corpus.index(shard).lengths for shard in made])
    total = sum(count["tokens"] for count in counts)
    return {
        "source": config.source,
        "revision": corpus.source.revision,
        "tokenizer": corpus.tokenizer.name,
        "vocabulary": corpus.tokenizer.vocab_size,
        "folder": str(corpus.shards.folder),
        "shards": len(corpus),
        "shards_made": len(made),
        "documents": len(lengths),
        "tokens": total,
        "bytes_per_token": sum(count["bytes"] for count in counts) / max(1, total - len(lengths)),
        "tokens_per_document": {f"{q:g}": int(np.quantile(lengths, q, method="nearest")) for q in QUANTILES},
        "validation_documents": validation.documents,
        **({} if validation.groups is None else {"validation_groups": validation.groups}),
        "validation_sequences": validation.count,
        "validation_unigram_entropy": validation.unigram_entropy(),
        "samples": samples(corpus, made[0], seed),
        "seed": seed,
        "hashed_tokens": tokens,
        "stream_hash": hashed,
    }


def stream_hash(stream: TokenStream, tokens: int) -> str:
    """SHA-256 of the first ``tokens`` tokens of a stream, each as four bytes, the least first."""
    running = hashlib.sha256()
    for start in range(0, tokens, 2**20):
        running.update(stream.tokens(start, min(tokens, start + 2**20)).astype("<u4").data)
    return running.hexdigest()


def samples(corpus: Corpus, shard: int, seed: int) -> list[str]:
    """The beginnings of a few documents, decoded."""
    index, content = corpus.index(shard), corpus.tokens(shard)
    texts = []
    for document in permutation(len(index.ends), seed)[:SAMPLES].tolist():
        start, stop = int(index.starts[document]), int(index.ends[document])
        cut = min(stop, start + SAMPLE_TOKENS)
        texts.append(corpus.tokenizer.decode(content[start:cut].tolist()) + ("" if cut == stop else " …"))
    return texts


def describe(facts: dict[str, Any]) -> str:
    """The facts as lines for a terminal."""
    part = "" if facts["shards_made"] == facts["shards"] else f" ({facts['shards_made']} of {facts['shards']} shards)"
    lengths = ", ".join(f"{float(q):.0%} {n:,}" for q, n in facts["tokens_per_document"].items())
    groups = f" of {facts['validation_groups']:,} groups" if "validation_groups" in facts else ""
    held_out = f"{facts['validation_documents']:,} documents{groups}, {facts['validation_sequences']:,} sequences"
    lines = [
        f"source        {facts['source']} at revision {facts['revision']}",
        f"tokenizer     {facts['tokenizer']}, {facts['vocabulary']:,} tokens",
        f"cache         {facts['folder']}",
        f"documents     {facts['documents']:,}{part}",
        f"tokens        {facts['tokens']:,}, {facts['bytes_per_token']:.2f} bytes of text each",
        f"tokens per document, by quantile: {lengths}",
        f"held out      {held_out}, unigram entropy {facts['validation_unigram_entropy']:.3f} nats per token",
        f"stream hash   {facts['stream_hash']} (SHA-256 of the first {facts['hashed_tokens']:,} tokens, "
        f"seed {facts['seed']})",
    ]
    lines += [f"sample {i}      {text!r}" for i, text in enumerate(facts["samples"], 1)]
    return "\n".join(lines)
