"""What finished runs took, over what was planned for them."""

from __future__ import annotations

import statistics

from decaystudy.errors import UserError
from decaystudy.runs.state import RunState
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.plan_schema import Plan, PlanAccuracy, PlannedRun
from decaystudy.study.planning.record import plan_file, read_recorded, studies_of


def past_accuracy(store: Store, new: Plan) -> PlanAccuracy | None:
    """Earlier plans of this store for runs like those of ``new`` against what they took; None where none has finished.

    Runs that were begun before they were planned don't count: what is left of them was planned.
    """
    alike = {_kind(new, run) for run in new.runs}
    planned: dict[str, float] = {}
    for name in studies_of(store):
        try:
            plan = read_recorded(plan_file(store, name))
        except UserError:
            continue
        if plan is None:
            continue
        for run in plan.runs:
            if not run.done and run.hours > 0 and _kind(plan, run) in alike:
                planned.setdefault(run.id, run.hours * 3600)
    ratios = []
    for folder in store.folders():
        if folder.identity not in planned:
            continue
        try:
            result = folder.read_result()
        except UserError:
            continue
        if result is not None and result.status == RunState.FINISHED:
            took = max(result.seconds or 0.0, result.process_seconds or 0.0)
            ratios += [took / planned[folder.identity]] if took else []
    if not ratios:
        return None
    return PlanAccuracy(runs=len(ratios), median=statistics.median(ratios), low=min(ratios), high=max(ratios))


def _kind(plan: Plan, run: PlannedRun) -> tuple[object, ...]:
    """What runs have in common whose plans are right or wrong for the same reasons: a run of seconds on a CPU, most of
    which is its start, tells nothing about one of days on GPUs."""
    return plan.scale, plan.devices, run.gpu_hours > 0, run.tokens
