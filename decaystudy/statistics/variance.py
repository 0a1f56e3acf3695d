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
"""Up to so many cells share one variance: their own ones can't be told apart."""
SMALLEST = 1e-4
"""A variance is at least this share of the median one."""
NOISY = 2.5
"""A cell whose standard deviation is so many times that of the others is named."""
PRIOR_DF = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, math.inf)
"""The prior degrees of freedom that are tried; infinity is one variance for all cells."""


@dataclass(frozen=True)
class LentVariances:
    """Variances of a finished study of the same scale, data and recipe, which help to estimate those of another."""

    name: str
    variances: tuple[float, ...]
    """``SeedVariances.raw`` of its cells, in the same unit."""
    seeds: int


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
    """(cells,), whose standard deviation exceeds 2.5 times that of the other cells together."""

    @property
    def pooled(self) -> float:
        """The mean of the raw variances over the cells that vary."""
        varying = self.raw[self.raw > 0]
        return float(varying.mean()) if len(varying) else 0.0


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
    count = int(which.sum())
    raw = np.zeros(count)
    if count > 1:
        residuals = table[which] - table[which].mean(axis=0)
        residuals -= residuals.mean(axis=1, keepdims=True)
        raw = (residuals**2).sum(axis=1) * count / ((count - 1) * (seeds - 1))
    own_df, lent_df = (seeds - 1) * max(count - 1, 0), [(x.seeds - 1) * (len(x.variances) - 1) for x in lent]
    total_df = float(own_df + sum(lent_df))
    if total_df == 0:
        return SeedVariances(_spread(which, raw), _spread(which, raw), 0.0, math.inf, 0.0, np.zeros(cells, dtype=bool))
    sums = own_df * raw.mean() if count > 1 else 0.0
    common = (sums + sum(df * float(np.mean(x.variances)) for df, x in zip(lent_df, lent, strict=True))) / total_df
    prior_df, prior_variance, moderated, df = math.inf, float(common), np.full(count, float(common)), total_df
    if count > POOLED_CELLS and not pooled and common > 0:
        own = (seeds - 1) * (count - 2) / count
        others = [(x.seeds - 1) * (len(x.variances) - 2) / len(x.variances) for x in lent for _ in x.variances]
        every = np.concatenate([raw, *(np.asarray(x.variances, dtype=np.float64) for x in lent)])
        every = np.maximum(every, SMALLEST * (float(np.median(every)) or float(every.mean())))
        each = np.array([own] * count + others)
        known = each > 0
        prior_df, prior_variance = fit_scaled_f(every[known], each[known])
        if math.isfinite(prior_df):
            moderated = (prior_df * prior_variance + own * every[:count]) / (prior_df + own)
            df = min(prior_df + own, total_df)
        else:
            moderated = np.full(count, prior_variance)
    if len(moderated):
        moderated = np.maximum(moderated, SMALLEST * float(np.median(moderated)))
    noisy = np.zeros(count, dtype=bool)
    if count > POOLED_CELLS:
        # Against the other cells: of seven, none can have 2.5 times the standard deviation of all seven.
        noisy = raw > NOISY**2 * (raw.sum() - raw) / (count - 1)
    return SeedVariances(
        _spread(which, raw), _spread(which, moderated), df, prior_df, prior_variance, _spread(which, noisy).astype(bool)
    )


def fit_scaled_f(variances: Floats, df: Floats) -> tuple[float, float]:
    """Prior degrees of freedom and prior variance of raw variances s²: s² / prior ~ F(df, prior df).

    The maximum of the likelihood, over ``PRIOR_DF``; for each of them the best variance is found by Newton's method
    in its logarithm, in which the likelihood is concave.
    """
    from scipy.special import gammaln

    finite = np.array(PRIOR_DF[:-1])[:, None]
    pooled = float((df * variances).sum() / df.sum())
    log_prior = np.full((len(finite), 1), math.log(pooled))
    for _ in range(25):
        ratio = df * variances / np.exp(log_prior)
        share = ratio / (finite + ratio)
        slope = ((finite + df) * share - df).sum(axis=1, keepdims=True)
        curve = ((finite + df) * share * (1 - share)).sum(axis=1, keepdims=True)
        log_prior = log_prior + np.clip(slope / np.maximum(curve, 1e-12), -1.0, 1.0)
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
