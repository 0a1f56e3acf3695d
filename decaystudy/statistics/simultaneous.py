"""Intervals that are right for all contrasts of a family at once: one critical value, by simulation of max |t|."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 2**16
CHUNK = 2**13
STRATA = 2**8
POWER = 0.8


@dataclass(frozen=True)
class Component:
    """One source of error of a family's estimates."""

    covariance: Floats
    """(contrasts, contrasts)."""
    degrees_of_freedom: float
    """With which it is known."""


@dataclass(frozen=True)
class Estimates:
    """Contrasts of one kind of measurement, with the sources of their error."""

    values: Floats
    """(contrasts,)."""
    seeds: tuple[Component, ...] = ()
    """What seeds add; several components add up."""
    clusters: Component | None = None
    """What documents or questions add."""
    residual: Floats | None = None
    """(contrasts,) variance of one seed on one document, which the seed part and the cluster part both hold."""
    floor: Floats | None = None
    """(contrasts,) least variance of an estimate."""

    def variances(self) -> Floats:
        """Seed part + cluster part − residual part, and never less than the larger of the first two."""
        count = len(self.values)
        seed_part = sum((np.diag(part.covariance) for part in self.seeds), np.zeros(count))
        cluster_part = np.diag(self.clusters.covariance) if self.clusters else np.zeros(count)
        total = seed_part + cluster_part - (0.0 if self.residual is None else self.residual)
        floor = 0.0 if self.floor is None else self.floor
        return np.maximum(np.maximum(total, floor), np.maximum(seed_part, cluster_part))

    def components(self) -> list[Component]:
        """All sources of error."""
        return [*self.seeds, *([self.clusters] if self.clusters else [])]


@dataclass(frozen=True)
class Interval:
    """An estimate with its simultaneous interval."""

    estimate: float
    low: float
    high: float
    standard_error: float
    degrees_of_freedom: float
    critical_value: float
    resolvable: float
    """The true value that would be told from 0 with a probability of 0.8."""

    def mirrored(self) -> Interval:
        """The interval of the contrast with the opposite sign."""
        return replace(self, estimate=-self.estimate, low=-self.high, high=-self.low)


def family(blocks: Sequence[Estimates], *, level: float = 0.95) -> list[list[Interval]]:
    """Simultaneous intervals of all contrasts of a family, whose critical value they share.

    Args:
        blocks: the contrasts, apart by kind of measurement (the tasks of an evaluation, the statistics of λ). Errors of
            two blocks count as independent, which makes no interval too short.
        level: joint coverage.
    """
    count = sum(len(block.values) for block in blocks)
    parts, variances, start = [], [np.zeros(0)], 0
    for block in blocks:
        inside = slice(start, start + len(block.values))
        for component in block.components():
            covariance = np.zeros((count, count))
            covariance[inside, inside] = component.covariance
            parts.append(Component(covariance, component.degrees_of_freedom))
        variances.append(block.variances())
        start = inside.stop
    if count == 0:
        return [[] for _ in blocks]
    correlation, shares = correlations(parts, count)
    dfs = [part.degrees_of_freedom for part in parts]
    critical = critical_value(correlation, shares, dfs, level)
    errors = np.sqrt(np.concatenate(variances))
    degrees = [effective_df(row, dfs) for row in shares]
    found, place = [], 0
    for block in blocks:
        row = []
        for value in block.values.tolist():
            error, df = float(errors[place]), degrees[place]
            reach, smallest = critical * error, resolvable(error, critical, df)
            row.append(Interval(value, value - reach, value + reach, error, df, critical, smallest))
            place += 1
        found.append(row)
    return found


def correlations(parts: Sequence[Component], count: int) -> tuple[Floats, Floats]:
    """Correlation (contrasts, contrasts) of estimates, and the share (contrasts, parts) of each part in a variance."""
    covariance = sum((part.covariance for part in parts), np.zeros((count, count)))
    variances = np.diag(covariance)
    scale = np.where(variances > 0, np.sqrt(variances), 1.0)
    correlation = covariance / scale[:, None] / scale
    np.fill_diagonal(correlation, 1.0)
    shares = np.array([np.diag(part.covariance) for part in parts]).reshape(len(parts), count).T / scale[:, None] ** 2
    return correlation, shares


def critical_value(correlation: Floats, shares: Floats, dfs: Sequence[float], level: float) -> float:
    """The value that max |t| stays below with probability ``level``: Dunnett's (1955) where all share a baseline.

    Each |t| is |z| · √(Σ share · df / χ²), with z normal of the given correlation and one χ² per part, the same for all
    contrasts. That is Student's t where a single part makes up the variance, and the Behrens–Fisher solution (Fisher
    1935) where several do: it allows for shares that are themselves estimated, as Satterthwaite's approximation
    doesn't. The numbers come from a fixed generator, whose stream numpy keeps.
    """
    known = [i for i, df in enumerate(dfs) if math.isfinite(df) and shares[:, i].any()]
    if len(correlation) == 1 and np.isclose(shares[0, known].max(initial=0.0), 1.0, rtol=1e-9):
        return t_quantile((1 + level) / 2, dfs[known[int(np.argmax(shares[0, known]))]])
    normal, strata = _draws(*shares.shape)
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    inverse = [1 / _chi_square(dfs[i]) for i in known]
    exact = np.maximum(1 - shares[:, known].sum(axis=1, keepdims=True), 0.0)
    largest = np.empty(DRAWS)
    for start in range(0, DRAWS, CHUNK):  # pieces that stay in the processor's cache: five times as fast
        piece = slice(start, start + CHUNK)
        squares = (root @ normal[:, piece]) ** 2
        if known:
            inflation = np.stack([values.take(strata[i, piece]) for i, values in zip(known, inverse, strict=True)])
            squares *= shares[:, known] @ inflation + exact
        squares.max(axis=0, out=largest[piece])
    place = min(DRAWS - 1, math.ceil(level * DRAWS))
    largest.partition(place)
    return math.sqrt(float(largest[place]))


def effective_df(shares: Floats, dfs: Sequence[float]) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances."""
    scatter = sum(float(share) ** 2 / df for share, df in zip(shares, dfs, strict=True))
    return 1 / scatter if scatter > 0 else math.inf


def resolvable(error: float, critical: float, df: float, power: float = POWER) -> float:
    """The true difference whose interval excludes 0 with probability ``power``: (q + t of that power) · SE."""
    return (critical + t_quantile(power, df)) * error


def t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t, of the normal distribution at infinite df."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(probability)) if math.isinf(df) else float(stdtrit(df, probability))


@lru_cache(maxsize=8)
def _draws(contrasts: int, parts: int) -> tuple[Floats, NDArray[np.int64]]:
    """Standard normal numbers (contrasts, draws), and for each part a stratum (parts, draws) of its χ²."""
    # The legacy generator, whose stream never changes; with this seed Dunnett's probabilities are met within 0.001.
    generator = np.random.RandomState(31)
    normal = generator.standard_normal((contrasts, DRAWS))
    strata = np.stack([generator.permutation(DRAWS) % STRATA for _ in range(parts)]) if parts else np.zeros((0, DRAWS))
    normal.setflags(write=False)
    return normal, strata.astype(np.int64)


@lru_cache(maxsize=256)
def _chi_square(df: float) -> Floats:
    """χ² / df at the middle of equally likely strata."""
    from scipy.special import chdtri

    return np.asarray(chdtri(df, 1 - (np.arange(STRATA) + 0.5) / STRATA)) / df
