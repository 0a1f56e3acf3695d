"""The held-out sequences: the same for every seed, and never trained on."""

import hashlib
from dataclasses import dataclass

import numpy as np

from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.config import DataConfig
from decaystudy.data.tokenizers.spelling import token_bytes
from decaystudy.data.tokenizers.tokenizer import Tokenizer
from decaystudy.errors import UserError


@dataclass(frozen=True)
class HeldOutDocuments:
    """The documents whose tokens the validation blocks predict; those of a group, whose losses are alike, count as one.

    A block's first token is only read.
    """

    numbers: np.ndarray
    """(blocks, sequence_length) int64: the document of each predicted token."""
    tokens: np.ndarray
    """(documents,) int64: predicted tokens of each document, or group, at least 1."""
    bytes: np.ndarray
    """(documents,) float64: UTF-8 bytes of text that these tokens spell."""
    digest: str
    """Hash of the tokens, of where documents begin and of which form a group: runs with equal digests are judged on the
    same documents."""

    def sums(self, losses: np.ndarray) -> np.ndarray:
        """Sum of the losses of each document's tokens, (documents,) float64, from (blocks, sequence_length)."""
        return np.bincount(self.numbers.ravel(), weights=losses.ravel(), minlength=len(self.tokens))


def _advice(total: int, length: int, groups: int | None) -> str:
    """What to do where no sequence of so many tokens is held out of ``total``, in so many groups."""
    if groups is not None:
        return (
            f"raise --data.validation_fraction, a share of its {groups:,} groups, give text of more groups, or shorten "
            "--data.sequence_length"
        )
    share = 1.5 * length / max(total, 1)
    if share > 0.5:
        return f"give more text than its {total:,} tokens, or shorten --data.sequence_length"
    return f"raise --data.validation_fraction to {max(share, 0.01):.2g}, or shorten --data.sequence_length"


class ValidationSet:
    """Held-out documents end to end, cut into disjoint blocks of sequence_length + 1 tokens; the tail is dropped.

    A document is held out if the hash of its id, or its group, lies below the share; ``above`` leaves out those below
    another share, so that settings can be chosen on other documents than are reported. Shards are searched for them in
    a fixed order that no seed changes, until ``tokens`` are found, so that a large corpus need not be tokenized whole.
    """

    def __init__(self, corpus: Corpus, *, sequence_length: int, held_out_share: float, tokens: int, above: float = 0.0):
        first, end = np.uint64(corpus.held_out.below(above)), np.uint64(corpus.held_out.below(held_out_share))
        pieces: list[np.ndarray] = []
        groups: list[int] = []
        known: set[int] = set()
        held = seen = total = 0
        for shard in corpus.validation_order():
            index = corpus.index(shard)
            seen += len(index.ends)
            total += int(index.lengths.sum())
            if corpus.source.grouped:
                known.update(index.hashes.tolist())
            chosen = np.flatnonzero((index.hashes >= first) & (index.hashes < end))
            content = corpus.tokens(shard) if len(chosen) else None
            rows = (index.starts[chosen], index.ends[chosen], index.hashes[chosen])
            for start, stop, group in zip(*(row.tolist() for row in rows), strict=True):
                if held < tokens:
                    groups.append(group)
                    pieces.append(content[start:stop])  # type: ignore[index]
                    held += stop - start
            if held >= tokens:
                break
        self.documents = len(pieces)
        self.groups = len(set(groups)) if corpus.source.grouped else None
        """Groups that these documents belong to; None for a source without."""
        n = sequence_length + 1
        self.count = min(held, tokens) // n
        if not seen:
            raise UserError(f"the source {corpus.source.label} holds no documents: choose another --data.source")
        if not self.count:
            raise UserError(
                f"the documents held out of {corpus.source.label} ({len(pieces)} with {held} tokens) fill no sequence "
                f"of {n} tokens: {_advice(total, n, len(known) if corpus.source.grouped else None)}"
            )
        self.blocks = np.concatenate(pieces)[: self.count * n].reshape(self.count, n)
        """(count, sequence_length + 1) token ids."""
        owners = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
        self._owners = owners[: self.count * n].reshape(self.count, n)
        self._groups = np.array(groups, np.uint64) if corpus.source.grouped else None

    @classmethod
    def of(cls, corpus: Corpus, config: DataConfig, sequence_length: int | None = None) -> "ValidationSet":
        """The held-out sequences of a run's data; ``sequence_length`` in place of its own."""
        above, share = config.judged_shares
        return cls(
            corpus,
            sequence_length=sequence_length or config.sequence_length,
            held_out_share=share,
            tokens=config.validation_tokens,
            above=above,
        )

    def by_document(self, tokenizer: Tokenizer) -> HeldOutDocuments:
        """Which document, or group, each predicted token belongs to; one of which none is predicted is left out."""
        owner = self._owners[:, 1:] if self._groups is None else self._groups[self._owners[:, 1:]]
        kept, flat = np.unique(owner, return_inverse=True)
        numbers = flat.reshape(self.count, -1)
        spelled = np.empty(self.blocks.shape)
        owners, tokens = self._owners.ravel(), self.blocks.ravel()
        cuts = np.flatnonzero(np.diff(owners)) + 1
        spelled.ravel()[:] = np.concatenate([token_bytes(tokenizer, piece) for piece in np.split(tokens, cuts)])
        content = hashlib.blake2b(tokens.astype("<u4").tobytes(), digest_size=16)
        content.update(cuts.astype("<u8").tobytes() + np.uint64(self.blocks.shape[1]).tobytes())
        if self._groups is not None:
            content.update(self._groups[np.unique(owners)].astype("<u8").tobytes())
        return HeldOutDocuments(
            numbers=numbers,
            tokens=np.bincount(numbers.ravel(), minlength=len(kept)),
            bytes=np.bincount(numbers.ravel(), weights=spelled[:, 1:].ravel(), minlength=len(kept)),
            digest=content.hexdigest(),
        )

    @property
    def tokens(self) -> int:
        """Tokens in the blocks."""
        return int(self.blocks.size)

    def unigram_entropy(self) -> float:
        """Entropy of the blocks' tokens under their own frequencies, in nats per token: what these alone can reach."""
        frequencies = np.bincount(self.blocks.ravel())
        p = frequencies[frequencies > 0] / self.blocks.size
        return float(-(p * np.log(p)).sum())
