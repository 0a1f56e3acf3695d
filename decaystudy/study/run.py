"""``decaystudy run-study``: plan, train, evaluate and compare the runs of one or more studies."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from decaystudy.errors import Terminated, UserError, signal_code
from decaystudy.model.config import refuse_idle_options
from decaystudy.output import print_json
from decaystudy.study.analysis.claim_plans import plan_claims, plan_lines
from decaystudy.study.analysis.comparisons import loss_pairs
from decaystudy.study.analysis.expected import expected_design, expected_resolution
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.definition.library import studies_folder
from decaystudy.study.definition.schema import parse_seeds
from decaystudy.study.definition.several import expand_all, union
from decaystudy.study.execution.data_check import data_warnings
from decaystudy.study.execution.frame import Outlook
from decaystudy.study.execution.jobs import Job
from decaystudy.study.execution.launcher import ExecutionOptions, Launcher, open_launcher
from decaystudy.study.execution.layouts import refuse_devices, refuse_layouts
from decaystudy.study.execution.outcomes import Outcome, read_outcomes
from decaystudy.study.execution.progress import ProgressPrinter, Silent
from decaystudy.study.execution.reuse import proposed, told
from decaystudy.study.execution.scheduler import Failures, Scheduler
from decaystudy.study.execution.searching import with_proposals
from decaystudy.study.execution.store import Store
from decaystudy.study.execution.tasks import is_evaluated, refuse_tasks, refuse_unknown_tasks, tasks_of_runs
from decaystudy.study.planning.accuracy import past_accuracy
from decaystudy.study.planning.plan import plan_all, plan_json, plan_study, plan_text
from decaystudy.study.planning.plan_schema import Call
from decaystudy.study.planning.record import read_plan, write_call
from decaystudy.study.planning.speed import plan_speed
from decaystudy.study.reporting.board import keep_study_board
from decaystudy.study.reporting.documents import as_text
from decaystudy.study.reporting.families import outcome
from decaystudy.study.reporting.report import write_report, write_results
from decaystudy.terminal import fold, terminal_width

INTERRUPTED = 130
DETACHED = "the same command with --attach watches them, with --cancel ends them"


@dataclass(frozen=True)
class StudyRequest:
    """What is asked for: which runs of which studies."""

    studies: Sequence[str]
    """Names of the package's studies, or paths of study files."""
    scale: str | None = None
    """tiny, mini, small, 160m, 410m or 1.45b; the study's own unless set."""
    seeds: str | None = None
    """Such as 0,1 or 0-4; 3 is the one seed 3."""
    all_cells: bool = False
    """Also the cells that the study leaves out at this scale."""
    sweep: str | None = None
    """A setting and values to try each cell at, such as lr=1e-4,3e-4,1e-3; lr alone for the scale's own times 0.3, 1
    and 3."""
    tuning_seeds: str | None = None
    """Seeds to try them on, such as 1000,1001."""
    rates_from: str | None = None
    """Results of a study that tunes, whose chosen settings cells take over."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings of all cells, nested: {"data": {"source": "files"}, "trainer": {"max_steps": 100}}."""
    evaluate: bool = False
    """Evaluate every cell on the study's tasks, even if its file doesn't ask for it."""
    out: str = "runs"
    """Folder of runs and results."""

    def expand(self) -> list[Study]:
        """The studies, read and checked whole, without what their searches propose after the first trials."""
        studies = expand_all(
            self.studies,
            scale=self.scale,
            seeds=self.seeds,
            all_cells=self.all_cells,
            overrides=self.overrides,
            sweep=self.sweep,
            tuning_seeds=self.tuning_seeds,
            rates_from=self.rates_from,
        )
        for study in studies:
            refuse_devices(study)
            if self.evaluate or study.spec.evaluate is not None:
                refuse_tasks(study)
        return studies

    def call(self, study: Study) -> Call:
        """The request as the folder of a study records it."""
        return Call(
            study=str(study.spec.file.absolute()) if study.spec.file.parent != studies_folder() else study.name,
            scale=study.scale,
            seeds=study.seeds,
            all_cells=self.all_cells,
            overrides=dict(self.overrides),
            sweep=self.sweep,
            tuning_seeds=None if self.tuning_seeds is None else parse_seeds(self.tuning_seeds),
            rates_from=None if self.rates_from is None else str(Path(self.rates_from).expanduser().absolute()),
        )


