"""Differences in validation loss between cells, paired by seed and validation sequence. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from decaystudy.model.count import parameter_count
from decaystudy.runs.state import RunState
from decaystudy.study.analysis import results
from decaystudy.study.analysis.results import ComparisonVerdict
from decaystudy.study.analysis.statistics import Estimate, Losses, Unavailable, crossed_mean, holm, seed_mean
from decaystudy.study.definition.expand import Comparison
from decaystudy.study.execution.outcomes import Outcome

Cells = Mapping[str, Sequence[Outcome]]
"""The runs of each cell that count, in the order of its seeds."""
_UNFINISHED = {
    RunState.PLANNED: "has not run yet",
    RunState.RUNNING: "is still running",
    RunState.DIVERGED: "diverged",
    RunState.OUT_OF_MEMORY: "ran out of memory",
    RunState.FAILED: "failed",
    RunState.KILLED: "was killed",
}


def compare(comparisons: Sequence[Comparison], cells: Cells) -> tuple[results.Comparison, ...]:
    """Each comparison with its verdict, Holm-corrected over all of them."""
    estimates = [difference(cells[c.a], cells[c.b]) for c in comparisons]
    corrected = corrections(estimates)
    rows = []
    for i, (comparison, estimate) in enumerate(zip(comparisons, estimates, strict=True)):
        a, b = comparison.a, comparison.b
        facts: dict[str, Any] = {"a": a, "b": b, "axis": comparison.axis, "differing": comparison.differing}
        facts["parameters"] = _parameters(cells[a]) - _parameters(cells[b])
        if isinstance(estimate, Unavailable):
            rows.append(results.Comparison(**facts, verdict=ComparisonVerdict.INCOMPLETE, why=estimate.why))
            continue
        p_holm, level = corrected[i]
        low, high = estimate.interval(level)
        rows.append(
            results.Comparison(
                **facts,
                difference=estimate.value,
                low=low,
                high=high,
                verdict=verdict_of(-high, -low),
                uncorrected=estimate.interval(),
                standard_error=estimate.error,
                degrees_of_freedom=estimate.df if math.isfinite(estimate.df) else None,
                p=estimate.p_value(),
                p_holm=p_holm,
            )
        )
    return tuple(rows)


def corrections(estimates: Sequence[Estimate | Unavailable]) -> dict[int, tuple[float, float]]:
    """By place, the Holm-corrected p of each estimate that there is, and the level of its interval."""
    tested = {i: estimate for i, estimate in enumerate(estimates) if isinstance(estimate, Estimate)}
    corrected, levels = holm([estimate.p_value() for estimate in tested.values()])
    return dict(zip(tested, zip(corrected, levels, strict=True), strict=True))


def verdict_of(low: float, high: float) -> ComparisonVerdict:
    """The verdict, from the interval of the first cell's advantage over the second."""
    if low > 0:
        return ComparisonVerdict.BETTER
    return ComparisonVerdict.WORSE if high < 0 else ComparisonVerdict.INDISTINGUISHABLE


def difference(a: Sequence[Outcome], b: Sequence[Outcome]) -> Estimate | Unavailable:
    """Loss of ``a`` minus that of ``b``, paired by seed and validation sequence."""
    missing = unfinished([*a, *b])
    if missing is not None:
        return missing
    one, other = all_losses(a), all_losses(b)
    if one is None or other is None:
        return Unavailable("a run's validation_loss.npy cannot be read")
    if _data(a) != _data(b) or len({loss.shape for loss in [*one, *other]}) != 1:
        if len(a) < 2:
            return Unavailable("the cells are judged on different sequences, which one seed cannot compare")
        return seed_mean([float(x.mean() - y.mean()) for x, y in zip(one, other, strict=True)])
    return crossed_mean(np.stack(one) - np.stack(other))


def all_losses(outcomes: Sequence[Outcome]) -> list[Losses] | None:
    """The losses of each run; None if one has none."""
    losses = [outcome.losses for outcome in outcomes if outcome.losses is not None]
    return losses if len(losses) == len(outcomes) else None


def unfinished(outcomes: Sequence[Outcome]) -> Unavailable | None:
    """Why these runs can't be compared: the first that has not finished; None where all have."""
    for outcome in outcomes:
        if not outcome.finished:
            return Unavailable(f"{outcome.run.name} {_UNFINISHED[outcome.state]}")
    return None


def _data(outcomes: Sequence[Outcome]) -> Any:
    return {key: outcomes[0].run.config.identity()["data"][key] for key in ("sequence_length", "source", "tokenizer")}


def _parameters(outcomes: Sequence[Outcome]) -> int:
    return parameter_count(outcomes[0].run.config.model)
