"""The error of a token-weighted mean that stems from the documents: they are a sample, and a whole one each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decaystudy.statistics.simultaneous import Component

Floats = NDArray[np.float64]

FEWEST = 20
"""Fewer clusters give no verdict."""
FEWEST_DF = 1.0
"""Degrees of freedom of a variance that one cluster makes up."""


@dataclass(frozen=True)
class Clustered:
    """Ratio estimates Σ value / Σ weight, and what each cluster contributes to their error."""

    means: Floats
    """(cells, seeds)."""
    influence: Floats
    """(cells, seeds, clusters): how far each cluster moves the mean; squares sum to its variance."""
    degrees_of_freedom: float
    """Of variances from these clusters, at most: their effective number minus one."""


def clustered(values: Floats, weights: Floats) -> Clustered:
    """The ratio estimator with clusters (Cochran 1977, chapter 6; Miller 2024).

    Each residual is divided by √(1 − h), where h is the cluster's share of the weights. For clusters of one size that
    is Cochran's factor n/(n − 1); for unequal ones it is the CR2 correction (Bell and McCaffrey 2002), which is
    unbiased where the variance of a cluster is proportional to its weight.

    Args:
        values: (cells, seeds, clusters), sums over each cluster.
        weights: (clusters,), above 0.
    """
    total = float(weights.sum())
    share = weights / total
    means = values.sum(axis=2) / total
    # A single cluster has no residual to divide.
    influence = (values / total - means[:, :, None] * share) / np.sqrt(1 - share if len(share) > 1 else 1.0)
    return Clustered(means, influence, max(1 / float((share**2).sum()) - 1, FEWEST_DF))


def cluster_component(sample: Clustered, contrasts: Floats) -> Component:
    """Covariance (contrasts, contrasts) of contrasts of the cells' means over seeds, for other documents.

    A variance that a few clusters make up is little known, be it that they are long or that only they differ: n equal
    clusters have Σ v² / (Σ v)² = 3/(n + 2) on average, where v are the squares that add up to the variance. The
    degrees of freedom are what n − 1 would be, and at most the effective number of clusters (Kish 1965) minus one.
    """
    moved = contrasts @ sample.influence.mean(axis=1)
    squares = moved**2
    totals = squares.sum(axis=1)
    some = totals > 0
    df = sample.degrees_of_freedom
    if some.any():
        concentration = float(((squares[some] ** 2).sum(axis=1) / totals[some] ** 2).mean())
        df = max(min(3 / concentration - 3, df), FEWEST_DF)
    return Component(moved @ moved.T, df)


def residual_variance(sample: Clustered, contrasts: Floats) -> Floats:
    """Variance (contrasts,) that is in the seed part and in the document part both: of each seed on each document."""
    seeds = sample.influence.shape[1]
    if seeds < 2:
        return np.zeros(len(contrasts))
    centred = sample.influence - sample.influence.mean(axis=1, keepdims=True)
    moved = contrasts @ centred.reshape(len(centred), -1)
    return np.asarray((moved**2).sum(axis=1) / (seeds * (seeds - 1)))
