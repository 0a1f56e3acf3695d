"""Tokenizing ahead of training: as several processes, as tasks of a cluster, in as many sittings as it takes."""

import logging
import os
import time
from dataclasses import asdict, dataclass
from typing import Any

from decaystudy.data.cache.build import Tokenization, fill, needed
from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.cache.shards import Damaged
from decaystudy.data.config import DataConfig
from decaystudy.data.registry import find_source
from decaystudy.data.stream.order import TokenStream
from decaystudy.data.stream.validation import ValidationSet
from decaystudy.errors import UserError

log = logging.getLogger("decaystudy")

REPORT_SECONDS = 10.0


@dataclass(frozen=True)
class Prepared:
    """What a cache holds."""

    folder: str
    source: str
    revision: str
    tokenizer: str
    shards: int
    shards_made: int
    documents: int
    tokens: int
    bytes: int
    repaired: int
    validation_sequences: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        share = "all" if self.shards_made == self.shards else f"{self.shards_made} of {self.shards}"
        return (
            f"{self.source} at revision {self.revision} under {self.tokenizer}: {share} shards, {self.documents:,} "
            f"documents, {self.tokens:,} tokens, {self.validation_sequences:,} validation sequences, in {self.folder}"
        )


def prepare(config: DataConfig, tokens: int | None = None, workers: int | None = None, seed: int = 0) -> Prepared:
    """Tokenize the source into the cache, until it holds ``tokens`` tokens or (None) whole.

    ``workers`` processes share the work (None: one for every eight cores); the same command on other machines of a
    cluster shares it further, and after an interruption it continues with what is missing. Shards that were made before
    are compared with their checksums first. With ``tokens``, the shards are those that a run with ``seed`` reads first;
    a run with another seed tokenizes what it lacks when it needs it. Raises UserError.
    """
    if tokens is not None and tokens < 1:
        raise UserError(f"--tokens must be at least 1, not {tokens}")
    if tokens is None and find_source(config.source).endless:
        raise UserError(f"the source {config.source} makes any number of tokens: say how many, as in --tokens 10M")
    cores = os.cpu_count() or 1
    workers = max(1, cores // 8) if workers is None else workers
    if workers < 1:
        raise UserError(f"--workers must be at least 1, not {workers}")
    corpus = Corpus.open(config)
    repaired = discard_damaged(corpus)
    stream = TokenStream(
        corpus, seed=seed, sequence_length=config.sequence_length, held_out_share=config.untrained_share
    )
    order = stream.shard_order(0).tolist()
    if len(corpus.shards.missing()) <= 1:
        fill(corpus, order, tokens)
    else:
        _fill_apart(config, corpus, order, tokens, workers, max(1, cores // workers))
    validation = ValidationSet.of(corpus, config)
    made = [counts for shard in range(len(corpus)) if (counts := corpus.shards.counts(shard))]
    return Prepared(
        folder=str(corpus.shards.folder),
        source=config.source,
        revision=corpus.source.revision,
        tokenizer=corpus.tokenizer.name,
        shards=len(corpus),
        shards_made=len(made),
        documents=sum(counts["documents"] for counts in made),
        tokens=sum(counts["tokens"] for counts in made),
        bytes=sum(counts["bytes"] for counts in made),
        repaired=repaired,
        validation_sequences=validation.count,
    )


def discard_damaged(corpus: Corpus) -> int:
    """Compare every shard with its checksums and take the damaged ones for not made; returns how many were."""
    damaged = 0
    made = sorted(set(range(len(corpus))) - set(corpus.shards.missing()))
    started = time.monotonic()
    for done, shard in enumerate(made, 1):
        try:
            corpus.shards.index(shard)
            corpus.shards.tokens(shard)
        except (Damaged, FileNotFoundError) as damage:
            log.warning("%s: it is made again", damage if isinstance(damage, Damaged) else f"{damage} says nothing")
            corpus.shards.forget(shard)
            damaged += 1
        if time.monotonic() - started > REPORT_SECONDS:
            log.info("compared %d of %d shards with their checksums", done, len(made))
            started = time.monotonic()
    return damaged


def _fill_apart(
    config: DataConfig, corpus: Corpus, order: list[int], tokens: int | None, workers: int, threads: int
) -> None:
    """Let ``workers`` processes make the shards, and tell how far they are."""
    made: dict[int, int] = {}
    left = needed(corpus, order, tokens, made)
    before, started, reported = sum(made.values()), time.monotonic(), time.monotonic()
    processes = [
        Tokenization(config, order, tokens, alone=False, threads=threads) for _ in range(min(workers, len(left)))
    ]
    try:
        while any(process.running() for process in processes):
            time.sleep(0.1)
            failed = next((process for process in processes if process.failed()), None)
            if failed is not None:
                raise UserError(failed.message())
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                left = needed(corpus, order, tokens, made)
                total = sum(made.values())
                log.info(
                    "%s: %d shards and %s tokens are made, %d shards are to come, at %.2f million tokens per second",
                    corpus.source.label,
                    len(made),
                    f"{total:,}",
                    len(left),
                    (total - before) / (reported - started) / 1e6,
                )
    finally:
        for process in processes:
            process.stop()
