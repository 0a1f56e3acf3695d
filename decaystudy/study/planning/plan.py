"""What a study will cost, before it runs: the content of ``--dry-run``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from decaystudy.formatting import MISSING, count, hours, size
from decaystudy.io import json_text
from decaystudy.model.count import parameter_count
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import state_of
from decaystudy.runs.memory import memory_bytes
from decaystudy.runs.state import FINAL, RunState, states_text
from decaystudy.serial import to_plain
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.definition.search import Trial
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.data_plan import data_lines, planned_data
from decaystudy.study.planning.hardware import Speed, training_flops
from decaystudy.study.planning.obstacles import free_bytes, obstacles
from decaystudy.study.planning.plan_schema import (
    Plan,
    PlanAccuracy,
    PlannedCell,
    PlannedRun,
    PlannedTuning,
    Plans,
    PlanTotal,
    WholePlan,
)
from decaystudy.table import Column, Kind, Table
from decaystudy.terminal import fitted, fold
from decaystudy.training.checkpoints import KEPT, last_step


def plan_study(study: Study, store: Store, speed: Speed, jobs: int) -> Plan:
    """Every run of a study with its cost, and what remains to be done.

    Args:
        jobs: runs at once.
    """
    every = [*study.runs(), *study.pending_runs()]
    runs = [plan_run(run, store, speed) for run in every]
    configs = [run.config for run in every]
    data = planned_data(configs)
    return Plan(
        study=study.name,
        scale=study.scale,
        hours_from=speed.source,
        devices=speed.devices,
        device_bytes=speed.device.memory_bytes,
        jobs=jobs,
        runs=tuple(runs),
        cells=plan_cells(runs),
        total=plan_total(runs, len(runs), jobs),
        not_run=study.left_out,
        tuning=plan_tuning(study, runs),
        taken={cell: taken.text for cell, taken in study.taken.items()},
        data=data,
        warnings=obstacles(runs, configs, data, *free_bytes(store)),
    )


def plan_tuning(study: Study, runs: Sequence[PlannedRun]) -> PlannedTuning | None:
    """What the search costs, beside all runs of the study; None without one."""
    if study.search is None:
        return None
    own = [run for run in runs if run.tuning]
    flops = sum(run.train_flops for run in own)
    return PlannedTuning(
        seeds=study.tuning_seeds,
        tries=max(map(len, study.trials.values())),
        runs=len(own),
        tokens=sum(run.tokens for run in own),
        train_flops=flops,
        hours=math.fsum(run.hours for run in own),
        gpu_hours=math.fsum(run.gpu_hours for run in own),
        share=flops / sum(run.train_flops for run in runs),
    )


def plan_all(studies: Sequence[Study], store: Store, speed: Speed, jobs: int) -> Plans:
    """Plans of studies that run together, whose total counts each distinct run once."""
    plans = tuple(plan_study(study, store, speed, jobs) for study in studies)
    distinct = {run.id: run for plan in plans for run in plan.runs}
    without_sharing = sum(len(plan.runs) for plan in plans)
    return Plans(studies=plans, total=plan_total(list(distinct.values()), without_sharing, jobs))


def plan_json(plans: Plans, more: Mapping[str, Any] | None = None) -> str:
    """The plans as JSON: a single study's own plan, or ``studies`` and their ``total``; then what ``more`` has."""
    content = plans.studies[0] if len(plans.studies) == 1 else plans
    return json_text({**to_plain(content), **(more or {})})


def plan_run(run: Run, store: Store, speed: Speed) -> PlannedRun:
    """One run: what it is and what the whole of it costs."""
    folder = store.find(run)
    state = state_of(folder) if folder else RunState.PLANNED
    hours = speed.seconds(run.config) / 3600
    done = 0.0
    if state in FINAL:
        done = 1.0
    elif folder is not None:
        done = last_step(folder) / run.config.max_steps
    return PlannedRun(
        id=run.hash,
        name=run.cell,
        cell=run.cell,
        seed=run.seed,
        status=state,
        learning_rate=run.learning_rate,
        trial=None if run.trial is None else run.trial.as_dict(),
        tuning=run.tuning,
        done=done,
        parameters=parameter_count(run.config.model),
        tokens=run.config.tokens,
        train_flops=training_flops(run.config),
        memory_bytes=memory_bytes(run.config, speed.devices),
        hours=hours,
        gpu_hours=hours * speed.devices if speed.gpu else 0.0,
        disk_bytes=disk_bytes(run.config),
    )


