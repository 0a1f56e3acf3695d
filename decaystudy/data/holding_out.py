"""Which documents of a source are held out: those whose hashes lie below a bound.

The bound is the share of all hashes for a large source, which is then right to within chance. A small source is read
once for the hashes of its documents, and its bound makes the share right to within one document. Where documents have
groups, the hashes and the share are those of the groups.
"""

import functools
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from decaystudy.data.config import DataConfig
from decaystudy.data.distinct import Changes, distinct
from decaystudy.data.documents import id_hash, threshold
from decaystudy.data.folders import cached_file, lock
from decaystudy.data.network import with_retries
from decaystudy.data.registry import find_source
from decaystudy.data.sources.base import Part, Source
from decaystudy.errors import UserError
from decaystudy.io import cache_folder, digest
from decaystudy.statistics.clusters import FEWEST

log = logging.getLogger("decaystudy")

MOST_PARTS = 8
"""Parts up to which a source that counts its documents is read for them: 128 MiB of text."""
BYTES_PER_TOKEN = 12
"""More than any tokenizer takes on average, where a text has no spaces to count words by."""


@dataclass(frozen=True)
class HoldingOut:
    """The bound below which documents are held out."""

    hashes: np.ndarray | None
    """Of all documents, or groups, sorted and (groups) distinct (uint64); None for a large source."""
    tokens: np.ndarray | None = None
    """At least so many tokens are in each of these (int64)."""
    share: float = 0.0
    """Of the documents that are held out for validation; tuning takes the next ones."""
    fill: int = 0
    """Tokens that are held out at least for either, as far as half of the documents reach."""

    def below(self, share: float) -> int:
        """Documents whose hash lies below this are held out when ``share`` of them are."""
        if self.hashes is None or share <= 0:
            return threshold(max(share, 0.0))
        if share <= self.share:
            return int(self.hashes[self._rank(share, 0)])
        first = self._rank(self.share, 0)
        return int(self.hashes[self._rank(share - self.share, first)])

    def _rank(self, share: float, first: int) -> int:
        """How many documents are held out with a share of all, beside the ``first`` ones that already are."""
        assert self.hashes is not None and self.tokens is not None
        count = len(self.hashes)
        wanted = first + max(round(share * count), 1)
        enough = first + int(np.searchsorted(np.cumsum(self.tokens[first:]), self.fill)) + 1 if self.fill else 0
        half = first + max(1, (count - first) // 2)
        return min(max(wanted, min(enough, half)), count - 1)


def holding_out(source: Source, config: DataConfig) -> HoldingOut:
    """What is held out of a source; reads a small one once to count its documents.

    Raises:
        UserError: there is but one document, or group, so that nothing can be held out beside what is trained on.
    """
    if not source.counts_documents:
        return HoldingOut(None)
    parts = source.parts()
    if len(parts) > MOST_PARTS:
        return HoldingOut(None)
    path = cache_folder("sources", f"documents-{digest(source.identity())[:12]}.npy")
    counted = _read_counted(path)
    if counted is None:
        with lock(path.with_suffix(".lock")):
            counted = _read_counted(path)
            if counted is None:
                counted = _count(source, parts)
                with cached_file(path) as file:
                    np.save(file, counted)
    hashes, tokens = counted
    if len(hashes) == 0:
        raise UserError(f"the source {source.label} holds no documents: choose another --data.source")
    if source.grouped:
        hashes, tokens = _by_group(source, config, hashes, tokens)
    if int(tokens.sum()) <= len(tokens):  # an end each, and nothing before it
        raise UserError(f"the source {source.label} holds no words: give files with text in them")
    if hashes[0] == hashes[-1]:
        raise UserError(
            f"the source {source.label} holds one document, of about {int(tokens[0]):,} words, "
            f"{f'{len(hashes):,} times' if len(hashes) > 1 else 'too short to be split'}: give more text, for some is "
            "trained on and some held out"
        )
    share, tokens = config.held_out_share, tokens.astype(np.int64)
    found = HoldingOut(hashes, tokens, share)
    if config.validation_fraction is not None:
        return found
    filled = HoldingOut(hashes, tokens, share, fill=config.sequence_length + 1)
    if filled.below(share) != found.below(share):
        held = int((hashes < np.uint64(filled.below(share))).sum())
        what = "groups" if source.grouped else "documents"
        log.info("%s is small: %d of %d %s are held out to fill a sequence", source.label, held, len(hashes), what)
    return filled


def few_held_out(config: DataConfig) -> str | None:
    """What it means that few documents, or groups, of a small source are held out, in a sentence; None where there are
    enough for verdicts, or too many to be counted.

    Raises:
        UserError: the source cannot be read.
    """
    kind = find_source(config.source)
    if not kind.counts_documents:
        return None
    source = kind.open(config)
    found = holding_out(source, config)
    if found.hashes is None:
        return None
    above, share = config.judged_shares
    first, end = np.uint64(found.below(above)), np.uint64(found.below(share))
    held = int(((found.hashes >= first) & (found.hashes < end)).sum())
    if held >= FEWEST:
        return None
    what, setting = ("groups", "groups") if source.grouped else ("documents", "texts")
    return (
        f"{source.label}: {held} of {len(found.hashes)} {what} are held out, and verdicts take {FEWEST} or more; a "
        f'study then says "few documents": raise --data.validation_fraction, or give more {setting}'
    )


def _by_group(
    source: Source, config: DataConfig, hashes: np.ndarray, tokens: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The hash of each group, sorted, and the tokens of its documents, from those of the documents.

    Raises:
        UserError: there are too few groups for training, validation and tuning to have one each.
    """
    groups, first = np.unique(hashes, return_index=True)
    if len(groups) == 1:
        raise UserError(
            f"the source {source.label} holds one group, of {len(hashes):,} documents and about {int(tokens.sum()):,} "
            "words: give text of more groups, for some are trained on and some held out"
        )
    if config.tuning and len(groups) == 2:
        raise UserError(
            f"the source {source.label} holds two groups: give text of more, for tuning holds out others than are "
            "reported"
        )
    return groups, np.add.reduceat(tokens, first)


def _read_counted(path: Path) -> np.ndarray | None:
    """What ``_count`` gave; None where there is nothing, or nothing of that form."""
    try:
        counted: np.ndarray = np.load(path)
    except (FileNotFoundError, EOFError, ValueError, zipfile.BadZipFile):
        return None
    right = isinstance(counted, np.ndarray) and counted.dtype == np.uint64 and counted.ndim == 2
    if not right or len(counted) != 2 or (np.diff(counted[0].astype(object)) < 0).any():
        return None
    return counted


def _count(source: Source, parts: list[Part]) -> np.ndarray:
    """Hashes of the documents, sorted, and the tokens that each has at least, (2, documents) uint64."""
    changes = Changes()

    def read(part: Part) -> list[tuple[int, int]]:
        return [
            (id_hash(document.held_with), 1 + max(len(document.text.split()), len(document.text) // BYTES_PER_TOKEN))
            for document in distinct(source, source.documents(part), changes)
        ]

    rows: list[tuple[int, int]] = []
    for part in parts:
        rows += with_retries(f"read {part} of {source.label}", functools.partial(read, part))
    counted = np.array(sorted(rows), dtype=np.uint64).reshape(-1, 2).T
    if str(changes):
        log.warning("%s: %s", source.label, changes)
    return counted