def run_study(
    request: StudyRequest,
    execution: ExecutionOptions | None = None,
    *,
    attach: bool = False,
    with_report: bool = True,
) -> int:
    """Plan, train, evaluate and compare the runs of one or more studies.

    A run that is finished already, in whatever study, is not trained again; an unfinished one resumes from its last
    checkpoint. One whose text, tokenizer or code has changed since is set aside and trained again.

    Args:
        request: which runs.
        execution: how they are run; on this machine unless given.
        attach: watch the jobs of an earlier call until they end.
        with_report: also write report.html and the figures, once all have ended.

    Returns:
        The exit code: 1 if a run did not finish or could not be evaluated, 130 after Ctrl-C.
    """
    expanded, store = request.expand(), Store(request.out)  # first: it makes the folder of a study file importable
    store.check([study.name for study in expanded])
    launcher = open_launcher(execution or ExecutionOptions())
    refuse_layouts(expanded, launcher)
    refuse_idle(expanded, store)
    studies, changed = proposed(expanded, store, trusted=None if attach else (), retried=True)
    if attach:
        refuse_attached(launcher, "--attach")
    tasks = tasks_of_runs(studies, always=request.evaluate)
    if not attach:
        refuse_unknown_tasks(tasks.values())
    launcher.check(union(studies))
    failures, waiting = Failures(), union(studies)
    progress = ProgressPrinter()
    if not attach:
        for line in data_warnings(waiting, store):
            progress.say(line)
    set_aside(changed, store, progress)
    while waiting:
        outlook = write_plans(request, studies, store, launcher)
        progress.begin(studies, store, replace(outlook, evaluations=not_evaluated(studies, store, tasks)))
        scheduler = Scheduler(waiting, store, launcher, progress, tasks, retry=not attach)
        try:
            if launcher.detached and not attach:
                scheduler.submit()
            else:
                scheduler.run()
        except (KeyboardInterrupt, Terminated) as end:
            if not launcher.detached:
                raise
            progress.say(f"the jobs go on without you: {DETACHED}")
            return signal_code(end.number) if isinstance(end, Terminated) else INTERRUPTED
        finally:
            progress.close()
        failures.update(scheduler.failures)
        if scheduler.unfinished:
            link_runs(studies, store)
            progress.say(f"the jobs run on their own: {DETACHED}")
            return 1 if failures else 0
        known = {run.hash for run in union(studies)}
        studies, changed = proposed(studies, store, trusted=known)
        set_aside(changed, store, progress)
        tasks = tasks_of_runs(studies, always=request.evaluate)
        waiting = [run for run in union(studies) if run.hash not in known]
        launcher = open_launcher(execution or ExecutionOptions())
    return write_all_results(studies, store, failures, with_report=with_report)


def show_plan(request: StudyRequest, execution: ExecutionOptions | None = None, *, as_json: bool = False) -> int:
    """Print what the runs would cost, and what would be submitted; nothing is started or written."""
    expanded, store = request.expand(), Store(request.out)  # first: it makes the folder of a study file importable
    launcher = open_launcher(execution or ExecutionOptions())
    refuse_layouts(expanded, launcher)
    refuse_idle(expanded, store)
    studies, changed = proposed(expanded, store, retried=True)
    tasks = tasks_of_runs(studies, always=request.evaluate)
    refuse_unknown_tasks(tasks.values())
    plans = plan_all(studies, store, *plan_speed(studies, launcher, store))
    outcomes = {study.name: read_outcomes(study, store) for study in studies}
    whole = [
        replace(plan, accuracy=past_accuracy(store, plan), **answerable(study, outcomes[study.name], request))
        for plan, study in zip(plans.studies, studies, strict=True)
    ]
    plans = replace(plans, studies=tuple(whole))
    hours_left = {run.id: run.hours * (1 - run.done) for plan in plans.studies for run in plan.runs}
    preview = launcher.preview(needed_jobs(union(studies), store, launcher, tasks), hours_left)
    if as_json:
        print_json(plan_json(plans, {} if preview is None else {launcher.name: preview.values}))
    else:
        lines = told(changed)
        for plan in plans.studies:
            found = [*([plan.resolution] if plan.resolution else []), *plan_lines(plan.claims)]
            lines += [f"{plan.study}: {line}" if len(studies) > 1 else line for line in found]
        width = terminal_width()
        lines = [plan_text(plans, studies, store, width), *(fold(line, width) for line in lines)]
        print("\n".join([*lines, *([] if preview is None else ["", preview.text])]))
    return 0


