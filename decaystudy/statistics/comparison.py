"""Cells against their baselines: differences of held-out loss with simultaneous intervals and verdicts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import ArrayLike

from decaystudy.statistics import checks
from decaystudy.statistics.clusters import FEWEST
from decaystudy.statistics.effects import Effect, Question, estimate_effects
from decaystudy.statistics.sample import Sample, gather
from decaystudy.statistics.variance import LentVariances
from decaystudy.statistics.verdicts import Verdict, verdict

Cell = TypeVar("Cell", bound=Hashable)


@dataclass(frozen=True)
class Comparison:
    """One cell minus its baseline, with a verdict. The fields are those of ``Effect``."""

    cell: Any
    baseline: Any
    difference: float
    """Of token-weighted mean losses: nats per token, or bits per byte. With one seed, of these two checkpoints."""
    low: float | None
    """Lower end of the simultaneous interval. None with one seed; infinite with two seeds of fewer than five cells."""
    high: float | None
    verdict: Verdict
    resolvable: float | None
    """The true difference that would be called better or worse with a probability of 0.8; None with one seed."""
    standard_error: float | None
    degrees_of_freedom: float | None
    critical_value: float | None
    """Of the whole family: the interval is difference ± critical value · standard error."""
    seeds: int
    """That the comparison rests on."""
    documents: int | None
    """Or other clusters: passages, questions."""
    unit: str
    notes: tuple[str, ...] = ()
    """What a reader of this row should know, as sentences."""


def compare(
    nll: Mapping[Cell, ArrayLike],
    tokens: ArrayLike | None,
    baseline: Cell | Mapping[Cell, Cell],
    *,
    margin: float | None = None,
    level: float = 0.95,
    bytes: ArrayLike | None = None,
) -> list[Comparison]:
    """Compares each cell's held-out loss with that of its baseline; the list is one family.

    The same row must be the same seed in every cell: differences are taken seed by seed. A cell may have fewer rows
    than others if they are the first ones, as when seeds are added to a study one by one; where other seeds are
    missing, leave out the rows that not all cells have. Cells with one row are apart: their comparisons are "one seed".
    All others are judged on the seeds that each of them has, and a note says which rows don't count.

    Args:
        nll: {cell: (seeds, documents)}, summed negative log-likelihood in nats of each held-out document. The documents
            are the same ones in the same order in every cell.
        tokens: (documents,), predicted tokens of each document. May be None with ``bytes``.
        baseline: the cell that all others are compared with, or {cell: its baseline}. A cell without a baseline, or
            mapped to itself, has no comparison, but helps to estimate the variances.
        margin: differences smaller than this don't matter (in the unit of the effect).
        level: joint coverage of the intervals.
        bytes: (documents,), UTF-8 bytes of each document. Effects are then bits per byte, the only ones that compare
            cells that count tokens differently.

    Returns:
        One comparison per cell that has a baseline, in the order of ``nll``.

    Raises:
        ValueError: input that can't be compared; names the cell and the shapes.
    """
    sample = read_losses(nll, tokens, bytes=bytes)
    return _compared(Question(sample, _pairs(nll, baseline)), margin, level)


def differences(
    nll: Mapping[Cell, ArrayLike],
    tokens: ArrayLike | None,
    pairs: Sequence[tuple[Cell, Cell]],
    *,
    margin: float | None = None,
    level: float = 0.95,
    bytes: ArrayLike | None = None,
    lent: Sequence[LentVariances] = (),
) -> list[Comparison]:
    """Like ``compare``, for any pairs (cell, baseline): those of a table, an ordering and other claims as one family.

    Args:
        lent: variances of finished studies of the same scale, data and recipe, in the unit of the effect.
    """
    return _compared(Question(read_losses(nll, tokens, bytes=bytes), pairs, lent), margin, level)


def judged(effect: Effect, margin: float | None = None, *, higher_is_better: bool = False) -> Comparison:
    """The verdict on an effect, from its interval alone."""
    notes = effect.notes
    if effect.low is None or effect.high is None:
        found = Verdict.ONE_SEED
    elif effect.few_clusters:
        found = Verdict.FEW_DOCUMENTS
        notes = (*notes, f"{effect.clusters} documents are too few for a verdict: it takes {FEWEST}")
    else:
        found = verdict(effect.low, effect.high, margin, higher_is_better=higher_is_better)
    return Comparison(
        effect.cell,
        effect.baseline,
        effect.estimate,
        effect.low,
        effect.high,
        found,
        effect.resolvable,
        effect.standard_error,
        effect.degrees_of_freedom,
        effect.critical_value,
        effect.seeds,
        effect.clusters,
        effect.unit,
        notes,
    )


def read_losses(nll: Mapping[Cell, ArrayLike], tokens: ArrayLike | None, *, bytes: ArrayLike | None = None) -> Sample:
    """The checked losses of cells on the same documents.

    Raises:
        ValueError: see ``compare``.
    """
    if not isinstance(nll, Mapping) or not nll:
        raise ValueError("nll has no cells: give {cell: array (seeds, documents)}")
    arrays = {cell: checks.by_seed(f"nll of {cell!r}", values, "documents") for cell, values in nll.items()}
    first_cell, first = next(iter(arrays.items()))
    for cell, array in arrays.items():
        if array.shape[1] != first.shape[1]:
            raise ValueError(
                "cells must be judged on the same documents: "
                f"nll of {first_cell!r} has shape {first.shape}, that of {cell!r} {array.shape}"
            )
        if (array < 0).any():
            raise ValueError(f"nll of {cell!r}, shape {array.shape}, holds negative values: give summed −log p in nats")
    documents = first.shape[1]
    if bytes is None:
        return gather(arrays, checks.counts("tokens", tokens, documents), "nats per token", clusters=documents)
    if tokens is not None:
        checks.counts("tokens", tokens, documents)
    weights = checks.counts("bytes", bytes, documents) * math.log(2)
    return gather(arrays, weights, "bits per byte", clusters=documents)


def _compared(question: Question, margin: float | None, level: float) -> list[Comparison]:
    if margin is not None:
        checks.positive("margin", margin)
    (found,) = estimate_effects([question], level=level)
    return [judged(effect, margin) for effect in found]


def _pairs(nll: Mapping[Cell, ArrayLike], baseline: Cell | Mapping[Cell, Cell]) -> list[tuple[Cell, Cell]]:
    known = ", ".join(repr(cell) for cell in nll)
    if not isinstance(baseline, Mapping):
        if baseline not in list(nll):
            raise ValueError(f"the baseline {baseline!r} is no cell of nll, which has {known}")
        return [(cell, baseline) for cell in nll if cell != baseline]
    for cell, other in baseline.items():
        for name in (cell, other):
            if name not in list(nll):
                raise ValueError(f"baseline maps {cell!r} to {other!r}, but nll has no cell {name!r}: it has {known}")
    return [(cell, baseline[cell]) for cell in nll if cell in baseline and baseline[cell] != cell]
