"""``decaystudy status``: how far the runs of a study are."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from decaystudy.errors import UserError
from decaystudy.formatting import MISSING, duration, shortened
from decaystudy.live import Display, can_redraw
from decaystudy.runs.folder import state_of
from decaystudy.runs.state import FINAL, RunState
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.definition.several import union
from decaystudy.study.execution.job_file import RecordedJob, read_job
from decaystudy.study.execution.jobs import JobKind
from decaystudy.study.execution.launcher import LAUNCHERS, ExecutionOptions, open_launcher, reports
from decaystudy.study.execution.outcomes import Outcome, read_outcome
from decaystudy.study.execution.store import Store
from decaystudy.study.execution.tasks import is_evaluated
from decaystudy.study.planning.record import expand_recorded
from decaystudy.table import Column, Kind, Table
from decaystudy.terminal import fitted, terminal_width

if TYPE_CHECKING:
    from rich.text import Text

REFRESH_SECONDS = 2.0
IDLE_LOOKS = 5
MARKS = {RunState.FINISHED: "✔", RunState.RUNNING: "▸", RunState.PLANNED: "·"}
COLOURS = {RunState.FINISHED: "green", RunState.RUNNING: "cyan", RunState.PLANNED: "dim"}
COLUMNS = (
    Column("run", Kind.WORDS),
    Column("state", Kind.WORDS),
    Column("step"),
    Column("loss"),
    Column("tokens/s", drop=1),
    Column("left"),
)


def status(studies: Sequence[str] = (), *, out: str = "runs", watch: bool | None = None) -> int:
    """Show states, steps, losses, speed and time left of a study's runs.

    Args:
        studies: names, or paths of study files; all that were run in ``out`` unless given.
        out: where the runs are.
        watch: keep the table up to date until all runs have ended; the default on a terminal.
    """
    store = Store(out)
    expanded = expand_recorded(store, studies)
    live = sys.stdout.isatty() if watch is None else watch
    if live:
        follow(expanded, store)
    else:
        table, summary = look(expanded, store)
        print(f"{fitted(table, terminal_width())}\n\n{summary}")
    return 0


def look(studies: Sequence[Study], store: Store) -> tuple[Table, str]:
    """One row per run, and one line over all."""
    queued = queued_jobs(union(studies), store)
    rows, states = [], []
    for study in studies:
        for run in [*study.runs(), *study.pending_runs()]:
            outcome = read_outcome(run, store, numbers=False)
            states.append(outcome.state)
            name = run.name if len(studies) == 1 else f"{study.name}/{run.name}"
            rows.append((name, *describe(run, outcome, queued.get(run.hash, ""))))
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    return Table(COLUMNS, tuple(rows)), f"{len(states)} runs: {counts}"


def queued_jobs(runs: Sequence[Run], store: Store) -> dict[str, str]:
    """By hash, the jobs on a cluster that have not ended, such as ``job 12_3 queued``; or that an evaluation failed."""
    folders = {run.hash: folder for run in runs if (folder := store.find(run)) is not None}
    found: dict[str, str] = {}
    for name in LAUNCHERS:
        recorded: dict[tuple[str, JobKind], RecordedJob] = {}
        for key, folder in folders.items():
            for kind in JobKind:
                job = read_job(name, folder, kind)
                if job is not None:
                    recorded[key, kind] = job
        if not recorded:
            continue
        launcher = open_launcher(ExecutionOptions(launcher=name))
        try:
            launcher.check(runs)
            told = reports(launcher, [job.id for job in recorded.values()])
        except UserError:  # on another machine, or the cluster does not answer: what is on disk must do
            continue
        for (key, kind), job in recorded.items():
            state, folder = told[job.id].state, folders[key]
            if key not in found and not state.ended:
                found[key] = f"{'evaluation ' if kind is JobKind.EVALUATE else ''}job {job.id} {state}"
            elif kind is JobKind.EVALUATE and state_of(folder) == "finished" and not is_evaluated(folder, job.tasks):
                found[key] = "not evaluated"
    return found


def describe(run: Run, outcome: Outcome, queued: str) -> list[str]:
    """State, step, loss, speed and time left of one run."""
    result, status = outcome.result, outcome.status
    words = str(outcome.state)
    if queued and outcome.state != RunState.RUNNING:
        words = f"{words}, {queued}" if outcome.state in FINAL else queued
    elif outcome.state not in (*FINAL, RunState.RUNNING, RunState.PLANNED) and outcome.message:
        words += f": {shortened(outcome.message, 60)}"
    step = result.step if result else status.get("step")
    loss = result.val_loss if result else status.get("val_loss", status.get("loss"))
    speed = result.tokens_per_second if result else status.get("tokens_per_second")
    left = status.get("seconds_left") if outcome.state == RunState.RUNNING else None
    return [
        f"{MARKS.get(outcome.state, '✘')} {words}",
        MISSING if step is None else f"{step}/{run.config.max_steps}",
        MISSING if not isinstance(loss, float) else f"{loss:.4f}",
        MISSING if not speed else f"{speed:,.0f}",
        MISSING if left is None else duration(left),
    ]


def follow(studies: Sequence[Study], store: Store) -> None:
    """Redraw the table until every run has ended, or Ctrl-C."""
    seen: list[tuple[Table, str]] = [look(studies, store)]
    display = Display(lambda width: coloured(*seen[0], width), stream=sys.stdout)
    idle = 0
    try:
        while idle < IDLE_LOOKS:
            seen[0] = look(studies, store)
            if can_redraw(sys.stdout):
                display.refresh(now=True)
            else:
                print(f"{fitted(seen[0][0], terminal_width())}\n\n{seen[0][1]}\n", flush=True)
            states = [row[1] for row in seen[0][0].rows]
            busy = any(state.startswith("▸") or " job " in state for state in states)
            waiting = any(state.startswith("·") for state in states)
            # Between two runs there may be none for a moment.
            idle = 0 if busy else idle + (1 if waiting else IDLE_LOOKS)
            if idle < IDLE_LOOKS:
                time.sleep(REFRESH_SECONDS)
    except KeyboardInterrupt:
        return
    finally:
        display.close()


def coloured(table: Table, summary: str, width: int) -> Text:
    """The table and the line over all, with the states of runs in colours."""
    from rich.text import Text

    text = Text(f"{fitted(table, width)}\n\n{summary}")
    for state, mark in MARKS.items():
        text.highlight_regex(rf"{mark} {state}\b", COLOURS[state])
    text.highlight_regex(r"✘ [\w-]+", "red")
    return text
