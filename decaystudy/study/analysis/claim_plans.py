"""Which claims of a study its seeds could resolve, before it runs."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from decaystudy.statistics.effects import TWO_SEED_CELLS
from decaystudy.statistics.planning import Design, Goal, resolvable_difference, seeds_needed
from decaystudy.study.analysis.claims import LEFT_OUT
from decaystudy.study.analysis.losses import NATS
from decaystudy.study.definition.claims import Claim
from decaystudy.study.definition.claims.margins import MARGINS
from decaystudy.study.definition.expand import Study
from decaystudy.study.planning.plan_schema import ClaimPlan

FEWEST_CELLS = 4
"""That an optimum needs."""
_resolvable = functools.cache(resolvable_difference)
_seeds_needed = functools.cache(seeds_needed)


@dataclass(frozen=True)
class Question:
    """What a claim asks of a design about losses."""

    margin: float
    """The smallest difference, or the largest that is still equality."""
    beyond: float
    """Of a difference, the bound that it must lie beyond."""
    goal: Goal


def plan_claims(study: Study, design: Design | None, *, evaluated: bool) -> tuple[ClaimPlan, ...]:
    """What the study's seeds can make of each of its claims.

    Args:
        design: of its comparisons of losses; None without any.
        evaluated: whether its cells will be evaluated on tasks.
    """
    known = {claim.id for claim in study.claims}
    return tuple(
        _plan(claim, study, design, evaluated=evaluated)
        if claim.id in known
        else ClaimPlan(id=claim.id, resolved=False, why=LEFT_OUT)
        for claim in study.spec.claims
    )


def question_of(claim: Claim) -> Question | None:
    """What a claim asks about losses; None for one that compares none.

    A claim of any difference, above or below 0, is asked for one that matters.
    """
    if not claim.loss_pairs():
        return None
    asked = claim.bounds.margins() if claim.unit == NATS else []
    if not asked:
        return Question(MARGINS["matters"].value, 0.0, Goal.DIFFERENCE)
    margin, goal = min(asked)
    return Question(margin, 0.0 if goal is Goal.EQUIVALENCE else margin, goal)


def seeds_for(claim: Claim, design: Design) -> int | None:
    """About how many seeds resolve a claim about losses; None where 200 don't, and for other claims."""
    question = question_of(claim)
    return None if question is None else _seeds_needed(design, question.margin, question.goal)


def _plan(claim: Claim, study: Study, design: Design | None, *, evaluated: bool) -> ClaimPlan:
    seeds = len(study.seeds)
    needed = None if design is None else seeds_for(claim, design)
    why = None
    if seeds == 1:
        why = "one seed judges nothing"
    elif claim.accuracies() and not evaluated:
        why = "the cells are not evaluated: add --evaluate"
    elif seeds == 2 and (len(study.cells) if design is None else design.cells) < TWO_SEED_CELLS:
        why = "two seeds of fewer than five cells bound nothing"
    elif claim.of_losses and not claim.loss_pairs() and len(claim.named_cells() or study.cells) < FEWEST_CELLS:
        why = "an optimum needs four unrelated cells with a decay"
    elif design is not None and claim.loss_pairs():
        why = _unresolved(claim, design, seeds, needed)
    return ClaimPlan(id=claim.id, resolved=why is None, why=why, seeds=needed)


def _unresolved(claim: Claim, design: Design, seeds: int, needed: int | None) -> str | None:
    """Why so many seeds don't resolve a claim about losses, and how many would; None where they do."""
    question = question_of(claim)
    assert question is not None
    smallest = _resolvable(design, seeds, question.goal)
    if smallest is None or smallest <= question.margin:
        return None
    takes = "more than 200 seeds" if needed is None else f"about {needed} seeds"
    if question.goal is Goal.EQUIVALENCE:
        return f"{seeds} seeds tell equality within ±{smallest:.2g}; within ±{question.margin:g} takes {takes}"
    found = "nothing" if math.isinf(smallest) else f"only true differences of {question.beyond + smallest:.2g} or more"
    asked = question.beyond + question.margin
    return f"{seeds} seeds find {found}; one of {asked:.2g} takes {takes}"


def plan_lines(plans: Sequence[ClaimPlan]) -> list[str]:
    """Which claims can't be resolved, those of one reason together; empty where all can."""
    reasons: dict[str, list[str]] = {}
    for plan in plans:
        if plan.why is not None:
            reasons.setdefault(plan.why, []).append(plan.id)
    if not reasons:
        return []
    count = sum(map(len, reasons.values()))
    lines = [f"claims that this design can't resolve ({count} of {len(plans)}):"]
    return lines + [f"  {', '.join(ids)}: {why}" for why, ids in reasons.items()]
