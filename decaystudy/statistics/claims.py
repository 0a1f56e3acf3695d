"""Verdicts on claims: where an interval lies, against where a claim says that the effect lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from decaystudy.statistics import checks
from decaystudy.statistics.verdicts import Verdict


class ClaimVerdict(StrEnum):
    """What a claim came to."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    NOT_RESOLVED = "not resolved"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict, and why there is none."""

    verdict: ClaimVerdict
    reason: str = ""
    """Of "not judged" only."""

    def __str__(self) -> str:
        return f"{self.verdict} ({self.reason})" if self.reason else str(self.verdict)


@dataclass(frozen=True)
class Bound:
    """Where an effect lies according to a claim: strictly between two values, or strictly outside them."""

    low: float
    high: float
    between: bool = True

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"a claim's bounds are {self.low:g} and {self.high:g}: the first must be the lower one")

    @classmethod
    def above(cls, value: float) -> Bound:
        """``above: m``."""
        return cls(value, math.inf)

    @classmethod
    def below(cls, value: float) -> Bound:
        """``below: m``; "better by any amount" is ``below: 0``."""
        return cls(-math.inf, value)

    @classmethod
    def within(cls, margin: float) -> Bound:
        """``within: m``, that is between −m and m."""
        checks.positive("within", margin)
        return cls(-margin, margin)

    @classmethod
    def outside(cls, margin: float) -> Bound:
        """``outside: m``: below −m or above m."""
        checks.positive("outside", margin)
        return cls(-margin, margin, between=False)


NO_INTERVAL = Judgement(ClaimVerdict.NOT_JUDGED, "one seed")
NO_WINNER = Judgement(ClaimVerdict.NOT_JUDGED, "no winner")


def judge(low: float | None, high: float | None, bound: Bound) -> Judgement:
    """Supported if the whole interval lies where the claim says, refuted if none of it does.

    Args:
        low: lower end of the effect's interval; None with one seed.
        high: upper end.
    """
    if low is None or high is None:
        return NO_INTERVAL
    inside = bound.low < low and high < bound.high
    apart = low > bound.high or high < bound.low
    supports, refutes = (inside, apart) if bound.between else (apart, inside)
    if supports:
        return Judgement(ClaimVerdict.SUPPORTED)
    return Judgement(ClaimVerdict.REFUTED if refutes else ClaimVerdict.NOT_RESOLVED)


def judge_winner(loss: Verdict, low: float | None, high: float | None) -> Judgement:
    """Whether the cell with the lower loss also has the higher statistic, such as the median λ.

    Args:
        loss: verdict on the loss of a cell and its baseline.
        low: lower end of the interval of the statistic, the cell's minus the baseline's.
        high: upper end.
    """
    if loss is Verdict.BETTER:
        return judge(low, high, Bound.above(0.0))
    if loss is Verdict.WORSE:
        return judge(low, high, Bound.below(0.0))
    return NO_INTERVAL if loss is Verdict.ONE_SEED else NO_WINNER


def judge_all(parts: Sequence[Judgement]) -> Judgement:
    """An ordering or a list: supported if every part is, refuted if any part is."""
    if not parts:
        raise ValueError("a claim without parts can't be judged")
    verdicts = [part.verdict for part in parts]
    if ClaimVerdict.REFUTED in verdicts:
        return Judgement(ClaimVerdict.REFUTED)
    for part in parts:
        if part.verdict is ClaimVerdict.NOT_JUDGED:
            return part
    if ClaimVerdict.NOT_RESOLVED in verdicts:
        return Judgement(ClaimVerdict.NOT_RESOLVED)
    return Judgement(ClaimVerdict.SUPPORTED)


def judge_any(parts: Sequence[Judgement]) -> Judgement:
    """That one part of a list holds: supported if any part is, refuted if every part is.

    Intervals of a family hold together, so picking the part that speaks most for the claim is allowed.
    """
    if not parts:
        raise ValueError("a claim without parts can't be judged")
    verdicts = [part.verdict for part in parts]
    for verdict in (ClaimVerdict.SUPPORTED, ClaimVerdict.NOT_RESOLVED):
        if verdict in verdicts:
            return Judgement(verdict)
    for part in parts:
        if part.verdict is ClaimVerdict.NOT_JUDGED:
            return part
    return Judgement(ClaimVerdict.REFUTED)


def stricter_level(level: float, scales: int) -> float:
    """The level 1 − α/n at which one of n scales refutes a claim about every scale."""
    return 1 - (1 - level) / scales


def judge_every_scale(plain: Sequence[Judgement], strict: Sequence[Judgement]) -> Judgement:
    """A claim "at every size": supported if each scale supports it, refuted if any scale does at 1 − α/n.

    Support by every scale at its own level is an intersection–union test (Berger 1982) and needs no correction;
    refutation by any of n scales does.

    Args:
        plain: the judgement at each scale, from intervals of the usual level.
        strict: the same from intervals of ``stricter_level``.
    """
    if len(plain) != len(strict):
        raise ValueError(f"{len(plain)} scales at the usual level, but {len(strict)} at the stricter one")
    if any(part.verdict is ClaimVerdict.REFUTED for part in strict):
        return Judgement(ClaimVerdict.REFUTED)
    not_refuted = [
        Judgement(ClaimVerdict.NOT_RESOLVED) if part.verdict is ClaimVerdict.REFUTED else part for part in plain
    ]
    return judge_all(not_refuted)
