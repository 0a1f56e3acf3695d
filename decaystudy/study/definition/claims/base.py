"""What every claim has, and what a kind of claim must say of itself.

A kind is one class in one file: how a study file writes it, what it asks to be measured, and when it holds. One of your
own is named by its import path where a study file names a kind, as ``mypackage.claims.Mine: {…}``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from decaystudy.statistics.claims import ClaimVerdict, Judgement, judge, judge_all, judge_any
from decaystudy.statistics.effects import Effect, Pair
from decaystudy.study.definition.claims.bounds import NO_BOUNDS, Bounds
from decaystudy.study.definition.claims.evidence import Evidence, Unavailable
from decaystudy.study.definition.claims.layers import DecayAsked
from decaystudy.study.definition.claims.margins import NATS
from decaystudy.study.definition.claims.result import ClaimPart
from decaystudy.yaml_document import YamlDocument

FEW_DOCUMENTS = Judgement(ClaimVerdict.NOT_JUDGED, "few documents")
FEW_QUESTIONS = Judgement(ClaimVerdict.NOT_JUDGED, "few questions")
_ORDER = (ClaimVerdict.REFUTED, ClaimVerdict.NOT_JUDGED, ClaimVerdict.NOT_RESOLVED, ClaimVerdict.SUPPORTED)


@dataclass(frozen=True, kw_only=True)
class Claim(ABC):
    """One claim of a study file."""

    kind: ClassVar[str]
    """The word by which a study file names the kind."""
    id: str
    says: str
    """The words of those who claimed it."""
    line: int
    axis: tuple[str, ...] | None = None
    """Settings in which the cells of a pair may differ; None for those of the study."""
    statements: tuple[str, ...] = ()
    """Ids of the statements of the paper that it tests."""
    scales: tuple[str, ...] = ()
    """Scales at all of which it must hold; empty for one that is about each scale by itself."""
    any_part: bool = False
    """Whether it holds if one of its parts does, instead of all."""
    bounds: Bounds = NO_BOUNDS

    @classmethod
    @abstractmethod
    def read(cls, document: YamlDocument, value: Any, *where: str | int) -> dict[str, Any]:
        """The fields of the kind from what the study file has under its name.

        Raises:
            UserError: it makes no sense; file, line and remedy.
        """

    @property
    def unit(self) -> str | None:
        """Of the effect that its bounds are about; None for a kind that takes no bounds."""
        return None

    @abstractmethod
    def named_cells(self) -> set[str]:
        """All cells that the claim refers to."""

    def complaint(self, layers: int) -> str | None:
        """What is wrong with it for models of so many layers."""
        return None

    def loss_pairs(self) -> tuple[tuple[str, str], ...]:
        """Pairs whose difference in loss it is about."""
        return ()

    @property
    def of_losses(self) -> bool:
        """Whether it is judged by losses."""
        return bool(self.loss_pairs())

    def accuracies(self) -> tuple[tuple[str, str, str | None], ...]:
        """Task (or ``each``), cell and baseline of the accuracies that it is about."""
        return ()

    def decays(self) -> tuple[DecayAsked, ...]:
        """The statistics of λ that it is about."""
        return ()

    @abstractmethod
    def parts(self, evidence: Evidence) -> list[ClaimPart]:
        """The numbers that it is about, each with a verdict; at least one."""

    def conclude(self, parts: Sequence[ClaimPart]) -> Judgement:
        """The verdict on the whole."""
        judgements = [part.judgement for part in parts]
        return judge_any(judgements) if self.any_part else judge_all(judgements)

    def decisive(self, parts: Sequence[ClaimPart]) -> ClaimPart:
        """The part that decides, or that stands in the way of a verdict."""
        return decisive(parts, any_part=self.any_part)

    def margin_text(self) -> str:
        """Where the effect must lie, in words."""
        return self.bounds.text(self.unit) if self.unit is not None else ""

    def holds_if(self) -> str:
        """Its kind and bound, and over what it must hold, in words."""
        words = f"{self.kind} {self.margin_text()}" + (", for one of the pairs" if self.any_part else "")
        return words + (f"; at all of {', '.join(self.scales)}" if self.scales else "")


def decisive(parts: Sequence[ClaimPart], *, any_part: bool = False) -> ClaimPart:
    """Of parts that must all hold, or of which one must, the one that decides."""
    order = (_ORDER[3], _ORDER[2], _ORDER[1], _ORDER[0]) if any_part else _ORDER
    return min(parts, key=lambda part: (order.index(part.verdict), _room(part)))


def _room(part: ClaimPart) -> float:
    """How far an interval is from the bounds of its claim."""
    ends = [end for end in (part.low, part.high) if end is not None]
    bounds = [bound for bound in part.wanted if bound is not None]
    return min((abs(end - bound) for end in ends for bound in bounds), default=math.inf)


def effect_part(
    about: str, effect: Effect | Unavailable, bounds: Bounds, *, few: Judgement = FEW_DOCUMENTS, signed: bool = True
) -> ClaimPart:
    """A part about a loss or an accuracy.

    Args:
        few: the judgement where there are too few documents or questions.
    """
    common: dict[str, Any] = {"about": about, "wanted": bounds.wanted, "outside": bounds.outside, "signed": signed}
    if isinstance(effect, Unavailable):
        return ClaimPart(verdict=ClaimVerdict.NOT_JUDGED, why=effect.why, **common)
    found = judge(effect.low, effect.high, bounds.bound)
    if effect.few_clusters and effect.low is not None:
        found = few
    elif effect.unit == "bits per byte" and any(bounds.wanted):
        found = Judgement(ClaimVerdict.NOT_JUDGED, f"its bound is in {NATS}, which tokenizers don't share")
    return ClaimPart(
        verdict=found.verdict,
        why=found.reason or None,
        effect=effect.estimate,
        low=finite(effect.low),
        high=finite(effect.high),
        standard_error=effect.standard_error,
        resolvable=finite(effect.resolvable),
        seeds=effect.seeds,
        **common,
    )


def finite(value: float | None) -> float | None:
    """The value; None for an infinite one."""
    return value if value is not None and math.isfinite(value) else None


def read_names(document: YamlDocument, value: Any, least: int, *where: str | int) -> list[str]:
    """A list of at least so many cells."""
    if not isinstance(value, list) or len(value) < least or not all(isinstance(name, str) for name in value):
        raise document.error(f"{where[-1]} takes a list of at least {least} cells", *where)
    return value


def read_pairs(document: YamlDocument, value: Any, *where: str | int) -> tuple[tuple[str, str], ...]:
    """A pair of cells, or a list of pairs."""
    pairs = [value] if isinstance(value, list) and value and not isinstance(value[0], list) else value
    if not isinstance(pairs, list) or not pairs:
        raise document.error(f"{where[-1]} takes a pair of cells, [a, b], or a list of pairs", *where)
    read = [read_names(document, pair, 2, *where) for pair in pairs]
    if any(len(pair) != 2 or pair[0] == pair[1] for pair in read):
        raise document.error(f"{where[-1]} takes pairs of two different cells: [a, b]", *where)
    return tuple((a, b) for a, b in read)


def read_mapping(document: YamlDocument, value: Any, keys: Sequence[str], example: str, *where: str | int) -> Any:
    """A mapping with no other keys."""
    if not isinstance(value, dict):
        raise document.error(f"{where[-1]} takes {example}", *where)
    for key in value:
        if key not in keys:
            raise document.unknown_key(key, list(keys), *where, key)
    return value


def cells_of(pairs: Sequence[Pair]) -> set[str]:
    """All cells of these pairs."""
    return {cell for pair in pairs for cell in pair if cell is not None}
