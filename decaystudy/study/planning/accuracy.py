"""What finished runs took, over what was planned for them."""

from __future__ import annotations

import statistics

from decaystudy.errors import UserError
from decaystudy.runs.state import RunState
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.plan_schema import PlanAccuracy
from decaystudy.study.planning.record import plan_file, read_recorded, studies_of


def past_accuracy(store: Store) -> PlanAccuracy | None:
    """Plans of this store against what their runs took; None where no planned run has finished.

    Runs that were begun before they were planned don't count: what is left of them was planned.
    """
    planned: dict[str, float] = {}
    for name in studies_of(store):
        try:
            plan = read_recorded(plan_file(store, name))
        except UserError:
            continue
        for run in () if plan is None else plan.runs:
            if not run.done and run.hours > 0:
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
