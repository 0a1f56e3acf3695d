"""Effects: cells against other cells, or alone, with simultaneous intervals; the one path of everything measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from decaystudy.statistics.checks import probability
from decaystudy.statistics.clusters import FEWEST
from decaystudy.statistics.sample import Sample, estimates
from decaystudy.statistics.simultaneous import Estimates, Interval, family
from decaystudy.statistics.variance import LentVariances, SeedVariances, seed_variances

TWO_SEED_CELLS = 5
"""Two seeds give intervals from this number of cells on."""

Pair = tuple[Any, Any]
"""A cell and its baseline, or a cell and None for the value of the cell itself."""


@dataclass(frozen=True)
class Effect:
    """One cell minus its baseline, or one cell alone."""

    cell: Any
    baseline: Any | None
    estimate: float
    """With one seed, of these checkpoints."""
    low: float | None
    """Lower end of the simultaneous interval. None with one seed; infinite with two seeds of fewer than five cells."""
    high: float | None
    resolvable: float | None
    """The true effect whose interval would exclude 0 with a probability of 0.8; None with one seed."""
    standard_error: float | None
    degrees_of_freedom: float | None
    critical_value: float | None
    """Of the whole family: the interval is estimate ± critical value · standard error."""
    seeds: int
    """That the effect rests on."""
    clusters: int | None
    """Documents or passages."""
    unit: str
    notes: tuple[str, ...] = ()
    """What a reader of this row should know, as sentences."""

    @property
    def few_clusters(self) -> bool:
        """Whether there are too few documents or passages for a verdict."""
        return self.clusters is not None and self.clusters < FEWEST


@dataclass(frozen=True)
class Question:
    """Pairs that are asked about one kind of measurement."""

    sample: Sample
    pairs: Sequence[Pair]
    lent: Sequence[LentVariances] = ()
    """Variances of finished studies of the same scale, data and recipe, in the sample's unit."""


def estimate_effects(questions: Sequence[Question], *, level: float = 0.95) -> list[list[Effect]]:
    """The effects that each question asks for; all of them are one family.

    A pair that is asked for twice, or the other way round, has the same interval and costs nothing.

    Raises:
        ValueError: an unknown cell, a cell compared with itself, or a level that is no probability.
    """
    probability("level", level)
    asked = [_judged_pairs(question) for question in questions]
    variances = [_variances(question) for question in questions]
    blocks = [_block(*rest) for rest in zip(questions, asked, variances, strict=True)]
    found = []
    rows = family([block for block in blocks if block], level=level)
    for question, pairs, known, block in zip(questions, asked, variances, blocks, strict=True):
        intervals = dict(zip(pairs, rows.pop(0), strict=True)) if block else {}
        found.append([_effect(question, pair, intervals, known) for pair in question.pairs])
    return found


def _places(sample: Sample, pair: Pair) -> tuple[int, int]:
    """Indices of a pair's cells; −1 for no baseline."""
    for cell in pair:
        if cell is not None and cell not in sample.cells:
            known = ", ".join(sorted(repr(name) for name in sample.cells))
            raise ValueError(f"{cell!r} is to be compared, but the cells are {known}")
    if pair[0] == pair[1]:
        raise ValueError(f"{pair[0]!r} is compared with itself")
    return sample.cells.index(pair[0]), -1 if pair[1] is None else sample.cells.index(pair[1])


def _judged_pairs(question: Question) -> list[tuple[int, int]]:
    """The pairs that have an interval, each once, in an order that doesn't depend on the question's."""
    together = set(question.sample.together)
    places = {_places(question.sample, pair) for pair in question.pairs}
    return sorted({(max(p), min(p)) for p in places if set(p) - {-1} <= together})


def _variances(question: Question) -> SeedVariances | None:
    sample = question.sample
    if sample.data is None:
        return None
    return seed_variances(sample.data.means, varying=sample.varying, pooled=sample.pooled, lent=question.lent)


def _block(question: Question, pairs: Sequence[tuple[int, int]], variances: SeedVariances | None) -> Estimates | None:
    if not pairs or variances is None:
        return None
    sample = question.sample
    contrasts = np.zeros((len(pairs), len(sample.cells)))
    for row, (a, b) in zip(contrasts, pairs, strict=True):
        row[a] = 1.0
        if b >= 0:
            row[b] = -1.0
    return estimates(sample, contrasts[:, list(sample.together)], variances)


def _effect(
    question: Question, pair: Pair, intervals: Mapping[tuple[int, int], Interval], variances: SeedVariances | None
) -> Effect:
    sample = question.sample
    a, b = _places(sample, pair)
    interval = intervals.get((max(a, b), min(a, b)))
    if interval and a < b:
        interval = interval.mirrored()
    if interval is None or variances is None:
        value = float(sample.first[a] - (sample.first[b] if b >= 0 else 0.0))
        whose = "of this checkpoint, not of the cell" if b < 0 else "of these two checkpoints, not of the cells"
        return Effect(*pair, value, *(None,) * 6, 1, sample.clusters, sample.unit, (f"one seed: {whose}",))
    low, high, smallest = interval.low, interval.high, interval.resolvable
    known = variances.cells + sum(len(x.variances) for x in question.lent)
    notes = _notes(sample, [i for i in (a, b) if i >= 0], variances)
    few_cells = sample.seeds == 2 and known < TWO_SEED_CELLS
    if few_cells:
        notes.append(
            f"two seeds of {known} cells bound nothing, being too few runs to tell how much runs differ: add a seed"
        )
    if few_cells or sample.clusters == 1:
        low, high, smallest = -math.inf, math.inf, math.inf
    if sample.limits:
        least, greatest = sample.limits
        low = max(low, least if b < 0 else least - greatest)
        high = min(high, greatest if b < 0 else greatest - least)
    return Effect(
        *pair,
        interval.estimate,
        low,
        high,
        smallest,
        interval.standard_error,
        interval.degrees_of_freedom,
        interval.critical_value,
        sample.seeds,
        sample.clusters,
        sample.unit,
        tuple(notes),
    )


def _notes(sample: Sample, places: Iterable[int], variances: SeedVariances) -> list[str]:
    notes = []
    for i in places:
        if variances.noisy[sample.together.index(i)]:
            notes.append(f"the seeds of {sample.cells[i]} differ over 2.5 times as much as those of the other cells")
        if sample.rows[i] > sample.seeds:
            notes.append(f"of {sample.cells[i]} only the first {sample.seeds} seeds count, which all cells have")
    return notes
