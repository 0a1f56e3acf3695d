"""What was measured of the cells of a study, whatever it was: losses, answers or decays, by seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaystudy.statistics.clusters import Clustered, cluster_component, clustered, residual_variance
from decaystudy.statistics.simultaneous import Estimates
from decaystudy.statistics.variance import SeedVariances, seed_components

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One kind of measurement of all cells.

    Cells with two seeds or more are analysed together, over the seeds that all of these have.
    """

    cells: tuple[Any, ...]
    """In an order that depends on nothing but the measurements and the names."""
    rows: tuple[int, ...]
    """Seeds that each cell came with."""
    first: Floats
    """(cells,), the value of each cell's first seed."""
    together: tuple[int, ...]
    """Indices of the cells with two seeds or more."""
    data: Clustered | None
    """Of those cells, over the seeds that they all have; None if there are none."""
    clusters: int | None
    """Documents or passages; None for measurements without."""
    unit: str
    varying: NDArray[np.bool_] | None = None
    """(cells together,), false for cells that can't vary between seeds; None if all can."""
    pooled: bool = False
    """Whether all cells share one variance between seeds."""
    least_error: float = 0.0
    """Least standard error of an estimate."""
    least_seed_sd: float = 0.0
    """Least standard deviation of a cell between seeds."""
    limits: tuple[float, float] | None = None
    """Least and greatest possible value of a cell."""

    @property
    def seeds(self) -> int:
        """That all cells with two or more have; 1 if there are none."""
        return self.data.means.shape[1] if self.data else 1


def gather(
    arrays: Mapping[Any, Floats],
    weights: Floats,
    unit: str,
    *,
    clusters: int | None,
    constant: frozenset[Any] = frozenset(),
    **settings: Any,
) -> Sample:
    """A sample of checked arrays.

    Args:
        arrays: {cell: (seeds, clusters)}, sums over clusters.
        weights: (clusters,).
        constant: cells that can't vary between seeds.
        settings: further fields of ``Sample``.
    """
    first = {cell: float(array[0].sum() / weights.sum()) for cell, array in arrays.items()}
    cells = tuple(sorted(arrays, key=lambda cell: (first[cell], str(cell))))
    rows = tuple(len(arrays[cell]) for cell in cells)
    together = tuple(i for i, count in enumerate(rows) if count > 1)
    data = varying = None
    if together:
        seeds = min(rows[i] for i in together)
        data = clustered(np.stack([arrays[cells[i]][:seeds] for i in together]), weights)
        varying = np.array([cells[i] not in constant for i in together])
    values = np.array([first[cell] for cell in cells])
    return Sample(cells, rows, values, together, data, clusters, unit, varying=varying, **settings)


def estimates(sample: Sample, contrasts: Floats, variances: SeedVariances) -> Estimates:
    """Contrasts of the cells' means, with their errors from seeds and documents.

    Args:
        contrasts: (contrasts, cells together) coefficients.
        variances: of these cells.
    """
    assert sample.data is not None
    data = sample.data
    varying = np.ones(len(sample.together), dtype=bool) if sample.varying is None else sample.varying
    seed_floor = (contrasts[:, varying] ** 2).sum(axis=1) * sample.least_seed_sd**2 / sample.seeds
    return Estimates(
        values=contrasts @ data.means.mean(axis=1),
        seeds=seed_components(data.means, contrasts, variances, varying),
        clusters=None if sample.clusters is None else cluster_component(data, contrasts),
        residual=None if sample.clusters is None else residual_variance(data, contrasts),
        floor=np.maximum(seed_floor, sample.least_error**2),
    )
