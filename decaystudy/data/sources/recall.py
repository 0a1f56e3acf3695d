"""Synthetic recall: words that name a value, filler, and a question. Made on the spot, offline, any amount.

Two kinds of document. A needle in a haystack: a value among filler, and after a known distance the question for it,

    tu vu do zu bu du fu gu hu ju ? do

and multi-query associative recall (Arora et al., *Zoology*, arXiv 2312.04927): pairs of a key and a value, and then
the keys in another order, each followed by its value,

    ba ko sa ho la zo sa ho ba ko la zo

Every word is one token of the tokenizer trained here. Filler runs through its words in a circle, so that what cannot be
told is only where it begins, which value is stated, and when the question comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from decaystudy.data.sources.base import Document, Part, Source
from decaystudy.io import digest

if TYPE_CHECKING:
    from decaystudy.data.config import DataConfig
    from decaystudy.data.draws import Draws

VERSION = 1
CONSONANTS = "bdfghjklmnprstvz"
KEYS = tuple(f"{c}a" for c in CONSONANTS)
VALUES = tuple(f"{c}o" for c in CONSONANTS)
FILLER = tuple(f"{c}u" for c in CONSONANTS)
ASK = "?"
VOCABULARY = 3 * len(CONSONANTS) + 1 + 2
"""All words, the end of a document, and what stands for any other word."""

PARTS = 8192
DOCUMENTS = 16384
"""Documents of a part."""
NEEDLES = 0.95
"""Share of the documents that hold a needle; the others hold 2, 4, 8 or 16 pairs."""
NEAR = 0.9
"""Share of the needles that are asked for within four tokens: few tokens teach as much. The distances of the others
have a uniform logarithm, up to what a sequence holds."""
NEAREST = 4
LEADS = {True: 4, False: 32}
"""The filler before a needle, near or far, is shorter than this."""


class Recall(Source):
    """Documents whose last words can be told from what was read before."""

    summary: ClassVar[str] = "synthetic recall: needles at a distance, and keys that name values; offline"
    tokenizer: ClassVar[str] = f"words:{VOCABULARY}"
    tokenizer_bytes: ClassVar[int] = 2**19
    validation_fraction: ClassVar[float] = 0.1
    settings: ClassVar[tuple[str, ...]] = ()
    endless: ClassVar[bool] = True
    label = "recall"

    def __init__(self, length: int):
        self.farthest = max(1, length - LEADS[False])
        self.revision = digest([PARTS, DOCUMENTS, *(self._text(number) for number in range(64))])

    @classmethod
    def open(cls, config: DataConfig) -> Recall:
        """Needles that fit into a training sequence (16 pairs take 64 words in any case)."""
        return cls(config.sequence_length)

    def identity(self) -> dict[str, Any]:
        return {"source": "recall", "revision": self.revision, "farthest": self.farthest}

    def parts(self) -> list[Part]:
        return [Part("recall", start, start + DOCUMENTS) for start in range(0, PARTS * DOCUMENTS, DOCUMENTS)]

    def documents(self, part: Part) -> Iterator[Document]:
        assert part.stop is not None
        for number in range(part.start, part.stop):
            yield Document(f"recall:{number}", self._text(number))

    def _text(self, number: int) -> str:
        from decaystudy.data.draws import Draws  # brings numpy, which --help does without

        return text(document(Draws(VERSION, number), self.farthest))


def document(draws: Draws, farthest: int) -> list[str]:
    """The words of one document; ``farthest`` is the longest distance from a needle to the last word that is read
    before it is told."""
    if draws.uniform() >= NEEDLES:
        stated = pairs(draws, 2 ** draws.integer(1, 5))
        return [word for pair in (*stated, *draws.shuffled(stated)) for word in pair]
    near, value = draws.uniform() < NEAR, draws.choice(VALUES)
    distance = 1 + draws.integer(0, NEAREST) if near else int((farthest + 1) ** draws.uniform())
    return [*needle(draws, value, distance, draws.integer(0, LEADS[near])), value]


def needle(draws: Draws, value: str, distance: int, lead: int) -> list[str]:
    """``lead`` words of filler, the value, and at that distance the question for it."""
    filler = FillerWords(draws.integer(0, len(FILLER)))
    return [*filler.take(lead), value, *filler.take(distance - 1), ASK]


def pairs(draws: Draws, count: int) -> list[tuple[str, str]]:
    """Pairs of a key and a value, all different."""
    return list(zip(draws.shuffled(KEYS)[:count], draws.shuffled(VALUES)[:count], strict=True))


def text(words: list[str]) -> str:
    """Words as text."""
    return " ".join(words)


class FillerWords:
    """Words that follow each other in a circle."""

    def __init__(self, start: int):
        self._next = start

    def take(self, count: int) -> list[str]:
        """The next words."""
        words = [FILLER[(self._next + i) % len(FILLER)] for i in range(count)]
        self._next += count
        return words
