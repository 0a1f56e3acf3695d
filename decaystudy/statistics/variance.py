"""How much the cells of a study differ from seed to seed, when each has only a few seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaystudy.statistics.simultaneous import Component

Floats = NDArray[np.float64]

POOLED_CELLS = 3
"""Up to this number of cells share one variance: their own can't be told apart."""
SMALLEST = 1e-4
"""A variance is at least this share of the median one."""
NOISY = 2.5
"""A cell whose standard deviation is this many times that of the others is named."""
PRIOR_DF = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, math.inf)
"""The prior degrees of freedom that are tried; infinity is one variance for all cells."""


@dataclass(frozen=True)
class LentVariances:
    """Variances of a finished study of the same scale, data and recipe, which help to estimate those of another."""

    name: str
    variances: tuple[float, ...]
    """``SeedVariances.raw`` of its cells, in the same unit."""
    seeds: int

    def __post_init__(self) -> None:
        if self.seeds < 2 or len(self.variances) < 2:
            raise ValueError(f"{self.name} can't lend variances: it takes two seeds and two cells")
        if not all(0 <= value < math.inf for value in self.variances):
            raise ValueError(f"{self.name} lends variances that are negative or not finite: {self.variances}")


@dataclass(frozen=True)
class SeedVariances:
    """Variance between seeds of one run of each cell, without what a seed does to all cells alike."""

    raw: Floats
    """(cells,), each from its own residuals; 0 for cells that don't vary by construction."""
    moderated: Floats
    """(cells,), drawn towards a common variance as far as the raw ones look alike."""
    degrees_of_freedom: float
    """Of each moderated variance; 0 where nothing could be estimated."""
    prior_df: float
    """How much the common variance counts, in degrees of freedom; infinity where all cells share it."""
    prior_variance: float
    noisy: NDArray[np.bool_]
    """(cells,), whose standard deviation exceeds 2.5 times that of the other cells together, from three seeds on."""

    cells: int
    """That vary and were fitted."""

    @property
    def pooled(self) -> float:
        """The mean of the raw variances over the cells that vary."""
        return float(self.raw.sum() / self.cells) if self.cells else 0.0


def seed_variances(
    table: Floats,
    *,
    varying: NDArray[np.bool_] | None = None,
    pooled: bool = False,
    lent: Sequence[LentVariances] = (),
) -> SeedVariances:
    """Variances of cells from their values by seed, after a fit of seed + cell.

    A cell's raw variance is C/(C − 1) · Σ r² / (S − 1) of its residuals r, with (S − 1)(C − 2)/C degrees of freedom.
    Raw variances are moderated by empirical Bayes (Smyth 2004): they are taken as draws from a scaled F distribution,
    whose prior variance and degrees of freedom are fitted by maximum likelihood.

    Args:
        table: (cells, seeds), at least two seeds.
        varying: (cells,), false for cells without variance by construction, which stay out of the fit.
        pooled: one variance for all cells, as for up to three cells in any case.
        lent: variances of other studies, which take part in the fit.
    """
    cells, seeds = table.shape
    which = np.ones(cells, dtype=bool) if varying is None else varying
    raw = raw_variances(table[which])
    count = len(raw)
    common, total_df = _common_variance(raw, seeds, lent)
    moderated, df, prior_df, prior = np.full(count, common), total_df, math.inf, common
    if count > POOLED_CELLS and not pooled and common > 0:
        prior_df, prior = _fit_prior(raw, seeds, lent)
        own = own_df(count, seeds)
        if math.isfinite(prior_df):
            moderated = (prior_df * prior + own * np.maximum(raw, _least(raw, lent))) / (prior_df + own)
            moderated = np.maximum(moderated, SMALLEST * np.median(moderated))
        else:
            moderated = np.full(count, prior)
        df = min(prior_df + own, total_df)
    noisy = np.zeros(count, dtype=bool)
    if count > POOLED_CELLS and seeds > 2:
        # Against the other cells: of seven, none can have 2.5 times the standard deviation of all seven. With two seeds
        # every fourth study of equal cells would have a marked one.
        noisy = raw > NOISY**2 * (raw.sum() - raw) / (count - 1)
    marked = _spread(which, noisy).astype(bool)
    return SeedVariances(_spread(which, raw), _spread(which, moderated), df, prior_df, prior, marked, count)


def raw_variances(table: Floats) -> Floats:
    """Each cell's own variance (cells,) from its residuals of the fit seed + cell; 0 for a single cell."""
    cells, seeds = table.shape
    if cells < 2:
        return np.zeros(cells)
    residuals = table - table.mean(axis=0)
    residuals -= residuals.mean(axis=1, keepdims=True)
    return np.asarray((residuals**2).sum(axis=1) * cells / ((cells - 1) * (seeds - 1)))


def own_df(cells: int, seeds: int) -> float:
    """Degrees of freedom of one cell's raw variance."""
    return (seeds - 1) * (cells - 2) / cells


