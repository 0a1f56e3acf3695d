"""Statistics of λ over seeds, on the logarithm of the half-life, and whether they have left their start."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decaystudy.statistics import checks
from decaystudy.statistics.claims import Bound, ClaimVerdict, Judgement, judge
from decaystudy.statistics.effects import Effect, Pair, Question, estimate_effects
from decaystudy.statistics.sample import Sample, gather

Floats = NDArray[np.float64]
Cell = TypeVar("Cell", bound=Hashable)

SHORTEST, LONGEST = 1e-3, 1e6
"""Half-lives in tokens beyond these count as these."""
SMALLEST_CHANGE = 0.05
"""A mean change below this, or below two standard errors, is none."""
LEAST_COUNT_SD = 0.5
"""Standard deviation between seeds of a count of layers, at least."""
AT_START = Judgement(ClaimVerdict.NOT_JUDGED, "λ has not left its start")


def log_half_life(decay: ArrayLike) -> Floats:
    """Natural logarithm of the half-life ln ½ / ln λ in tokens, which is clipped to 10⁻³ … 10⁶.

    Args:
        decay: λ in [0, 1], any shape.
    """
    values = checks.numbers("λ", decay)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"λ must be from 0 to 1; shape {values.shape} holds others")
    with np.errstate(divide="ignore"):
        half_life = math.log(0.5) / np.log(values)
    # log 1 = 0 has either sign of an infinite half-life.
    return np.asarray(np.log(np.clip(np.where(values == 1, LONGEST, half_life), SHORTEST, LONGEST)))


def decay_at(log_half_life: float) -> float:
    """The λ with this logarithm of its half-life."""
    return math.exp(math.log(0.5) / math.exp(log_half_life))


@dataclass(frozen=True)
class DecayQuestion:
    """A statistic of λ (or a count of layers) by cell and seed, at the end and at step 0, and pairs of cells."""

    end: Mapping[Hashable, ArrayLike]
    """{cell: (seeds,)}, on the logarithm of the half-life."""
    start: Mapping[Hashable, ArrayLike]
    """The same at step 0."""
    pairs: Sequence[Pair]
    """(cell, baseline), or (cell, None) for the cell itself."""
    constant: Collection[Hashable] = ()
    """Cells whose λ is set, not learned: they don't vary between seeds."""
    count: bool = False
    """Whether the statistic is a count of layers."""


@dataclass(frozen=True)
class DecayEffect:
    """A statistic of λ at the end of training, and how far it has come since step 0."""

    end: Effect
    change: Effect
    """Since step 0. Its interval belongs to a family of its own."""
    moved: bool
    """Whether the change is at least 0.05 and two standard errors; what hasn't moved was decided by the start."""

    def judge(self, bound: Bound) -> Judgement:
        """A claim about the end."""
        judgement = judge(self.end.low, self.end.high, bound)
        return judgement if self.moved or self.end.low is None else AT_START

    def judge_change(self, bound: Bound) -> Judgement:
        """A claim about the change since step 0, such as "drifts down in training"."""
        judgement = judge(self.change.low, self.change.high, bound)
        return judgement if self.moved or self.change.low is None else AT_START


def decay_effects(questions: Sequence[DecayQuestion], *, level: float = 0.95) -> list[list[DecayEffect]]:
    """Effects on statistics of λ, one family: over seeds only, as λ is the same on any long text."""
    ends = estimate_effects([Question(_sample(q, q.end, "end"), q.pairs) for q in questions], level=level)
    changes = estimate_effects([Question(_sample(q, _changes(q), "change"), q.pairs) for q in questions], level=level)
    return [
        [DecayEffect(end, change, _moved(change)) for end, change in zip(*rows, strict=True)]
        for rows in zip(ends, changes, strict=True)
    ]


def _moved(change: Effect) -> bool:
    least = max(SMALLEST_CHANGE, 2 * (change.standard_error or 0.0))
    return abs(change.estimate) >= least


def _changes(question: DecayQuestion) -> dict[Hashable, Floats]:
    found = {}
    for cell, values in question.end.items():
        if cell not in question.start:
            raise ValueError(f"λ of {cell!r} at step 0 is missing")
        end, start = checks.numbers(f"λ of {cell!r}", values), checks.numbers(f"λ of {cell!r}", question.start[cell])
        if end.shape != start.shape:
            raise ValueError(f"λ of {cell!r} has shape {end.shape} at the end and {start.shape} at step 0")
        found[cell] = end - start
    return found


def _sample(question: DecayQuestion, values: Mapping[Hashable, ArrayLike], when: str) -> Sample:
    if not values:
        raise ValueError("no cell has a λ")
    arrays = {}
    for cell, by_seed in values.items():
        array = checks.numbers(f"λ of {cell!r}", by_seed)
        if array.ndim != 1:
            raise ValueError(f"λ of {cell!r} has shape {array.shape}: give (seeds,)")
        arrays[cell] = checks.by_seed(f"λ of {cell!r}", array[:, None], when)
    unit = "layers" if question.count else "log half-life"
    least = LEAST_COUNT_SD if question.count else 0.0
    constant = frozenset(question.constant)
    return gather(arrays, np.ones(1), unit, clusters=None, constant=constant, least_seed_sd=least)
