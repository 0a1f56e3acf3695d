"""Loss by position in the sequence: means over a cell's seeds, and how far seeds could move them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from decaystudy.metrics import perplexity
from decaystudy.runs.evaluation import Evaluation
from decaystudy.statistics.variance import seed_variances
from decaystudy.study.analysis.measurements import LEVEL
from decaystudy.study.analysis.results import CellPosition

Bin = tuple[int, int]
"""First and last position, both counted."""


def position_rows(evaluations: Mapping[str, Sequence[Evaluation]]) -> dict[str, tuple[CellPosition, ...]]:
    """Each cell's loss by position.

    An interval is of one cell at one position, for other seeds on these very sequences: the variance between seeds is
    borrowed across cells as for validation losses (``seed_variances``), and holds neither what a seed does to all cells
    alike nor the choice of the text. There is none unless at least two cells have the same number of seeds, and two.

    Args:
        evaluations: of each cell, those of its seeds.
    """
    found = {cell: losses_by_bin(ones) for cell, ones in evaluations.items()}
    half: dict[tuple[str, Bin], float] = {}
    for at in dict.fromkeys(at for bins in found.values() for at in bins):
        table = {cell: bins[at] for cell, bins in found.items() if at in bins}
        half |= {(cell, at): value for cell, value in half_widths(table).items()}
    return {
        cell: tuple(row(at, losses, half.get((cell, at))) for at, losses in bins.items())
        for cell, bins in found.items()
    }


def losses_by_bin(evaluations: Sequence[Evaluation]) -> dict[Bin, list[float]]:
    """The loss of each seed at the positions that all of them were measured at."""
    by_seed = [{(at.first, at.last): at.loss for at in one.positions or ()} for one in evaluations]
    common = [at for at in (by_seed[0] if by_seed else ()) if all(at in losses for losses in by_seed)]
    return {at: [losses[at] for losses in by_seed] for at in common}


def half_widths(table: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Half of each cell's interval; empty where there are none.

    Args:
        table: by cell, the losses of its seeds.
    """
    from scipy.stats import t

    seeds = {len(losses) for losses in table.values()}
    if len(table) < 2 or len(seeds) != 1 or min(seeds) < 2:
        return {}
    variances = seed_variances(np.array(list(table.values()), dtype=np.float64))
    if variances.degrees_of_freedom <= 0:
        return {}
    critical = float(t.ppf((1 + LEVEL) / 2, variances.degrees_of_freedom))
    errors = np.sqrt(variances.moderated / min(seeds))
    return {cell: critical * float(error) for cell, error in zip(table, errors, strict=True)}


def row(at: Bin, losses: Sequence[float], half: float | None) -> CellPosition:
    """One cell at one position."""
    loss = fmean(losses)
    known = half is not None and math.isfinite(half)
    return CellPosition(
        first=at[0],
        last=at[1],
        loss=loss,
        low=loss - half if half is not None and known else None,
        high=loss + half if half is not None and known else None,
        perplexity=perplexity(loss),
    )
