"""A source's documents as tokens: opens the source, its tokenizer and its shards, and makes shards that are missing."""

import logging
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np

from decaystudy.data.cache.shards import Damaged, Index, ShardFolder
from decaystudy.data.config import DataConfig
from decaystudy.data.distinct import Changes, distinct
from decaystudy.data.draws import permutation
from decaystudy.data.folders import lock
from decaystudy.data.holding_out import HoldingOut, holding_out
from decaystudy.data.network import with_retries
from decaystudy.data.registry import find_source, identity_of
from decaystudy.data.sources.base import Document, Source
from decaystudy.data.tokenizers.opening import open_tokenizer
from decaystudy.data.tokenizers.tokenizer import Tokenizer
from decaystudy.errors import UserError
from decaystudy.io import cache_folder, digest, slug

log = logging.getLogger("decaystudy")
T = TypeVar("T")

BY_HASH = HoldingOut(None)
REPAIRS = 5
"""How often a shard is made again before its damage is an error."""


class Corpus:
    """The tokens of one source under one tokenizer.

    A shard that is asked for and missing, or whose checksum fails, is tokenized on the spot, unless a process of this
    machine is busy tokenizing: then it is asked for the shard, so that one process per machine talks to the hub.
    """

    def __init__(self, source: Source, tokenizer: Tokenizer, shards: ShardFolder, held_out: HoldingOut = BY_HASH):
        self.source = source
        self.held_out = held_out
        self._changes = Changes()
        self.tokenizer = tokenizer
        self.shards = shards

    @classmethod
    def open(cls, config: DataConfig) -> "Corpus":
        """Open what ``config`` names, making the tokenizer and an empty cache where there is none."""
        config.validate()
        source = find_source(config.source).open(config)
        held_out = holding_out(source, config)
        tokenizer = open_tokenizer(config, source, held_out)
        identity = identity_of(source)
        key = digest([identity, tokenizer.digest])
        readable = f"{source.label}-{source.revision[:8]}-{slug(tokenizer.name)}"
        folder = cache_folder("tokens", f"{readable}-{key[:12]}")
        if not (folder / "manifest.json").exists():
            with lock(folder.with_suffix(".lock")):
                if not (folder / "manifest.json").exists():
                    parts = source.parts()
                    if not parts:
                        raise UserError(f"the source {source.label} holds no documents: choose another --data.source")
                    about = {"identity": identity, "tokenizer": tokenizer.name, "tokenizer_digest": tokenizer.digest}
                    ShardFolder.create(folder, about, tokenizer.dtype, parts)
        return cls(source, tokenizer, ShardFolder(folder), held_out)

    def __len__(self) -> int:
        return len(self.shards)

    def index(self, shard: int) -> Index:
        """The documents of a shard, made if need be."""
        return self._sound(self.shards.index, shard)

    def tokens(self, shard: int) -> np.ndarray:
        """The tokens of a shard (uint16 or uint32, memory-mapped), made if need be."""
        return self._sound(self.shards.tokens, shard)

    def _sound(self, read: Callable[[int], T], shard: int) -> T:
        for _ in range(REPAIRS):
            try:
                return read(shard)
            except FileNotFoundError:
                self.build(shard)
            except Damaged as damage:
                self._discard(read, shard, damage)
        return read(shard)

    def _discard(self, read: Callable[[int], T], shard: int, damage: Damaged) -> None:
        """Take a damaged shard for not made, unless another process has made it again by now."""
        with lock(self.shards.lock(shard)):
            try:
                read(shard)
            except FileNotFoundError:
                return
            except Damaged:
                log.warning("%s: making it again from %s", damage, self.shards.parts[shard])
                self.shards.forget(shard)

    def build(self, shard: int) -> None:
        """See that a shard is made: by the process of this machine that tokenizes, else by this one."""
        wish = self.shards.wish(shard)
        started, said = time.monotonic(), False
        while self.shards.counts(shard) is None:
            with lock(self.tokenizing(), wait=False) as mine:
                if mine:
                    log.info("tokenizing %s of %s", self.shards.parts[shard], self.source.label)
                    self.make(shard)
                    break
            wish.touch()
            if not said and time.monotonic() - started > 5:
                said = True
                log.info(
                    "waiting for another process to tokenize %s of %s", self.shards.parts[shard], self.source.label
                )
            time.sleep(0.05)
        wish.unlink(missing_ok=True)

    def make(self, shard: int) -> None:
        """Tokenize a shard here, unless it is made by the time its lock is ours."""
        with lock(self.shards.lock(shard)):
            if self.shards.counts(shard) is None:
                self.write(shard)

    def write(self, shard: int, reading: Iterable[Document] | None = None) -> None:
        """Tokenize a shard whose lock the caller holds, from documents that are being read already if given."""
        part = self.shards.parts[shard]
        first = [reading] if reading is not None else []
        said = str(self._changes)

        def once() -> None:
            documents = first.pop() if first else self.source.documents(part)
            documents = distinct(self.source, documents, self._changes)
            self.shards.write(shard, documents, self.tokenizer)

        with_retries(f"read {part} of {self.source.label}", once)
        if str(self._changes) and not said and self.held_out.hashes is None:  # else they were counted, and it was said
            log.warning("%s: in %s %s", self.source.label, part, self._changes)

    def tokenizing(self) -> Path:
        """The lock of the one process of this machine that tokenizes for training."""
        return self.shards.folder / "locks" / f"{slug(socket.gethostname())}.lock"

    def validation_order(self) -> list[int]:
        """The order in which shards are searched for held-out documents: scattered, and the same for every seed."""
        return [int(shard) for shard in permutation(len(self), len(self))]