def answerable(study: Study, outcomes: Sequence[Outcome], request: StudyRequest) -> dict[str, Any]:
    """What the study's seeds can make of its comparisons and claims, as fields of its plan."""
    expected = expected_design(study, outcomes)
    evaluated = request.evaluate or study.spec.evaluate is not None
    return {
        "comparisons": tuple(loss_pairs(study)),
        "resolution": expected_resolution(study, outcomes),
        "claims": plan_claims(study, None if expected is None else expected[0], evaluated=evaluated),
    }


def cancel_jobs(request: StudyRequest, execution: ExecutionOptions | None = None) -> int:
    """End the jobs of an earlier call."""
    store = Store(request.out)
    runs = union([with_proposals(study, store, retried=True) for study in request.expand()])
    launcher = open_launcher(execution or ExecutionOptions())
    refuse_attached(launcher, "--cancel")
    launcher.check(runs)
    cancelled = Scheduler(runs, store, launcher, Silent()).cancel()
    print(f"cancelled {cancelled} jobs; the same command without --cancel submits what is unfinished", file=sys.stderr)
    return 0


def set_aside(changed: Mapping[str, str], store: Store, progress: ProgressPrinter) -> None:
    """Make room for the runs that are trained again, and say so."""
    folders = store.set_aside()
    for line in told(changed):
        progress.say(line)
    if folders:
        progress.say(f"what there was of them is kept as {folders[0].path}" + (" …" if len(folders) > 1 else ""))


def refuse_attached(launcher: Launcher, flag: str) -> None:
    """Refuse what only makes sense for jobs that outlive the study."""
    if not launcher.detached:
        raise UserError(f"{flag} is for jobs on a cluster, and {launcher.name} runs them here: add --launcher slurm")


def needed_jobs(runs: Sequence[Run], store: Store, launcher: Launcher, tasks: Mapping[str, str]) -> list[Job]:
    """The jobs that would be submitted now."""
    try:
        launcher.check(runs)
        return Scheduler(runs, store, launcher, Silent(), tasks).needed()
    except UserError:  # a plan made elsewhere than on the cluster: nothing is known of its queue
        return Scheduler(runs, store, launcher, Silent(), tasks, adopt=False).needed()


def write_plans(request: StudyRequest, studies: Sequence[Study], store: Store, launcher: Launcher) -> Outlook:
    """Record the request and the plan in the folder of each study; returns what is left to do."""
    speed, at_once = plan_speed(studies, launcher, store)
    left: dict[str, float] = {}
    for study in studies:
        plan = plan_study(study, store, speed, at_once)
        more = answerable(study, read_outcomes(study, store), request)
        write_call(study, store, request.call(study), replace(plan, accuracy=past_accuracy(store, plan), **more))
        left |= {run.id: run.hours * 3600 * (1 - run.done) for run in plan.runs if run.done < 1}
    return Outlook(left, at_once)


def refuse_idle(studies: Sequence[Study], store: Store) -> None:
    """Refuse options of a decay that have no effect, in a study that has not begun."""
    for study in studies:
        runs = study.runs()
        if all(store.find(run) is None for run in runs):
            for run in runs:
                refuse_idle_options(run.config.model)


def not_evaluated(studies: Sequence[Study], store: Store, tasks: Mapping[str, str]) -> int:
    """How many runs are still to be evaluated on their tasks."""
    folders = {run.hash: store.find(run) for run in union(studies) if run.hash in tasks}
    return sum(folder is None or not is_evaluated(folder, tasks[key]) for key, folder in folders.items())


def link_runs(studies: Sequence[Study], store: Store) -> None:
    """Show the runs in the folders of the studies."""
    for study in studies:
        store.link(study, study.runs())


def write_all_results(studies: Sequence[Study], store: Store, failures: Failures, *, with_report: bool = True) -> int:
    """Write and print every study's results; returns the exit code.

    Args:
        with_report: also write report.html and the figures.
    """
    complete = not failures
    for study in studies:
        results = write_results(study, store, failures.training)
        complete = complete and results.complete
        print(f"\n{as_text(results, terminal_width())}\n")
        folder = store.study_folder(study.name)
        keep_study_board(store, read_plan(store, study.name), results)
        if with_report:
            write_report(results, read_plan(store, study.name), store)
            print(f"report:   {folder / 'report.html'}, report.tex, figures as SVG and PDF in {folder / 'figures'}")
            print(f"results:  {folder / 'results.json'}, results.csv, results.md")
        else:
            print(f"results:  {folder / 'results.json'}, results.csv, results.md (decaystudy report makes report.html)")
        print(f"curves:   decaystudy tensorboard {shlex.quote(str(folder))}")
        resolved = outcome(results)
        if resolved:
            print(fold(f"resolved: {resolved}", terminal_width()))
    return 0 if complete else 1
