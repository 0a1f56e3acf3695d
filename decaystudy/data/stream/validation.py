"""The held-out sequences: the same for every seed, and never trained on."""

import numpy as np

from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.documents import threshold
from decaystudy.errors import UserError


class ValidationSet:
    """Held-out documents end to end, cut into disjoint blocks of sequence_length + 1 tokens; the tail is dropped.

    A document is held out if the hash of its id lies below the share. Shards are searched for them in a fixed order
    that no seed changes, until ``tokens`` are found, so that a large corpus need not be tokenized whole for it.
    """

    def __init__(self, corpus: Corpus, *, sequence_length: int, held_out_share: float, tokens: int):
        below = np.uint64(threshold(held_out_share))
        pieces: list[np.ndarray] = []
        held = seen = 0
        for shard in corpus.validation_order():
            index = corpus.index(shard)
            seen += len(index.ends)
            chosen = np.flatnonzero(index.hashes < below)
            content = corpus.tokens(shard) if len(chosen) else None
            for start, stop in zip(index.starts[chosen].tolist(), index.ends[chosen].tolist(), strict=True):
                if held < tokens:
                    pieces.append(content[start:stop])  # type: ignore[index]
                    held += stop - start
            if held >= tokens:
                break
        self.documents = len(pieces)
        n = sequence_length + 1
        self.count = min(held, tokens) // n
        if not seen:
            raise UserError(f"the source {corpus.source.label} holds no documents: choose another --data.source")
        if not self.count:
            raise UserError(
                f"the documents held out of {corpus.source.label} ({len(pieces)} with {held} tokens) fill no sequence "
                f"of {n} tokens: raise --data.validation_fraction above {held_out_share:g} or shorten "
                "--data.sequence_length"
            )
        self.blocks = np.concatenate(pieces)[: self.count * n].reshape(self.count, n)
        """(count, sequence_length + 1) token ids."""

    @property
    def tokens(self) -> int:
        """Tokens in the blocks."""
        return int(self.blocks.size)

    def unigram_entropy(self) -> float:
        """Entropy of the blocks' tokens under their own frequencies, in nats a token: what these alone can reach."""
        frequencies = np.bincount(self.blocks.ravel())
        p = frequencies[frequencies > 0] / self.blocks.size
        return float(-(p * np.log(p)).sum())
