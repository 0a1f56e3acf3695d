"""Verdicts on a study's claims, from the losses, decays and answers of finished runs. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decaystudy.study.analysis.accuracies import Answers
from decaystudy.study.analysis.comparisons import Cells, difference, unfinished
from decaystudy.study.analysis.results import ClaimPart, ClaimResult, ClaimVerdict
from decaystudy.study.analysis.statistics import ALPHA, Estimate, Unavailable, holm, seed_mean
from decaystudy.study.definition.claims import Claim, layer_statistic
from decaystudy.study.definition.expand import Study
from decaystudy.study.execution.outcomes import Outcome


@dataclass(frozen=True)
class Requirement:
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

    def part(self, level: float) -> ClaimPart:
        """As results.json has it, with the interval of that level."""
        low, high = self.estimate.interval(level)
        exact = self.estimate.df == math.inf and self.estimate.error == 0
        return ClaimPart(
            about=self.about,
            effect=self.shown(self.estimate.value),
            low=None if exact else self.shown(low),
            high=None if exact else self.shown(high),
            wanted=(_finite(self.low), _finite(self.high)),
        )


def judge(study: Study, cells: Cells, answers: Answers) -> tuple[ClaimResult, ...]:
    """Each claim of the study with its verdict, Holm-corrected over all claims.

    A claim of several requirements is supported if all of them hold, and refuted if one clearly doesn't.
    """
    found = {claim.id: requirements(claim, cells, answers) for claim in study.claims}
    decided: dict[str, tuple[float, float]] = {}
    for name, required in found.items():
        if not isinstance(required, Unavailable):
            supported = max(one.p_inside() for one in required)
            refuted = min(1.0, len(required) * min(one.p_outside() for one in required))
            decided[name] = supported, refuted
    corrected, levels = holm([min(both) for both in decided.values()])
    place = {name: i for i, name in enumerate(decided)}
    rows = []
    for claim in study.spec.claims:
        required = found.get(claim.id, Unavailable("its cells don't all run at this scale without --all-cells"))
        if isinstance(required, Unavailable):
            rows.append(untested(claim, required))
            continue
        p_holm, level = corrected[place[claim.id]], levels[place[claim.id]]
        supported, refuted = decided[claim.id]
        verdict = ClaimVerdict.UNDECIDED
        if p_holm < ALPHA:
            verdict = ClaimVerdict.SUPPORTED if supported <= refuted else ClaimVerdict.REFUTED
        rows.append(judged(claim, required, verdict, p_holm, level))
    return tuple(rows)


def untested(claim: Claim, reason: Unavailable) -> ClaimResult:
    """A claim that there is nothing to judge by."""
    return ClaimResult(id=claim.id, text=claim.says, kind=claim.kind, verdict=ClaimVerdict.NOT_TESTED, why=reason.why)


def judged(
    claim: Claim, required: Sequence[Requirement], verdict: ClaimVerdict, p_holm: float, level: float
) -> ClaimResult:
    """A claim with its verdict, and the interval of each number at ``level`` (shared out where one refutes)."""
    if verdict == ClaimVerdict.REFUTED:
        level /= len(required)
        decisive = min(required, key=Requirement.p_outside)
    else:  # the one that keeps the claim from being supported
        decisive = max(required, key=Requirement.p_inside)
    told = decisive.part(level)
    return ClaimResult(
        id=claim.id,
        text=claim.says,
        kind=claim.kind,
        verdict=verdict,
        about=told.about,
        effect=told.effect,
        low=told.low,
        high=told.high,
        wanted=told.wanted,
        p_holm=p_holm,
        parts=tuple(one.part(level) for one in required),
    )


def requirements(claim: Claim, cells: Cells, answers: Answers) -> list[Requirement] | Unavailable:
    """The numbers that a claim is about, and what it wants of them."""
    if claim.kind in ("difference", "ordering"):
        return _differences(claim, cells)
    if claim.kind == "accuracy":
        return _accuracies(claim, answers)
    names = claim.cells or tuple(cells)
    missing = unfinished([outcome for name in names for outcome in cells[name]])
    if missing is not None:
        return missing
    if claim.kind == "optimum":
        return _optimum(claim, {name: cells[name] for name in names})
    return _decays(claim, cells)


def _differences(claim: Claim, cells: Cells) -> list[Requirement] | Unavailable:
    required = []
    for a, b in claim.pairs:
        estimate = difference(cells[a], cells[b])
        if isinstance(estimate, Unavailable):
            return estimate
        required.append(Requirement(f"loss of {a} minus {b}", estimate, claim.low, claim.high))
    return required


def _accuracies(claim: Claim, answers: Answers) -> list[Requirement] | Unavailable:
    """One number per task: the cell's accuracy, or what it has more than another's."""
    required = []
    for task in claim.tasks:
        about = f"accuracy of {' minus '.join(claim.cells)} on {task}"
        one, *other = claim.cells
        estimate = answers.difference(one, other[0], task) if other else answers.accuracy(one, task)
        if isinstance(estimate, Unavailable):
            return estimate
        least = -1.0 if other else 0.0
        shown = (lambda x, least=least: min(1.0, max(least, x))) if least <= estimate.value <= 1 else float
        required.append(Requirement(about, estimate, claim.low, claim.high, shown))
    return required


def _decays(claim: Claim, cells: Cells) -> list[Requirement] | Unavailable:
    about = f"{claim.statistic} λ, layers: {claim.layers}, of {' minus '.join(claim.cells)}"
    columns = [[_statistics(outcome, claim.statistic) for outcome in cells[name]] for name in claim.cells]
    if any(not layers for column in columns for layers in column):
        return Unavailable("one of its cells has no decay")
    # "every layer between" has two ends, each with the layer nearest to it.
    both = claim.layers == "every" and math.isfinite(claim.low) and math.isfinite(claim.high)
    bounds = [(claim.low, math.inf), (-math.inf, claim.high)] if both else [(claim.low, claim.high)]
    required = []
    for low, high in bounds:
        if len(columns) == 2 and not claim.layers.startswith("count"):
            layers = [[x - y for x, y in zip(*pair, strict=True)] for pair in zip(*columns, strict=True)]
            paired = [layer_statistic(values, claim.layers, low) for values in layers]
        else:
            values = [[layer_statistic(layers, claim.layers, low) for layers in column] for column in columns]
            paired = values[0] if len(values) == 1 else [x - y for x, y in zip(*values, strict=True)]
        required.append(Requirement(about, seed_mean(paired), low, high))
    return required


def _optimum(claim: Claim, cells: Cells) -> list[Requirement] | Unavailable:
    """Spearman's rank correlation, over cells, of loss with the distance of λ from the claimed best.

    Its interval is Fisher's with Bonett and Wright's variance (Psychometrika 65, 2000), on the z scale.
    """
    distance, loss = [], []
    for outcomes in cells.values():
        layers = [_statistics(outcome, claim.statistic) for outcome in outcomes]
        if not all(layers):
            continue  # softmax attention has no λ
        medians = [float(np.median(values)) for values in layers]
        distance.append(abs(math.fsum(medians) / len(medians) - claim.at))
        loss.append(math.fsum(outcome.val_loss for outcome in outcomes) / len(outcomes))
    if len(loss) < 4:
        return Unavailable("an optimum needs at least four cells with a decay")
    correlation = float(np.corrcoef(_ranks(distance), _ranks(loss))[0, 1])
    bounded = max(-0.999, min(0.999, correlation))
    error = math.sqrt((1 + bounded**2 / 2) / (len(loss) - 3))
    about = f"rank correlation of loss with |{claim.statistic} λ − {claim.at:g}| over {len(loss)} cells"
    return [Requirement(about, Estimate(math.atanh(bounded), error, 1e6), claim.low, claim.high, math.tanh)]


def _statistics(outcome: Outcome, statistic: str) -> list[float]:
    return [float(getattr(layer, statistic)) for layer in outcome.decay]


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values)
    return np.array([(array < v).sum() + ((array == v).sum() + 1) / 2 for v in array], dtype=np.float64)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
