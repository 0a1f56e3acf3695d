"""Making the shards of a cache ahead of their use, here or in processes of their own.

Each process takes a shard that nobody has, reads ahead into the next one while it tokenizes, and continues until
nothing is left; so any number of them can work on one cache, on one machine or many. Run as a module it is such a
process: its task comes as a line of JSON on standard input, and it ends when its parent closes that, or dies.
"""

import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.cache.shards import WINDOW_SHARDS, batches
from decaystudy.data.config import DataConfig
from decaystudy.data.folders import lock
from decaystudy.data.sources.base import Document
from decaystudy.errors import UserError
from decaystudy.imports import blaming

log = logging.getLogger("decaystudy")

AHEAD = 4
"""Batches of documents read ahead of the tokenizer."""


class ReadAhead:
    """Iterates over documents that a thread reads, a few batches ahead."""

    def __init__(self, documents: Iterable[Document]):
        self._queue: queue.Queue[list[Document] | BaseException | None] = queue.Queue(AHEAD)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(documents,), daemon=True)
        self._thread.start()

    def _read(self, documents: Iterable[Document]) -> None:
        try:
            for batch in batches(documents):
                if not self._put(batch):
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, item: list[Document] | BaseException | None) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[Document]:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield from item

    def close(self) -> None:
        """Let the thread go."""
        self._closed.set()


class HeldShard:
    """A shard whose lock this process holds, with its documents on the way."""

    def __init__(self, corpus: Corpus, shard: int, held: ExitStack):
        self.corpus, self.shard, self._held = corpus, shard, held
        self._reading = ReadAhead(corpus.source.documents(corpus.shards.parts[shard]))
        held.callback(self._reading.close)

    def finish(self) -> None:
        """Tokenize and write the shard."""
        with self._held:
            self.corpus.write(self.shard, self._reading)
            self.corpus.shards.wish(self.shard).unlink(missing_ok=True)

    def abandon(self) -> None:
        """Leave the shard to others."""
        self._held.close()


def fill(corpus: Corpus, order: list[int], tokens: int | None = None) -> None:
    """Make the shards of ``order`` in turn, those that other processes ask for first.

    With ``tokens``, stop at the first full window of the stream at which the shards hold that many tokens.
    """
    made: dict[int, int] = {}
    current: HeldShard | None = None
    following: HeldShard | None = None
    try:
        while True:
            left = needed(corpus, order, tokens, made)
            blind = tokens is not None and current is not None and not made  # how much a shard holds is not known
            following = None if blind else take_shard(corpus, left)
            if current is not None:
                current.finish()
            elif following is None:
                if not left:
                    return
                time.sleep(0.2)  # what is left is in the hands of others
            current, following = following, None
    finally:
        for pending in (current, following):
            if pending is not None:
                pending.abandon()


def needed(corpus: Corpus, order: list[int], tokens: int | None, made: dict[int, int]) -> list[int]:
    """The shards of ``order`` that are not made, up to ``tokens`` tokens; ``made`` remembers counts between calls."""
    missing = set(corpus.shards.missing())
    for shard in order:
        if shard not in made and shard not in missing:
            made[shard] = (corpus.shards.counts(shard) or {"tokens": 0})["tokens"]
    typical = sum(made.values()) / max(1, len(made))
    left, held = [], 0.0
    for place, shard in enumerate(order):
        if tokens is not None and held >= tokens and place % WINDOW_SHARDS == 0:
            break
        if shard in missing:
            left.append(shard)
        held += made.get(shard, typical)
    return left


def take_shard(corpus: Corpus, left: list[int]) -> HeldShard | None:
    """The next shard that is neither made nor being made: one that is wished for, else the first of ``left``."""
    for shard in [*corpus.shards.wanted(), *left]:
        with ExitStack() as stack:
            if not stack.enter_context(lock(corpus.shards.lock(shard), wait=False)):
                continue
            if corpus.shards.counts(shard) is None:
                return HeldShard(corpus, shard, stack.pop_all())
            corpus.shards.wish(shard).unlink(missing_ok=True)
    return None


class Tokenization:
    """A process that makes shards while this one does something else; ends with it."""

    def __init__(
        self, config: DataConfig, order: list[int], tokens: int | None = None, *, alone: bool, threads: int = 0
    ):
        root = Path(__file__).resolve().parents[3]
        paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TOKENIZERS_PARALLELISM": "true"}
        environment["PYTHONIOENCODING"] = "utf-8:replace"
        if threads:
            environment["RAYON_NUM_THREADS"] = str(threads)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "decaystudy.data.cache.build"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
            errors="replace",
        )
        assert self._process.stdin is not None
        task = {"config": asdict(config), "order": order, "tokens": tokens, "alone": alone}
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()

    def running(self) -> bool:
        return self._process.poll() is None

    def failed(self) -> bool:
        """Whether it has ended with an error."""
        return bool(self._process.poll())

    def message(self) -> str:
        """Why it has failed."""
        assert self._process.stdout is not None
        said = self._process.stdout.read().strip()
        return said or f"the process that tokenizes ended with code {self._process.returncode}: run the command again"

    def stop(self) -> None:
        """End it; what it has not finished is left unmade."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def main() -> int:
    """Do the task on standard input."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(5)
    try:
        with blaming(), ExitStack() as stack:
            corpus = Corpus.open(DataConfig(**task["config"]))
            if task["alone"]:
                stack.enter_context(lock(corpus.tokenizing()))
            fill(corpus, task["order"], task["tokens"])
    except UserError as error:
        print(error)  # for the parent, which raises it
        return 2
    return 0


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
