"""``decaystudy run-study``: plan, train and compare the runs of one or more studies. Needs no torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from decaystudy.errors import UserError
from decaystudy.runs.folder import state_of
from decaystudy.runs.state import FINAL
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.definition.schema import studies_folder
from decaystudy.study.definition.several import expand_all, union
from decaystudy.study.execution.evaluating import evaluate_runs, refuse_tasks, refuse_unknown_tasks, tasks_of
from decaystudy.study.execution.local import LocalLauncher
from decaystudy.study.execution.progress import Narrator
from decaystudy.study.execution.scheduler import train_all
from decaystudy.study.execution.slurm import SlurmLauncher, SlurmOptions
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.hardware import Speed, choose_speed
from decaystudy.study.planning.plan import plan_all, plan_json, plan_study, plan_text
from decaystudy.study.planning.plan_schema import Call
from decaystudy.study.planning.record import write_call
from decaystudy.study.reporting.documents import as_text
from decaystudy.study.reporting.report import write_results

LAUNCHERS = ("local", "slurm")


def run_study(
    studies: Sequence[str],
    *,
    scale: str | None = None,
    seeds: str | None = None,
    all_cells: bool = False,
    out: str = "runs",
    dry_run: bool = False,
    as_json: bool = False,
    jobs: int | None = None,
    devices: int = 1,
    launcher: str = "local",
    gpu: str | None = None,
    sweep: str | None = None,
    evaluate: bool = False,
    overrides: Mapping[str, Any] | None = None,
    slurm: SlurmOptions | None = None,
    attach: bool = False,
    cancel: bool = False,
) -> int:
    """Plan, train and compare the runs of one or more studies.

    A run that is finished already, in whatever study, is not trained again; an unfinished one goes on from its last
    checkpoint. Exit code 1 means that a run did not finish.

    Args:
        studies: names of the package's studies, or paths of study files.
        scale: tiny, small, 160m, 410m or 1.45b; the study's own unless given.
        seeds: such as 0,1 or 0-4; 3 is the one seed 3.
        all_cells: also the cells that the study leaves out at this scale.
        out: where runs and results go.
        dry_run: print the plan and stop.
        as_json: the plan as JSON.
        jobs: runs at once; as many as fit the machine unless given.
        devices: GPUs, or processes, of each run.
        launcher: local, or slurm (a job a run).
        gpu: the GPU that planned hours assume, such as a100-80gb or h100; it overrides a probe.
        sweep: learning rates to try each cell at, such as lr=1e-4,3e-4,1e-3.
        evaluate: evaluate every cell on the study's tasks once it is trained.
        overrides: settings of all cells, nested: {"data": {"source": "files"}, "trainer": {"max_steps": 100}}.
        slurm: partition, account, time and the like.
        attach: watch the jobs of an earlier call until they end.
        cancel: end the jobs of an earlier call.
    """
    if launcher not in LAUNCHERS:
        raise UserError(f"unknown launcher {launcher!r}: choose from {', '.join(LAUNCHERS)}")
    for name, number in (("jobs", jobs), ("devices", devices)):
        if number is not None and number < 1:
            raise UserError(f"--{name} is {number}: give at least 1")
    rates = parse_sweep(sweep) if sweep is not None else None
    expanded = expand_all(
        studies,
        scale=scale,
        seeds=seeds,
        all_cells=all_cells,
        overrides=overrides,
        learning_rates=rates,
    )
    tasks = {study.name: tasks_of(study) for study in expanded if evaluate or study.spec.evaluate is not None}
    for study in expanded:
        if study.name in tasks and not (attach or cancel):
            refuse_tasks(study, tasks[study.name])
    store = Store(out)
    needed = union(expanded)
    if dry_run:
        return print_plan(expanded, store, jobs=jobs, devices=devices, gpu=gpu, as_json=as_json)
    if not (attach or cancel):
        refuse_unknown_tasks(tasks.values())
    speed, at_once = plan_speed(expanded, jobs=jobs, devices=devices, gpu=gpu)
    for study in expanded:
        call = Call(
            study=str(study.spec.file.absolute()) if study.spec.file.parent != studies_folder() else study.name,
            scale=study.scale,
            seeds=study.seeds,
            all_cells=all_cells,
            overrides=dict(overrides or {}),
            learning_rates=rates,
        )
        write_call(study, store, call, plan_study(study, store, speed, at_once))
    if launcher == "slurm":
        options = slurm or SlurmOptions()
        return run_on_slurm(expanded, store, options, devices, tasks, attach=attach, cancel=cancel)
    local = LocalLauncher(jobs=jobs, devices=devices)
    trouble = train_here(expanded, needed, store, local)
    return conclude(expanded, store, trouble, evaluate_here(expanded, store, tasks, local))


def train_here(
    studies: Sequence[Study], needed: Sequence[Run], store: Store, launcher: LocalLauncher
) -> dict[str, str]:
    """Train on this machine what is not finished; returns the runs that could not be, with the reason."""
    todo = [run for run in needed if (folder := store.find(run)) is None or state_of(folder) not in FINAL]
    if not todo:
        return {}
    narrator = Narrator(len(todo))
    names = ", ".join(study.name for study in studies)
    done = len(needed) - len(todo)
    narrator.say(
        f"{names} at scale {studies[0].scale}: {len(needed)} runs" + (f", {done} done already" if done else "")
    )
    for study in studies:
        store.link(study, study.runs())
    try:
        return train_all(todo, store, launcher, narrator)
    finally:
        narrator.close()


def evaluate_here(
    studies: Sequence[Study], store: Store, tasks: Mapping[str, str], launcher: LocalLauncher
) -> dict[str, str]:
    """Evaluate the runs of the studies that ask for it; returns the runs that could not be, with the reason."""
    trouble: dict[str, str] = {}
    for study in studies:
        if study.name in tasks:
            narrator = Narrator(0)
            trouble |= evaluate_runs(study.runs(), store, tasks[study.name], launcher, narrator.say)
    return trouble


def conclude(
    studies: Sequence[Study], store: Store, trouble: Mapping[str, str], unevaluated: Mapping[str, str] = {}
) -> int:
    """Write and print every study's results; 1 if a run did not finish, or could not be evaluated."""
    complete = not unevaluated
    for study in studies:
        results = write_results(study, store, trouble)
        complete = complete and results.complete
        print(f"\n{as_text(results)}\n")
        folder = store.study_folder(study.name)
        print(f"results:  {folder / 'results.json'}, results.csv, results.md (decaystudy report makes report.html)")
        print(f"curves:   tensorboard --logdir {folder}")
    return 0 if complete else 1


