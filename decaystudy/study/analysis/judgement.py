"""From effects to rows of results.json: verdicts, and what a family of effects can resolve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from decaystudy.statistics.clusters import cluster_component, residual_variance
from decaystudy.statistics.comparison import judged
from decaystudy.statistics.effects import Effect, Pair
from decaystudy.statistics.planning import Design, Goal, seeds_needed
from decaystudy.statistics.sample import Sample
from decaystudy.statistics.variance import seed_variances
from decaystudy.study.analysis.measurements import LEVEL, Measurement, Unavailable
from decaystudy.study.analysis.results import ComparisonVerdict, Family


def facts_of(
    effect: Effect | Unavailable,
    margin: float | None = None,
    *,
    higher_is_better: bool = False,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The fields of a ``JudgedDifference``.

    Args:
        margin: differences below it are equivalent.
        notes: what a reader of the row should know beside what the effect itself says.
    """
    if isinstance(effect, Unavailable):
        verdict = ComparisonVerdict.NOT_JUDGED if effect.learned_nothing else ComparisonVerdict.INCOMPLETE
        return {"verdict": verdict, "why": effect.why}
    row = judged(effect, margin, higher_is_better=higher_is_better)
    return {
        "verdict": ComparisonVerdict(row.verdict.value),
        "difference": row.difference,
        "low": finite(row.low),
        "high": finite(row.high),
        "resolvable": finite(row.resolvable),
        "margin": margin,
        "standard_error": row.standard_error,
        "degrees_of_freedom": finite(row.degrees_of_freedom),
        "critical": row.critical_value,
        "unit": row.unit,
        "seeds": row.seeds,
        "documents": row.documents,
        "notes": (*row.notes, *notes),
    }


def family_facts(
    measurements: Sequence[Measurement],
    effects: Sequence[Effect],
    unit: str,
    *,
    margin: float | None = None,
    goal: Goal = Goal.DIFFERENCE,
    notes: Sequence[str] = (),
) -> Family:
    """What a report says of a family.

    Args:
        effects: all that it has.
        margin: the smallest that a claim asks for.
        goal: what the margin is for.
    """
    told = [effect for effect in effects if effect.critical_value is not None]
    own = [effect for effect in told if effect.baseline is not None and effect.unit == unit]
    sizes = [size for effect in own if (size := finite(effect.resolvable)) is not None]
    clusters = {effect.clusters for effect in effects}
    largest = max(measurements, key=lambda m: len(m.pairs), default=None)
    needed, sample = None, None if largest is None else largest.sample
    known = None if sample is None else noise_of(sample)
    if margin is not None and largest is not None and largest.sample is not None:
        needed = needed_seeds(largest.sample, largest.pairs, margin, goal)
    return Family(
        unit=unit,
        level=LEVEL,
        effects=len({frozenset((effect.cell, effect.baseline, effect.unit)) for effect in effects}),
        seeds=largest.together[1] if told and largest is not None else (),
        documents=clusters.pop() if len(clusters) == 1 else None,
        critical=told[0].critical_value if told else None,
        resolvable=(min(sizes), max(sizes)) if sizes else None,
        margin=margin,
        seeds_for_margin=needed,
        seed_sd=known[0] if known is not None and sample is not None and sample.unit == unit else None,
        notes=tuple(notes),
    )


def needed_seeds(sample: Sample, pairs: Sequence[Pair], margin: float, goal: Goal) -> int | None:
    """About how many seeds would resolve a margin, as far as the seeds that there are can tell."""
    known = noise_of(sample)
    asked = [(a, b) for a, b in pairs if b is not None and {a, b} <= {sample.cells[i] for i in sample.together}]
    if known is None or not asked:
        return None
    seed_sd, document_error = known
    design = Design(asked, len(sample.together), seed_sd, document_error, sample.clusters)
    return seeds_needed(design, margin, goal)


def noise_of(sample: Sample) -> tuple[float, float] | None:
    """Standard deviation of a cell between seeds, and the error of a difference that stems from the documents alone;
    None where they are not known."""
    if sample.data is None or len(sample.together) < 2:
        return None
    seed_sd = math.sqrt(seed_variances(sample.data.means, varying=sample.varying, pooled=sample.pooled).pooled)
    if seed_sd == 0:
        return None
    if sample.clusters is None:
        return seed_sd, 0.0
    count = len(sample.together)
    contrasts = np.eye(count)[1:] - np.eye(count)[:1]
    covariance = np.diag(cluster_component(sample.data, contrasts).covariance)
    apart = np.maximum(covariance - residual_variance(sample.data, contrasts), 0.0)
    return seed_sd, math.sqrt(float(np.median(apart)))


def finite(value: float | None) -> float | None:
    """The value; None for an infinite one."""
    return value if value is not None and math.isfinite(value) else None