def plan_cells(runs: Sequence[PlannedRun]) -> tuple[PlannedCell, ...]:
    """The cells that these runs belong to, in their order."""
    by_cell: dict[str, list[PlannedRun]] = {}
    for run in runs:
        by_cell.setdefault(run.cell, []).append(run)
    return tuple(
        PlannedCell(
            name=name,
            seeds=tuple(dict.fromkeys(run.seed for run in own if not run.tuning)),
            status=states_text([run.status for run in own]),
            runs=len(own),
            done=math.fsum(run.done for run in own) / len(own),
            parameters=own[0].parameters,
            tokens=sum(run.tokens for run in own),
            train_flops=sum(run.train_flops for run in own),
            memory_bytes=max(run.memory_bytes for run in own),
            hours=math.fsum(run.hours for run in own),
            gpu_hours=math.fsum(run.gpu_hours for run in own),
            disk_bytes=sum(run.disk_bytes for run in own),
        )
        for name, own in by_cell.items()
    )


def plan_total(runs: Sequence[PlannedRun], without_sharing: int, jobs: int) -> PlanTotal:
    """What remains to be done; under ``whole`` what all runs cost, whether done or not."""
    remaining = [(run, 1 - run.done) for run in runs if run.done < 1]
    # What is reported begins when all trials have ended.
    phases = [[run.hours * share for run, share in remaining if run.tuning == tuning] for tuning in (True, False)]
    hours = math.fsum(run.hours * share for run, share in remaining)
    return PlanTotal(
        runs=len(remaining),
        tokens=round(math.fsum(run.tokens * share for run, share in remaining)),
        train_flops=round(math.fsum(run.train_flops * share for run, share in remaining)),
        hours=hours,
        gpu_hours=math.fsum(run.gpu_hours * share for run, share in remaining),
        elapsed_hours=math.fsum(max(*phase, math.fsum(phase) / max(jobs, 1)) for phase in phases if phase),
        disk_bytes=sum(run.disk_bytes for run, _ in remaining),
        whole=WholePlan(
            runs=len(runs),
            without_sharing=without_sharing,
            tokens=sum(run.tokens for run in runs),
            train_flops=sum(run.train_flops for run in runs),
            hours=math.fsum(run.hours for run in runs),
            gpu_hours=math.fsum(run.gpu_hours for run in runs),
        ),
    )


def disk_bytes(config: RunConfig) -> int:
    """A run's checkpoints (weights and AdamW's moments), its weights, and a megabyte of curves and logs."""
    return parameter_count(config.model) * (12 * KEPT + 4) + 2**20


def plan_text(plans: Plans, studies: Sequence[Study], store: Store, width: int | None = None) -> str:
    """The plans for people.

    Args:
        width: columns of the terminal; None for lines of any length.
    """
    lines: list[str] = []
    for plan, study in zip(plans.studies, studies, strict=True):
        lines += [f"{study.spec.title} ({plan.study}, scale {plan.scale})", "", fitted(_runs_table(plan), width), ""]
        if plan.not_run:
            lines += [f"left out without --all-cells: {', '.join(plan.not_run)}", ""]
        lines += tuning_lines(plan)
    first, rest, whole = plans.studies[0], plans.total, plans.total.whole
    if len(plans.studies) > 1:
        lines.append(f"{whole.runs} distinct runs; each study on its own would train {whole.without_sharing} in all")
    lines.append(
        f"to train: {rest.runs} of {whole.runs} runs, {count(rest.tokens)} tokens, {rest.train_flops:.2e} FLOPs, "
        f"{hours(rest.hours)} of runs"
        + (f", {rest.gpu_hours:.1f} GPU-hours" if rest.gpu_hours else "")
        + f"; about {hours(rest.elapsed_hours)} with {first.jobs} at once{_together(first)}"
    )
    free, _ = free_bytes(store)
    lines.append(f"disk: {size(rest.disk_bytes)} more in {store.path}, {size(free)} free")
    lines += dict.fromkeys(line for plan in plans.studies for line in data_lines(plan.data))
    lines.append(f"hours: {first.hours_from}")
    lines += [accuracy_line(first.accuracy)] if first.accuracy is not None else []
    lines += dict.fromkeys(f"!: {warning}" for plan in plans.studies for warning in plan.warnings)
    if any(_too_large(run, plan) for plan in plans.studies for run in plan.runs):
        lines.append("!: likely more than the device has; lower --recipe.micro_batch_size or use --strategy fsdp")
    lines.append(
        "FLOPs: three times the forward pass; the attention operator counts as 4·Dk·Dv per head and token (DPLR: 8), "
        "softmax as 2·T·d. Memory is an estimate per device"
    )
    return "\n".join(fold(line, width) if "\n" not in line else line for line in lines)