def print_plan(
    studies: Sequence[Study], store: Store, *, jobs: int | None, devices: int, gpu: str | None, as_json: bool
) -> int:
    """Print what the studies would cost."""
    speed, at_once = plan_speed(studies, jobs=jobs, devices=devices, gpu=gpu)
    plan = plan_all(studies, store, speed, at_once)
    print(plan_json(plan) if as_json else plan_text(plan, studies, store))
    return 0


def plan_speed(studies: Sequence[Study], *, jobs: int | None, devices: int, gpu: str | None) -> tuple[Speed, int]:
    """The speed that a plan assumes, and how many runs go at once."""
    runs = union(studies)
    on_cpu = all(run.config.threads is not None or run.config.trainer.get("accelerator") == "cpu" for run in runs)
    at_once = jobs or (1 if gpu is not None else LocalLauncher(jobs=jobs, devices=devices).fitting(runs))
    return choose_speed(studies[0].scale, gpu=gpu, devices=devices, jobs=at_once, on_cpu=on_cpu), at_once


def run_on_slurm(
    studies: Sequence[Study],
    store: Store,
    options: SlurmOptions,
    devices: int,
    tasks: Mapping[str, str],
    *,
    attach: bool,
    cancel: bool,
) -> int:
    """Submit, watch or cancel the studies' jobs, each of which trains a run and evaluates it."""
    launcher = SlurmLauncher(
        options,
        devices,
        store,
        {run.hash: tasks[study.name] for study in studies if study.name in tasks for run in study.runs()},
    )
    runs = union(studies)
    again = " ".join(["decaystudy run-study", *(str(study.spec.name) for study in studies), "--launcher slurm"])
    if cancel:
        print(f"cancelled {launcher.cancel(runs)} jobs; {again} submits what is unfinished", file=sys.stderr)
        return 0
    for study in studies:
        store.study_folder(study.name)
    launcher.submit(runs, again=not attach)
    for study in studies:
        store.link(study, study.runs())
    unfinished = [run for run in runs if (folder := store.find(run)) is None or state_of(folder) not in FINAL]
    if unfinished and not attach:
        print(f"the jobs run on their own: {again} --attach watches them, --cancel ends them", file=sys.stderr)
        return 0
    narrator = Narrator(len(unfinished))
    try:
        launcher.watch(unfinished, lambda event: narrator(event, []))
    except KeyboardInterrupt:
        narrator.say(f"  the jobs go on without you: {again} --attach comes back, --cancel ends them")
        return 130
    finally:
        narrator.close()
    return conclude(studies, store, {})


def parse_sweep(text: str) -> tuple[float, ...]:
    """Learning rates from ``lr=1e-4,3e-4,1e-3``.

    Raises:
        UserError: it is something else.
    """
    name, _, values = text.partition("=")
    try:
        rates = tuple(float(value) for value in values.split(","))
    except ValueError:
        rates = ()
    if name.strip() not in ("lr", "learning_rate") or not rates or min(rates) <= 0 or len(set(rates)) != len(rates):
        raise UserError(f"--sweep {text!r} is not understood: give learning rates, such as lr=1e-4,3e-4,1e-3")
    return rates
