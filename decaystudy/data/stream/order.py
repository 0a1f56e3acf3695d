"""The training tokens in the order of a seed, as a function from position to tokens."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.cache.shards import WINDOW_SHARDS
from decaystudy.data.draws import permutation
from decaystudy.errors import UserError

SEGMENT = 2**20
"""Tokens gathered at once."""


@dataclass(frozen=True)
class _Window:
    """The documents of some shards in the order of a seed and epoch."""

    shards: np.ndarray  # (documents,) shard of each
    starts: np.ndarray  # (documents,) first token within the shard
    ends: np.ndarray  # (documents,) position after the last token, within the window


@dataclass(frozen=True)
class _Segment:
    """A stretch of the stream."""

    start: int
    tokens: np.ndarray


class TokenStream:
    """An endless sequence of tokens that depends on the corpus, the share held out and the seed, and on nothing else.

    Each epoch puts the shards in a new order, parts this order into windows of ``window`` shards, and shuffles the
    documents of a window together. Every token of every document that is not held out comes exactly once per epoch, and
    the epochs follow each other without a gap, so that a block may hold the end of one and the start of the next.
    Block ``i`` is the tokens [i·n, (i+1)·n) with n = sequence_length + 1.

    Finding a position takes O(log) time and no reading of what comes before, and the state is empty: a run that resumes
    needs to know the number of its next block and nothing else. In the first epoch shards are tokenized as they are
    needed; only a position in a later epoch needs all.

    Memory: 8 bytes per shard and epoch, 24 bytes per document of the windows in use, and 2**20 tokens.
    """

    def __init__(
        self, corpus: Corpus, *, seed: int, sequence_length: int, held_out_share: float, window: int = WINDOW_SHARDS
    ):
        self.corpus = corpus
        self.seed = seed
        self.block_length = sequence_length + 1
        self.window = window
        self._threshold = np.uint64(corpus.held_out.below(held_out_share))
        self._counts = np.full(len(corpus), -1, dtype=np.int64)  # training tokens of each shard, -1 while not known
        self._first_ends: list[int] = []  # ends of the first epoch's windows, as far as they are known
        self._ends: OrderedDict[int, np.ndarray] = OrderedDict()  # the same for any epoch, once all shards are known
        self._windows: OrderedDict[tuple[int, int], _Window] = OrderedDict()
        self._segment = _Segment(0, np.empty(0, corpus.shards.dtype))

    def __getstate__(self) -> dict[str, Any]:
        empty = _Segment(0, self._segment.tokens[:0])
        return {**self.__dict__, "_windows": OrderedDict(), "_segment": empty}

    def block(self, i: int) -> np.ndarray:
        """Block ``i`` >= 0: (sequence_length + 1,) token ids."""
        block: np.ndarray = self.blocks(i, 1)[0]
        return block

    def blocks(self, first: int, count: int) -> np.ndarray:
        """Blocks [first, first + count): (count, sequence_length + 1) token ids, uint16 or uint32."""
        n = self.block_length
        return self.tokens(first * n, (first + count) * n).reshape(count, n)

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """The tokens at positions [start, stop) of the stream."""
        pieces = []
        while start < stop:
            held = self._segment
            if not held.start <= start < held.start + len(held.tokens):
                held = self._segment = self._gather(start)
            piece = held.tokens[start - held.start : stop - held.start]
            pieces.append(piece)
            start += len(piece)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def epoch_tokens(self) -> int:
        """Training tokens in one epoch; tokenizes what is not yet."""
        for shard in range(len(self._counts)):
            self._count(shard)
        total = int(self._counts.sum())
        if not total:
            raise UserError(f"the source {self.corpus.source.label} holds no documents to train on: choose another")
        if total < self.block_length:
            raise UserError(
                f"the source {self.corpus.source.label} holds {total:,} tokens to train on, fewer than one sequence of "
                f"{self.block_length - 1:,}: give more text, or lower --data.sequence_length"
            )
        return total

    def shard_order(self, epoch: int) -> np.ndarray:
        """The order of the shards in an epoch."""
        return permutation(len(self._counts), self.seed, epoch, 1)

    def _count(self, shard: int) -> int:
        if self._counts[shard] < 0:
            index = self.corpus.index(shard)
            self._counts[shard] = index.lengths[index.hashes >= self._threshold].sum()
        return int(self._counts[shard])

    def _locate(self, position: int) -> tuple[int, int, int, int]:
        """(epoch, window, offset in the window, tokens of the window) of a position in the stream."""
        ends: Any = self._first_ends
        windows = -(-len(self._counts) // self.window)
        order = self.shard_order(0) if len(ends) < windows else None
        while order is not None and len(ends) < windows and (not ends or ends[-1] <= position):
            shards = order[len(ends) * self.window : (len(ends) + 1) * self.window]
            ends.append((ends[-1] if ends else 0) + sum(self._count(int(shard)) for shard in shards))
        epoch, offset = 0, position
        if position >= ends[-1]:
            epoch, offset = divmod(position, self.epoch_tokens())
            ends = self._epoch_ends(epoch)
        window = int(np.searchsorted(ends, offset, side="right"))
        start = int(ends[window - 1]) if window else 0
        return epoch, window, offset - start, int(ends[window]) - start

    def _epoch_ends(self, epoch: int) -> np.ndarray:
        """Where each window of the epoch ends."""
        if epoch not in self._ends:
            counts = self._counts[self.shard_order(epoch)]
            self._ends[epoch] = np.cumsum(np.add.reduceat(counts, np.arange(0, len(counts), self.window)))
            if len(self._ends) > 2:
                self._ends.popitem(last=False)
        return self._ends[epoch]

    def _window(self, epoch: int, window: int) -> _Window:
        if (epoch, window) not in self._windows:
            order = self.shard_order(epoch)[window * self.window : (window + 1) * self.window]
            shards, starts, lengths = [], [], []
            for shard in order.tolist():
                index = self.corpus.index(shard)
                kept = index.hashes >= self._threshold
                starts.append(index.starts[kept].astype(np.int64))
                lengths.append(index.lengths[kept])
                shards.append(np.full(len(lengths[-1]), shard))
            shuffled = permutation(sum(map(len, shards)), self.seed, epoch, 2, window)
            self._windows[epoch, window] = _Window(
                np.concatenate(shards)[shuffled],
                np.concatenate(starts)[shuffled],
                np.cumsum(np.concatenate(lengths)[shuffled]),
            )
            if len(self._windows) > 2:
                self._windows.popitem(last=False)
        return self._windows[epoch, window]

    def _gather(self, position: int) -> _Segment:
        """The stretch of the stream around a position, copied out of the shards document by document."""
        epoch, window, offset, size = self._locate(position)
        documents = self._window(epoch, window)
        start = offset // SEGMENT * SEGMENT
        stop = min(start + SEGMENT, size)
        first = int(np.searchsorted(documents.ends, start, side="right"))
        last = int(np.searchsorted(documents.ends, stop, side="left")) + 1
        ends = documents.ends[first:last]
        begins = np.concatenate([documents.ends[first - 1 : first] if first else [0], ends[:-1]])
        source = documents.starts[first:last] - begins  # from positions in the window to positions in the shard
        shards = documents.shards[first:last].tolist()
        maps = {shard: self.corpus.tokens(shard) for shard in set(shards)}
        low = (np.maximum(begins, start) + source).tolist()
        high = (np.minimum(ends, stop) + source).tolist()
        tokens = np.concatenate([maps[shard][a:b] for shard, a, b in zip(shards, low, high, strict=True)])
        return _Segment(position - offset + start, tokens)