def _together(plan: Plan) -> str:
    """``, on 312 GPUs``: how many devices the planned time takes, where runs have several."""
    at_work = min(plan.jobs, max(len(plan.runs), 1)) * plan.devices
    kind = "GPUs" if any(run.gpu_hours for run in plan.runs) else "processes"
    return f", on {at_work} {kind}" if plan.devices > 1 else ""


def accuracy_line(found: PlanAccuracy) -> str:
    """``plans so far: 24 finished runs took 0.8 to 1.6 times what was planned, 1.2 in the median``"""
    runs = f"{found.runs} finished run{'' if found.runs == 1 else 's'}"
    if found.runs == 1:
        return f"plans so far: {runs} took {_factor(found.median)} times what was planned"
    return (
        f"plans so far: {runs} took {_factor(found.low)} to {_factor(found.high)} times what was planned, "
        f"{_factor(found.median)} in the median"
    )


def _factor(ratio: float) -> str:
    return f"{ratio:.2g}" if ratio < 10 else f"{ratio:,.0f}"


def tuning_lines(plan: Plan) -> list[str]:
    """What choosing settings costs, and what is taken over from another study."""
    lines = []
    if plan.tuning is not None:
        own = plan.tuning
        seeds = f"{'seed' if len(own.seeds) == 1 else 'seeds'} {', '.join(map(str, own.seeds))}"
        lines.append(
            f"tuning: {own.runs} of {len(plan.runs)} runs ({own.tries} tries of each cell on {seeds}, judged on "
            f"documents that are not reported), {count(own.tokens)} tokens, {hours(own.hours)} of runs"
            + (f", {own.gpu_hours:.1f} GPU-hours" if own.gpu_hours else "")
            + f"; {own.share:.0%} of the price of all"
        )
    for cell, source in plan.taken.items():
        lines.append(f"{cell} takes the settings chosen for {source}")
    return [*lines, ""] if lines else []


def _runs_table(plan: Plan) -> Table:
    columns = (
        Column("cell", Kind.WORDS),
        Column("seed"),
        Column("state", Kind.WORDS),
        Column("parameters", drop=1),
        Column("tokens", drop=2),
        Column("FLOPs", drop=4),
        Column("memory"),
        Column("time"),
        Column("GPU-hours", drop=3 if any(run.gpu_hours for run in plan.runs) else 5),
    )
    rows = []
    for run in plan.runs:
        partly = f" at {run.done:.0%}" if 0 < run.done < 1 else ""
        rows.append(
            (
                _run_name(run, plan),
                str(run.seed),
                f"{run.status}{partly}",
                count(run.parameters),
                count(run.tokens),
                f"{run.train_flops:.2e}",
                size(run.memory_bytes) + (" !" if _too_large(run, plan) else ""),
                hours(run.hours),
                f"{run.gpu_hours:.1f}" if run.gpu_hours else MISSING,
            )
        )
    return Table(columns, tuple(rows))


def _run_name(run: PlannedRun, plan: Plan) -> str:
    """``mamba2``, ``mamba2 lr0.003``, ``mamba2 lr0.003 tuning`` or ``mamba2 as chosen``."""
    if run.trial is None:
        return run.cell if plan.tuning is None else f"{run.cell} as chosen"
    return f"{run.cell} {Trial.of(run.trial).label}{' tuning' if run.tuning else ''}"


def _too_large(run: PlannedRun, plan: Plan) -> bool:
    return run.memory_bytes > plan.device_bytes > 0