def _common_variance(raw: Floats, seeds: int, lent: Sequence[LentVariances]) -> tuple[float, float]:
    """The variance that all cells share if they do, and its degrees of freedom; 0 where nothing can be estimated."""
    found = [(values, (n - 1.0) * (len(values) - 1)) for values, n in [(raw, seeds), *_pools(lent)] if len(values) > 1]
    total = sum(df for _, df in found)
    return (sum(float(values.mean()) * df for values, df in found) / total if total else 0.0), total


def _fit_prior(raw: Floats, seeds: int, lent: Sequence[LentVariances]) -> tuple[float, float]:
    """``fit_scaled_f`` of this study's raw variances and those that others lend."""
    pools = [(raw, seeds), *_pools(lent)]
    variances = np.concatenate([values for values, _ in pools])
    df = np.concatenate([np.full(len(values), own_df(len(values), n)) for values, n in pools])
    known = df > 0
    return fit_scaled_f(np.maximum(variances, _least(raw, lent))[known], df[known])


def _least(raw: Floats, lent: Sequence[LentVariances]) -> float:
    """The least that a raw variance counts as, for a fit that takes logarithms."""
    every = np.concatenate([raw, *(values for values, _ in _pools(lent))])
    return SMALLEST * (float(np.median(every)) or float(every.mean()))


def _pools(lent: Sequence[LentVariances]) -> list[tuple[Floats, int]]:
    return [(np.asarray(study.variances, dtype=np.float64), study.seeds) for study in lent]


def fit_scaled_f(variances: Floats, df: Floats) -> tuple[float, float]:
    """Prior degrees of freedom and prior variance of raw variances s²: s² / prior ~ F(df, prior df).

    The maximum of the likelihood, over ``PRIOR_DF``; for each of them the best variance is found by Newton's method
    in its logarithm, in which the likelihood is concave.
    """
    from scipy.special import gammaln

    finite = np.array(PRIOR_DF[:-1])[:, None]
    pooled = float((df * variances).sum() / df.sum())
    log_prior = np.full((len(finite), 1), math.log(pooled))
    for _ in range(50):
        ratio = df * variances / np.exp(log_prior)
        share = ratio / (finite + ratio)
        slope = ((finite + df) * share - df).sum(axis=1, keepdims=True)
        curve = ((finite + df) * share * (1 - share)).sum(axis=1, keepdims=True)
        step = np.clip(slope / np.maximum(curve, 1e-12), -1.0, 1.0)
        log_prior = log_prior + step
        if np.abs(step).max() < 1e-9:
            break
    ratio = df * variances / np.exp(log_prior)
    constant = gammaln((df + finite) / 2) - gammaln(finite / 2) - df / 2 * np.log(finite)
    likelihood = (constant + df / 2 * np.log(ratio) - (df + finite) / 2 * np.log1p(ratio / finite)).sum(axis=1)
    ratio = df * variances / pooled
    one_variance = float((df / 2 * np.log(ratio / 2) - ratio / 2).sum())
    best = int(np.argmax(likelihood))
    if one_variance >= likelihood[best]:
        return math.inf, pooled
    return PRIOR_DF[best], float(np.exp(log_prior[best, 0]))


def seed_components(
    table: Floats, contrasts: Floats, variances: SeedVariances, varying: NDArray[np.bool_] | None = None
) -> tuple[Component, ...]:
    """What seeds add to the error of contrasts of cell means.

    Differences have the cells' own variance only. A contrast whose coefficients (over the cells that vary) don't sum
    to 0, such as one cell alone, has that of the seeds' shared effect too, with S − 1 degrees of freedom.

    Args:
        table: (cells, seeds).
        contrasts: (contrasts, cells) coefficients.
    """
    cells, seeds = table.shape
    which = np.ones(cells, dtype=bool) if varying is None else varying
    if not which.any():
        return ()
    coefficients = contrasts[:, which]
    # Rounding of coefficients such as 1/3 is no shared effect.
    total = coefficients.sum(axis=1)
    total = np.where(np.abs(total) < 1e-12 * np.abs(coefficients).sum(axis=1), 0.0, total)
    apart = coefficients - total[:, None] / which.sum()
    found = []
    if variances.degrees_of_freedom > 0:
        covariance = (apart * variances.moderated[which]) @ apart.T / seeds
        found.append(Component(covariance, variances.degrees_of_freedom))
    if total.any():
        shared = float(table[which].mean(axis=0).var(ddof=1))
        found.append(Component(np.outer(total, total) * shared / seeds, seeds - 1.0))
    return tuple(found)


def _spread(which: NDArray[np.bool_], values: NDArray[Any]) -> Floats:
    """Values of the cells that vary, with 0 for the others."""
    spread = np.zeros(len(which))
    spread[which] = values
    return spread
