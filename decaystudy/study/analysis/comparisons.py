"""Paired comparisons and verdicts on claims, from the validation losses and decays of finished runs. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from decaystudy.model.count import parameter_count
from decaystudy.study.analysis.outcomes import Outcome, median_decay
from decaystudy.study.analysis.statistics import ALPHA, Estimate, crossed_mean, holm, seed_mean
from decaystudy.study.definition.claims import Claim, layer_statistic
from decaystudy.study.definition.expand import Comparison, Study

if TYPE_CHECKING:
    from decaystudy.study.analysis.accuracies import Answers

Cells = Mapping[str, Sequence[Outcome]]


@dataclass(frozen=True)
class Part:
    """One number that a claim is about, and where it must lie for the claim to hold."""

    about: str
    estimate: Estimate
    low: float
    high: float
    shown: Callable[[float], float] = float
    """From the scale of the estimate to the one that is shown."""

    def p_inside(self) -> float:
        """Smallest level at which the interval lies wholly where the claim wants it."""
        if self.estimate.error == 0:
            return 0.0 if self.low < self.estimate.value < self.high else 1.0
        below = 1 - self.estimate.tail(self.high) if math.isfinite(self.high) else 0.0
        above = self.estimate.tail(self.low) if math.isfinite(self.low) else 0.0
        return min(1.0, 2 * max(below, above))

    def p_outside(self) -> float:
        """Smallest level at which the interval lies wholly elsewhere."""
        if self.estimate.error == 0:
            return 1.0 if self.low < self.estimate.value < self.high else 0.0
        over = self.estimate.tail(self.high) if math.isfinite(self.high) else 1.0
        under = 1 - self.estimate.tail(self.low) if math.isfinite(self.low) else 1.0
        return min(1.0, 2 * min(over, under))


def compare(comparisons: Sequence[Comparison], cells: Cells) -> list[dict[str, Any]]:
    """Each comparison as results.json has it, Holm-corrected over all of them."""
    estimates = [difference(cells[c.a], cells[c.b]) for c in comparisons]
    tested = [i for i, estimate in enumerate(estimates) if isinstance(estimate, Estimate)]
    p_values = [estimates[i].p_value() for i in tested]  # type: ignore[union-attr]
    corrected, levels = holm(p_values)
    place = {i: n for n, i in enumerate(tested)}
    rows = []
    for i, (comparison, estimate) in enumerate(zip(comparisons, estimates, strict=True)):
        a, b = comparison.a, comparison.b
        row: dict[str, Any] = {"a": a, "b": b, "axis": list(comparison.axis), "differing": list(comparison.differing)}
        row["parameters"] = _parameters(cells[a]) - _parameters(cells[b])
        if isinstance(estimate, str):
            row |= {"difference": None, "low": None, "high": None, "verdict": "incomplete", "why": estimate}
        else:
            n = place[i]
            low, high = estimate.interval(levels[n])
            plain = estimate.interval()
            row |= {
                "difference": estimate.value,
                "low": low,
                "high": high,
                "verdict": "worse" if low > 0 else "better" if high < 0 else "indistinguishable",
                "uncorrected": list(plain),
                "standard_error": estimate.error,
                "degrees_of_freedom": estimate.df if math.isfinite(estimate.df) else None,
                "p": p_values[n],
                "p_holm": corrected[n],
            }
        rows.append(row)
    return rows


def difference(a: Sequence[Outcome], b: Sequence[Outcome]) -> Estimate | str:
    """Loss of ``a`` minus that of ``b``, paired by seed and validation sequence; or why there is none."""
    for outcome in [*a, *b]:
        if outcome.state != "finished":
            return f"{outcome.run.name} {_has(outcome.state)}"
    one, other = [o.losses for o in a], [o.losses for o in b]
    if any(loss is None for loss in [*one, *other]):
        return "a run's validation_loss.npy cannot be read"
    if _data(a) != _data(b) or len({loss.shape for loss in [*one, *other] if loss is not None}) != 1:
        if len(a) < 2:
            return "the cells are judged on different sequences, which one seed cannot compare"
        return seed_mean([float(x.mean() - y.mean()) for x, y in zip(one, other, strict=True)])  # type: ignore[union-attr]
    return crossed_mean(np.stack(one) - np.stack(other))  # type: ignore[arg-type]


def judge(study: Study, cells: Cells, answers: Answers) -> list[dict[str, Any]]:
    """Each claim of the study as results.json has it, Holm-corrected over all claims.

    A claim of several parts is supported if all of them hold, and refuted if one clearly doesn't.
    """
    found = {claim.id: claim_parts(claim, cells, answers) for claim in study.claims}
    decided: dict[str, tuple[float, float]] = {}
    for name, parts in found.items():
        if isinstance(parts, list):
            supported = max(part.p_inside() for part in parts)
            refuted = min(1.0, len(parts) * min(part.p_outside() for part in parts))
            decided[name] = supported, refuted
    names = list(decided)
    corrected, levels = holm([min(decided[name]) for name in names])
    rows = []
    for claim in study.spec.claims:
        row: dict[str, Any] = {"id": claim.id, "text": claim.says, "kind": claim.kind}
        parts = found.get(claim.id, "its cells don't all run at this scale without --all-cells")
        if isinstance(parts, str):
            row |= {"verdict": "not tested", "effect": None, "low": None, "high": None, "why": parts, "parts": []}
        else:
            n = names.index(claim.id)
            supported, refuted = decided[claim.id]
            sure = corrected[n] < ALPHA
            verdict = "undecided" if not sure else "supported" if supported <= refuted else "refuted"
            told = decisive(parts, verdict)
            level = levels[n] / (len(parts) if verdict == "refuted" else 1)
            row |= _part(told, level)
            row = {**row, "verdict": verdict, "p_holm": corrected[n], "parts": [_part(p, level) for p in parts]}
        rows.append(row)
    return rows


def decisive(parts: Sequence[Part], verdict: str) -> Part:
    """The part that decided, or that keeps the claim from being supported."""
    if verdict == "refuted":
        return min(parts, key=Part.p_outside)
    return max(parts, key=Part.p_inside)


def claim_parts(claim: Claim, cells: Cells, answers: Answers) -> list[Part] | str:
    """The numbers that a claim is about; or why there are none."""
    if claim.kind in ("difference", "ordering"):
        parts = []
        for a, b in claim.pairs:
            estimate = difference(cells[a], cells[b])
            if isinstance(estimate, str):
                return estimate
            parts.append(Part(f"loss of {a} minus {b}", estimate, claim.low, claim.high))
        return parts
    if claim.kind == "accuracy":
        return _accuracy(claim, answers)
    names = claim.cells or tuple(cells)
    for name in names:
        for outcome in cells[name]:
            if outcome.state != "finished":
                return f"{outcome.run.name} {_has(outcome.state)}"
    if claim.kind == "optimum":
        return _optimum(claim, {name: cells[name] for name in names})
    return _decay(claim, cells)


def _accuracy(claim: Claim, answers: Answers) -> list[Part] | str:
    """One part a task: the cell's accuracy, or what it has more than another's."""
    parts = []
    for task in claim.tasks:
        about = f"accuracy of {' minus '.join(claim.cells)} on {task}"
        if len(claim.cells) == 2:
            estimate = answers.difference(*claim.cells, task)
        else:
            estimate = answers.accuracy(claim.cells[0], task) or f"{claim.cells[0]} has not been evaluated on {task}"
        if isinstance(estimate, str):
            return estimate
        least = 0.0 if len(claim.cells) == 1 else -1.0
        shown = (lambda x, least=least: min(1.0, max(least, x))) if least <= estimate.value <= 1 else float
        parts.append(Part(about, estimate, claim.low, claim.high, shown))
    return parts


def _decay(claim: Claim, cells: Cells) -> list[Part] | str:
    about = f"{claim.statistic} λ, layers: {claim.layers}, of {' minus '.join(claim.cells)}"
    columns = [[[float(x[claim.statistic]) for x in o.result["decay"]] for o in cells[name]] for name in claim.cells]
    if any(not layers for column in columns for layers in column):
        return "one of its cells has no decay"
    # "every layer between" has two ends, each with the layer nearest to it.
    both = claim.layers == "every" and math.isfinite(claim.low) and math.isfinite(claim.high)
    bounds = [(claim.low, math.inf), (-math.inf, claim.high)] if both else [(claim.low, claim.high)]
    parts = []
    for low, high in bounds:
        if len(columns) == 2 and not claim.layers.startswith("count"):
            layers = [[x - y for x, y in zip(*pair, strict=True)] for pair in zip(*columns, strict=True)]
            paired = [layer_statistic(values, claim.layers, low) for values in layers]
        else:
            values = [[layer_statistic(layers, claim.layers, low) for layers in column] for column in columns]
            paired = values[0] if len(values) == 1 else [x - y for x, y in zip(*values, strict=True)]
        parts.append(Part(about, seed_mean(paired), low, high))
    return parts


def _optimum(claim: Claim, cells: Cells) -> list[Part] | str:
    """Spearman's rank correlation, over cells, of loss with the distance of λ from the claimed best.

    Its interval is Fisher's with Bonett and Wright's variance (Psychometrika 65, 2000), on the z scale.
    """
    distance, loss = [], []
    for outcomes in cells.values():
        medians = [median_decay([{"median": x[claim.statistic]} for x in o.result["decay"]]) for o in outcomes]
        if None in medians:
            continue  # softmax attention has no λ
        distance.append(abs(math.fsum(m for m in medians if m is not None) / len(medians) - claim.at))
        loss.append(math.fsum(o.result["val_loss"] for o in outcomes) / len(outcomes))
    if len(loss) < 4:
        return "an optimum needs at least four cells with a decay"
    correlation = float(np.corrcoef(_ranks(distance), _ranks(loss))[0, 1])
    bounded = max(-0.999, min(0.999, correlation))
    error = math.sqrt((1 + bounded**2 / 2) / (len(loss) - 3))
    about = f"rank correlation of loss with |{claim.statistic} λ − {claim.at:g}| over {len(loss)} cells"
    return [Part(about, Estimate(math.atanh(bounded), error, 1e6), claim.low, claim.high, math.tanh)]


def _ranks(values: Sequence[float]) -> np.ndarray[Any, Any]:
    array = np.asarray(values)
    return np.array([(array < v).sum() + ((array == v).sum() + 1) / 2 for v in array], dtype=np.float64)


def _part(part: Part, level: float) -> dict[str, Any]:
    low, high = part.estimate.interval(level)
    exact = part.estimate.df == math.inf and part.estimate.error == 0
    return {
        "about": part.about,
        "effect": part.shown(part.estimate.value),
        "low": None if exact else part.shown(low),
        "high": None if exact else part.shown(high),
        "wanted": [_finite(part.low), _finite(part.high)],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _has(state: str) -> str:
    return {
        "planned": "has not run yet",
        "running": "is still running",
        "diverged": "diverged",
        "out-of-memory": "ran out of memory",
        "failed": "failed",
        "killed": "was killed",
    }.get(state, state)


def _data(outcomes: Sequence[Outcome]) -> Any:
    return {key: outcomes[0].run.config.identity()["data"][key] for key in ("sequence_length", "source", "tokenizer")}


def _parameters(outcomes: Sequence[Outcome]) -> int:
    return parameter_count(outcomes[0].run.config.model)
