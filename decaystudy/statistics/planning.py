"""What a study could resolve, before it runs: differences for a number of seeds, and seeds for a margin."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from decaystudy.statistics import checks
from decaystudy.statistics.effects import TWO_SEED_CELLS
from decaystudy.statistics.simultaneous import Component, correlations, critical_value, effective_df, t_quantile

MOST_SEEDS = 200


class Goal(StrEnum):
    """What a margin is for."""

    DIFFERENCE = "difference"
    """A true difference of the margin is called better or worse with a probability of 0.8."""
    EQUIVALENCE = "equivalence"
    """Equal cells are called equivalent within the margin with a probability of 0.8."""


@dataclass(frozen=True)
class Design:
    """Comparisons of a planned study at one scale, all with the same errors."""

    pairs: Sequence[tuple[Hashable, Hashable]]
    """(cell, baseline): the family."""
    cells: int
    """That help to estimate the variances."""
    seed_sd: float
    """Standard deviation of one cell between seeds, without what a seed does to all cells alike."""
    document_error: float = 0.0
    """Standard error of a difference that stems from the documents."""
    documents: int | None = None
    """Number held out; None where the error is known."""
    level: float = 0.95

    def __post_init__(self) -> None:
        checks.probability("level", self.level)
        checks.positive("seed_sd", self.seed_sd)
        if not self.pairs:
            raise ValueError("a plan needs at least one pair of cells")
        named = {cell for pair in self.pairs for cell in pair}
        if self.cells < len(named):
            raise ValueError(f"cells is {self.cells}, but the pairs name {len(named)}")
        if not 0 <= self.document_error < math.inf:
            raise ValueError(f"document_error is {self.document_error!r}: give 0 or more")


def resolvable_difference(design: Design, seeds: int, goal: Goal = Goal.DIFFERENCE) -> float | None:
    """The smallest difference (or margin of equivalence) that this number of seeds resolves with a probability of 0.8.

    Returns:
        (q + t₀.₈) · SE, or (q + t₀.₉) · SE for an equivalence; None with one seed, infinite for two seeds of fewer than
        five cells.
    """
    if seeds < 2:
        return None
    if seeds == 2 and design.cells < TWO_SEED_CELLS:
        return math.inf
    named = sorted({cell for pair in design.pairs for cell in pair}, key=str)
    contrasts = np.zeros((len(design.pairs), len(named)))
    for row, (a, b) in zip(contrasts, design.pairs, strict=True):
        row[named.index(a)], row[named.index(b)] = 1.0, -1.0
    shared = contrasts @ contrasts.T
    parts = [Component(shared * design.seed_sd**2 / seeds, (seeds - 1.0) * (design.cells - 1))]
    if design.document_error:
        df = math.inf if design.documents is None else design.documents - 1.0
        parts.append(Component(shared / 2 * design.document_error**2, df))
    correlation, shares = correlations(parts, len(contrasts))
    dfs = [part.degrees_of_freedom for part in parts]
    critical = critical_value(correlation, shares, dfs, design.level)
    error = math.sqrt(sum(float(part.covariance[0, 0]) for part in parts))
    probability = 0.8 if goal is Goal.DIFFERENCE else 0.9
    return (critical + t_quantile(probability, effective_df(shares[0], dfs))) * error


def seeds_needed(design: Design, margin: float, goal: Goal = Goal.DIFFERENCE) -> int | None:
    """The fewest seeds that resolve the margin.

    Returns:
        None where no number of seeds up to 200 does, as when there are too few documents.
    """
    checks.positive("margin", margin)
    if not _resolves(design, MOST_SEEDS, margin, goal):
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _resolves(design, middle, margin, goal) else (middle, high)
    return high


def _resolves(design: Design, seeds: int, margin: float, goal: Goal) -> bool:
    smallest = resolvable_difference(design, seeds, goal)
    return smallest is not None and smallest <= margin
