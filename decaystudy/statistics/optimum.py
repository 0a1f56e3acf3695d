"""Where the loss is lowest along the half-life, with an interval for the place."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from decaystudy.statistics import checks
from decaystudy.statistics.claims import Bound, ClaimVerdict, Judgement, judge
from decaystudy.statistics.half_life import log_half_life
from decaystudy.statistics.sample import Sample
from decaystudy.statistics.simultaneous import critical_value, effective_df
from decaystudy.statistics.variance import seed_variances

NEAR = 2.0
"""Near a λ is less than this factor from its half-life: 0.64 to 0.89 for 0.8."""
COEFFICIENTS = 3


@dataclass(frozen=True)
class Optimum:
    """The lowest point of a parabola through the losses, on the logarithm of the half-life."""

    position: float
    """Natural logarithm of the half-life in tokens; NaN where the parabola has no lowest point."""
    low: float
    """Lower end of its interval; −inf where the curve is too flat to bound it."""
    high: float
    curvature: float
    """Coefficient of the square."""
    curvature_error: float
    misfit: float
    """Standard deviation of the groups of cells about the parabola, beyond their errors."""
    degrees_of_freedom: float
    critical_value: float
    seeds: int = 0
    """That the losses are means of; 0 where that is not known."""


def fit_optimum(
    positions: ArrayLike,
    losses: ArrayLike,
    covariance: ArrayLike,
    *,
    degrees_of_freedom: float,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    critical: float = 0.0,
) -> Optimum | None:
    """Fits loss = a + b x + c x² to cell means, and bounds its lowest point −b/2c by Fieller's theorem (1954).

    Besides their errors the groups of cells may lie off the parabola by an amount of their own, whose variance is
    estimated from what the errors don't explain, and known with (groups − 3) degrees of freedom.

    Args:
        positions: (cells,) log half-life of each cell.
        losses: (cells,) mean losses.
        covariance: (cells, cells) of these means; what all cells share doesn't matter.
        degrees_of_freedom: with which the covariance is known.
        groups: related cells, such as the ablations of one decay, are one group; each cell is one by default.
        level: of the interval.
        critical: critical value of the family that the claim belongs to; the interval uses the larger one.

    Returns:
        None with fewer than four groups or different positions, which leave nothing to tell the misfit from.

    Raises:
        ValueError: shapes that don't fit.
    """
    checks.probability("level", level)
    x, y, errors = checks.numbers("positions", positions), checks.numbers("losses", losses), np.asarray(covariance)
    count = len(x) if x.ndim == 1 else -1
    if y.shape != (count,) or errors.shape != (count, count):
        raise ValueError(f"positions {x.shape}, losses {y.shape} and covariance {errors.shape} don't fit together")
    names = list(range(count)) if groups is None else list(groups)
    if len(names) != count:
        raise ValueError(f"{len(names)} groups are given for {count} cells")
    distinct = list(dict.fromkeys(names))
    if len(distinct) <= COEFFICIENTS or len(np.unique(x)) <= COEFFICIENTS:
        return None
    centre = float(x.mean())
    design = np.stack([np.ones(count), x - centre, (x - centre) ** 2], axis=1)
    solve = np.linalg.pinv(design)
    _, slope, curvature = solve @ y
    remove = np.eye(count) - design @ solve
    member = np.array([[name == other for other in distinct] for name in names], dtype=np.float64)
    unexplained = float(y @ remove @ y) - float(np.trace(remove @ errors))
    spread = float(np.trace(remove @ member @ member.T))
    misfit = max(0.0, unexplained / spread) if spread > 1e-12 else 0.0
    noise = (solve @ errors @ solve.T)[1:, 1:]
    off = misfit * (solve @ member @ member.T @ solve.T)[1:, 1:]
    # The slope of the curve at its lowest point, which is 0 there, is what the interval rests on.
    at = np.array([1.0, -slope / curvature]) if curvature > 0 else np.array([0.0, 1.0])
    parts = np.array([[at @ noise @ at, at @ off @ at]])
    total = float(parts.sum())
    shares = parts / total if total > 0 else np.zeros((1, 2))
    dfs = [degrees_of_freedom, float(len(distinct) - COEFFICIENTS)]
    value = max(critical, critical_value(np.eye(1), shares, dfs, level))
    both = noise + off
    low, high = _fieller(float(slope), float(curvature), both, value)
    return Optimum(
        position=float(centre - slope / (2 * curvature)) if curvature > 0 else math.nan,
        low=centre + low,
        high=centre + high,
        curvature=float(curvature),
        curvature_error=math.sqrt(max(0.0, float(both[1, 1]))),
        misfit=math.sqrt(misfit),
        degrees_of_freedom=effective_df(shares[0], dfs),
        critical_value=value,
    )


def loss_optimum(
    sample: Sample,
    positions: dict[Hashable, float],
    *,
    groups: dict[Hashable, Hashable] | None = None,
    level: float = 0.95,
    critical: float = 0.0,
) -> Optimum | None:
    """``fit_optimum`` of losses that were read by ``read_losses``, over the cells that have a position.

    Returns:
        None also with one seed.
    """
    if sample.data is None:
        return None
    names = [sample.cells[i] for i in sample.together]
    chosen = [i for i, name in enumerate(names) if name in positions]
    if not chosen:
        return None
    variances = seed_variances(sample.data.means, varying=sample.varying, pooled=sample.pooled)
    moved = sample.data.influence.mean(axis=1)
    covariance = np.diag(variances.moderated / sample.seeds) + moved @ moved.T
    found = fit_optimum(
        [positions[names[i]] for i in chosen],
        sample.data.means.mean(axis=1)[chosen],
        covariance[np.ix_(chosen, chosen)],
        degrees_of_freedom=variances.degrees_of_freedom,
        groups=[groups.get(names[i], names[i]) if groups else names[i] for i in chosen],
        level=level,
        critical=critical,
    )
    return None if found is None else replace(found, seeds=sample.seeds)


def judge_optimum(found: Optimum | None, at: float, *, near: float = NEAR) -> Judgement:
    """The claim that the loss is lowest near a λ: within a factor ``near`` of its half-life.

    Args:
        at: the λ, strictly between 0 and 1.
    """
    checks.probability("at", at)
    if not (math.isfinite(near) and near > 1):
        raise ValueError(f"near is {near!r}: give a factor above 1")
    if found is None:
        return Judgement(ClaimVerdict.NOT_JUDGED, "an optimum needs two seeds and four unrelated cells with a decay")
    middle = float(log_half_life(at))
    return judge(found.low, found.high, Bound(middle - math.log(near), middle + math.log(near)))


def _fieller(slope: float, curvature: float, covariance: np.ndarray, critical: float) -> tuple[float, float]:
    """Where slope + 2 · curvature · x is not told from 0, if that is an interval about a lowest point."""
    squared = critical**2
    a = 4 * (curvature**2 - squared * covariance[1, 1])
    b = 4 * (slope * curvature - squared * covariance[0, 1])
    c = slope**2 - squared * covariance[0, 0]
    if curvature <= 0 or a <= 0:
        return -math.inf, math.inf
    root = math.sqrt(max(0.0, b**2 - 4 * a * c))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)
