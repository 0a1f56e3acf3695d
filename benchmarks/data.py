"""How fast tokens come: ``python benchmarks/data.py`` prints three tables.

Loading reads the offline corpus from its cache. Tokenizing compares the whole first pass (reading files, tokenizing,
hashing, writing shards) with the tokenizers library alone on the same text and threads. Starting opens a synthetic
cache of 10 billion tokens, in the middle of its second epoch, in a process of its own.
"""

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from decaystudy.data import DataConfig, DataModule
from decaystudy.data.cache.build import fill
from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.cache.shards import ShardFolder, checksum
from decaystudy.data.sources.base import Part

MEGA = 1e6


def loading(seconds: float) -> None:
    """Tokens a second from the cache, in batches of 8."""
    print("loading from cache, batches of 8 sequences")
    print(f"{'length':>8} {'workers':>8} {'M tokens/s':>11}")
    for length in (256, 2048):
        for workers in (0, 1, 2):
            config = DataConfig(sequence_length=length, num_workers=workers)
            data = DataModule(config, seed=0, global_batch_size=8, micro_batch_size=8)
            data.prepare_data()
            batches = iter(data.train_dataloader())
            next(batches)
            tokens, started = 0, time.perf_counter()
            while time.perf_counter() - started < seconds:
                for _ in range(100):
                    tokens += next(batches)["tokens"].numel()
            print(f"{length:>8} {workers:>8} {tokens / (time.perf_counter() - started) / MEGA:>11.1f}")
            del batches


def tokenizing(megabytes: int, repeats: int) -> None:
    """The first pass over json lines of the offline corpus, repeated to ``megabytes``, against tokenizers alone."""
    source = Corpus.open(DataConfig())
    documents = [document.text for document in source.source.documents(source.shards.parts[0])]
    size = sum(len(text.encode()) for text in documents)
    texts = documents * max(1, megabytes * 2**20 // size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "texts.jsonl")
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        config = DataConfig(source="files", files=str(path), tokenizer=str(source.tokenizer.folder))
        corpus = Corpus.open(config)
        fast = corpus.tokenizer._fast
        alone, whole = [], []
        for _ in range(repeats):
            started = time.perf_counter()
            count = 0
            for first in range(0, len(texts), 10_000):
                encodings = fast.encode_batch_fast(texts[first : first + 10_000], add_special_tokens=False)
                count += sum(len(encoding.ids) for encoding in encodings)
            alone.append(time.perf_counter() - started)
            for shard in range(len(corpus)):
                corpus.shards.forget(shard)
            gc.collect()
            started = time.perf_counter()
            fill(corpus, list(range(len(corpus))))
            whole.append(time.perf_counter() - started)
        shutil.rmtree(corpus.shards.folder)
    threads = os.environ.get("RAYON_NUM_THREADS", os.cpu_count())
    print(f"\ntokenizing {megabytes} MB on {threads} threads, {count / MEGA:.1f} M tokens, best of {repeats}")
    print(f"tokenizers alone {count / min(alone) / MEGA:>8.2f} M tokens/s")
    print(f"whole first pass {count / min(whole) / MEGA:>8.2f} M tokens/s, {min(alone) / min(whole):.2f} of it")


def synthetic_cache(folder: Path, shards: int = 2500, documents: int = 4000, length: int = 1000) -> None:
    """A cache of ``shards`` × ``documents`` × ``length`` zeros that takes little disk: the shards are sparse."""
    draw = np.random.default_rng(0)
    parts = [Part(f"part {shard}") for shard in range(shards)]
    ShardFolder.create(folder, {}, np.dtype("<u2"), parts)
    ends = np.arange(1, documents + 1, dtype="<u8") * length
    zeros = checksum(bytes(documents * length * 2))
    for shard in range(shards):
        index = np.concatenate([ends, draw.integers(0, 2**64, documents, dtype="<u8")]).tobytes()
        stem = folder / f"{shard:05d}"
        with stem.with_suffix(".bin").open("wb") as file:
            file.truncate(documents * length * 2)
        stem.with_suffix(".index").write_bytes(index)
        counts = {"part": f"part {shard}", "documents": documents, "tokens": documents * length, "bytes": 0}
        counts |= {"checksum": zeros, "index_checksum": checksum(index)}
        stem.with_suffix(".json").write_text(json.dumps(counts))


START = """
import resource, sys, time
from types import SimpleNamespace
from pathlib import Path
from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.cache.shards import ShardFolder
from decaystudy.data.stream.order import TokenStream
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
before, started = resident(), time.perf_counter()
corpus = Corpus(SimpleNamespace(label="synthetic"), None, ShardFolder(Path(sys.argv[1])))
stream = TokenStream(corpus, seed=0, sequence_length=2048, held_out_share=0.01)
total = stream.epoch_tokens()
opened = time.perf_counter() - started
stream.blocks(total * 3 // 2 // 2049, 8)
first = time.perf_counter() - started
peak = next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(total, opened, first, resident() - before, peak - before)
"""


def starting() -> tuple[float, float]:
    """Seconds and MB to the first block of the second epoch of 10 billion tokens."""
    with tempfile.TemporaryDirectory() as folder:
        synthetic_cache(Path(folder))
        run = subprocess.run([sys.executable, "-c", START, folder], capture_output=True, text=True, check=True)
    total, opened, first, resident, peak = map(float, run.stdout.split())
    print(f"\nstarting in the second epoch of {total / 1e9:.1f} billion training tokens")
    print(f"index and order  {opened:>6.2f} s")
    print(f"first block      {first:>6.2f} s")
    print(f"memory added     {resident:>6.0f} MB, at most {peak:.0f} MB")
    return first, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each row of loading")
    parser.add_argument("--megabytes", type=int, default=32, help="of text to tokenize")
    parser.add_argument("--repeats", type=int, default=3, help="of tokenizing")
    options = parser.parse_args()
    loading(options.seconds)
    tokenizing(options.megabytes, options.repeats)
    starting()


if __name__ == "__main__":
    main()
