"""Verdicts on a study's claims, from the same intervals as the rows of its tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from decaystudy.statistics import claims as statistics
from decaystudy.statistics.claims import NO_INTERVAL, Bound, ClaimVerdict, Judgement
from decaystudy.statistics.clusters import FEWEST
from decaystudy.statistics.effects import Effect
from decaystudy.statistics.half_life import decay_at, log_half_life
from decaystudy.statistics.optimum import NEAR, judge_optimum, loss_optimum
from decaystudy.study.analysis.accuracies import Answers
from decaystudy.study.analysis.decays import Decays, decay_groups, mean_positions, shown_interval
from decaystudy.study.analysis.judgement import finite
from decaystudy.study.analysis.losses import NATS, Losses
from decaystudy.study.analysis.measurements import LEVEL, Unavailable
from decaystudy.study.analysis.results import ClaimPart, ClaimResult
from decaystudy.study.analysis.runs import Cells
from decaystudy.study.definition.claims import Claim
from decaystudy.study.definition.expand import Study

FEW_DOCUMENTS = Judgement(ClaimVerdict.NOT_JUDGED, "few documents")
LEFT_OUT = "its cells don't all run at this scale without --all-cells"
_ORDER = (ClaimVerdict.REFUTED, ClaimVerdict.NOT_JUDGED, ClaimVerdict.NOT_RESOLVED, ClaimVerdict.SUPPORTED)


def judge(study: Study, cells: Cells, losses: Losses, answers: Answers, decays: Decays) -> tuple[ClaimResult, ...]:
    """Each claim of the study with its verdict."""
    readers: dict[str, Callable[[Claim], list[ClaimPart]]] = {
        "difference": lambda claim: _differences(claim, losses),
        "ordering": lambda claim: _differences(claim, losses),
        "accuracy": lambda claim: _accuracies(claim, answers),
        "decay": lambda claim: _decays(claim, decays),
        "optimum": lambda claim: [_optimum(claim, cells, losses)],
    }
    tested = {claim.id for claim in study.claims}
    return tuple(
        judged(claim, readers[claim.kind](claim))
        if claim.id in tested
        else ClaimResult(id=claim.id, text=claim.says, kind=claim.kind, verdict=ClaimVerdict.NOT_JUDGED, why=LEFT_OUT)
        for claim in study.spec.claims
    )


def judged(claim: Claim, parts: Sequence[ClaimPart]) -> ClaimResult:
    """A claim with its verdict: supported if every part is, refuted if any part is."""
    whole = statistics.judge_all([Judgement(part.verdict, part.why or "") for part in parts])
    return ClaimResult(
        id=claim.id,
        text=claim.says,
        kind=claim.kind,
        verdict=whole.verdict,
        why=whole.reason or None,
        decisive=min(parts, key=lambda part: (_ORDER.index(part.verdict), _room(part))),
        parts=tuple(parts),
    )


def _room(part: ClaimPart) -> float:
    """How far an interval is from the bounds of its claim."""
    ends = [end for end in (part.low, part.high) if end is not None]
    bounds = [bound for bound in part.wanted if bound is not None]
    return min((abs(end - bound) for end in ends for bound in bounds), default=math.inf)


def _part(about: str, claim: Claim, effect: Effect | Unavailable, few: Judgement) -> ClaimPart:
    """A part about a loss or an accuracy."""
    bound = Bound(claim.low, claim.high, between=not claim.outside)
    wanted = (finite(claim.low), finite(claim.high))
    if isinstance(effect, Unavailable):
        found = Judgement(ClaimVerdict.NOT_JUDGED, effect.why)
        return ClaimPart(about=about, verdict=found.verdict, why=found.reason, wanted=wanted, outside=claim.outside)
    found = few if effect.few_clusters and effect.low is not None else statistics.judge(effect.low, effect.high, bound)
    in_nats = any(value for value in wanted if value is not None)
    if effect.unit not in (NATS, "accuracy") and in_nats:
        found = Judgement(ClaimVerdict.NOT_JUDGED, f"its bound is in {NATS}, which tokenizers don't share")
    return ClaimPart(
        about=about,
        verdict=found.verdict,
        why=found.reason or None,
        effect=effect.estimate,
        low=finite(effect.low),
        high=finite(effect.high),
        standard_error=effect.standard_error,
        resolvable=finite(effect.resolvable),
        seeds=effect.seeds,
        wanted=wanted,
        outside=claim.outside,
    )


def _differences(claim: Claim, losses: Losses) -> list[ClaimPart]:
    return [_part(f"loss of {a} minus {b}", claim, losses.difference(a, b), FEW_DOCUMENTS) for a, b in claim.pairs]


def _accuracies(claim: Claim, answers: Answers) -> list[ClaimPart]:
    """One number per task: the cell's accuracy, or what it has more than another's."""
    cell, other = claim.cells[0], claim.cells[1] if len(claim.cells) > 1 else None
    few = Judgement(ClaimVerdict.NOT_JUDGED, "few questions")
    return [
        _part(f"accuracy of {' minus '.join(claim.cells)} on {task}", claim, answers.difference(cell, other, task), few)
        for task in claim.tasks
    ]


def _decays(claim: Claim, decays: Decays) -> list[ClaimPart]:
    found = []
    for part in decays.parts(claim):
        verdict = (
            Judgement(ClaimVerdict.NOT_JUDGED, part.effect.why)
            if isinstance(part.effect, Unavailable)
            else part.effect.judge(part.bound)
        )
        low, high = part.wanted
        found.append(
            ClaimPart(
                about=part.about,
                verdict=verdict.verdict,
                why=verdict.reason or None,
                wanted=(finite(low), finite(high)),
                outside=claim.outside,
                **shown_interval(part),
            )
        )
    return found


def _optimum(claim: Claim, cells: Cells, losses: Losses) -> ClaimPart:
    """Where the loss is lowest along λ: near the claimed one or not."""
    about = f"λ of the lowest loss, by {claim.statistic} λ"
    middle = float(log_half_life(claim.at))
    wanted = (decay_at(middle - math.log(NEAR)), decay_at(middle + math.log(NEAR)))
    names = claim.cells or tuple(cells)
    chosen = {name: cells[name] for name in names}
    positions = mean_positions(chosen, claim.statistic)
    missing = [losses.missing[name] for name in names if name in positions and name in losses.missing]
    samples = {id(m): m for m in losses.by_documents.values() if set(positions) & set(m.values)}
    why = None
    if missing:
        why = missing[0].why
    elif len(samples) != 1:
        why = "judged on other data" if samples else "no cell with a decay has finished"
    if why is not None:
        return ClaimPart(about=about, verdict=ClaimVerdict.NOT_JUDGED, why=why, wanted=wanted)
    (measurement,) = samples.values()
    sample = measurement.sample
    if sample is None:
        found, verdict = None, NO_INTERVAL
    elif sample.clusters is not None and sample.clusters < FEWEST:
        found, verdict = None, FEW_DOCUMENTS
    else:
        groups = decay_groups(chosen)
        found = loss_optimum(sample, positions, groups=groups, level=LEVEL, critical=losses.critical)
        verdict = judge_optimum(found, claim.at)
    facts: dict[str, Any] = {}
    if found is not None:
        low, high = finite(found.low), finite(found.high)
        facts = {
            "effect": decay_at(found.position) if math.isfinite(found.position) else None,
            "low": None if low is None else decay_at(low),
            "high": None if high is None else decay_at(high),
            "seeds": sample.seeds if sample else 0,
        }
    return ClaimPart(about=about, verdict=verdict.verdict, why=verdict.reason or None, wanted=wanted, **facts)
