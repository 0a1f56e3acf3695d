"""``decaystudy status``: how far the runs of a study are. Needs no torch."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from decaystudy.formatting import MISSING, aligned, duration
from decaystudy.runs.state import FINAL, RunState
from decaystudy.study.definition.expand import Study
from decaystudy.study.execution import slurm as launch_slurm
from decaystudy.study.execution.outcomes import Outcome, read_outcome
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.record import expand_recorded

REFRESH_SECONDS = 2.0
IDLE_LOOKS = 5
MARKS = {RunState.FINISHED: "✔", RunState.RUNNING: "▸", RunState.PLANNED: "·"}
COLOURS = {"finished": "green", "running": "cyan", "planned": "dim"}
HEADING = ["run", "state", "step", "loss", "tokens/s", "left"]


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
        rows, summary = look(expanded, store)
        print(aligned(rows, heading=HEADING, left=(0, 1)))
        print(f"\n{summary}")
    return 0


def look(studies: Sequence[Study], store: Store) -> tuple[list[list[str]], str]:
    """One row per run, and one line over all."""
    queued = launch_slurm.queue() if shutil.which("squeue") and uses_slurm(studies, store) else {}
    rows, states = [], []
    for study in studies:
        for run in study.runs():
            outcome = read_outcome(run, store, numbers=False)
            states.append(outcome.state)
            name = run.name if len(studies) == 1 else f"{study.name}/{run.name}"
            rows.append([name, *describe(outcome, queued)])
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    return rows, f"{len(states)} runs: {counts}"


def uses_slurm(studies: Sequence[Study], store: Store) -> bool:
    """Whether any run has been a SLURM job."""
    folders = (store.find(run) for study in studies for run in study.runs())
    return any(folder is not None and launch_slurm.job_of(folder) is not None for folder in folders)


def describe(outcome: Outcome, queued: dict[str, str]) -> list[str]:
    """State, step, loss, speed and time left of one run."""
    status, result = outcome.status, outcome.result
    ended = (*FINAL, RunState.RUNNING)
    words = str(outcome.state)
    waiting = launch_slurm.describe(outcome.folder, queued) if outcome.folder else None
    if waiting and outcome.state not in ended:
        words = waiting
    elif outcome.state not in (*ended, RunState.PLANNED) and outcome.message:
        words += f": {outcome.message[:60]}"
    step = result.step if result else status.get("step")
    loss = result.val_loss if result else status.get("val_loss", status.get("loss"))
    speed = result.tokens_per_second if result else status.get("tokens_per_second")
    left = status.get("seconds_left") if outcome.state == RunState.RUNNING else None
    return [
        f"{MARKS.get(outcome.state, '✘')} {words}",
        MISSING if step is None else f"{step}/{outcome.run.config.max_steps}",
        MISSING if not isinstance(loss, float) else f"{loss:.4f}",
        MISSING if not speed else f"{speed:,.0f}",
        MISSING if left is None else duration(left),
    ]


def follow(studies: Sequence[Study], store: Store) -> None:
    """Redraw the table until every run has ended, or Ctrl-C."""
    from rich.live import Live

    idle = 0
    try:
        with Live(refresh_per_second=2, transient=False) as live:
            while idle < IDLE_LOOKS:
                rows, summary = look(studies, store)
                live.update(_rich_table(rows, summary))
                busy = any(row[1].startswith("▸") or " job " in row[1] for row in rows)
                waiting = any(row[1].startswith("·") for row in rows)
                # Between two runs there may be none for a moment.
                idle = 0 if busy else idle + (1 if waiting else IDLE_LOOKS)
                if idle < IDLE_LOOKS:
                    time.sleep(REFRESH_SECONDS)
    except KeyboardInterrupt:
        return


def _rich_table(rows: Sequence[Sequence[str]], summary: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(caption=summary, caption_justify="left")
    for i, name in enumerate(HEADING):
        table.add_column(name, justify="left" if i < 2 else "right")
    for row in rows:
        state = next((name for name, mark in MARKS.items() if row[1].startswith(mark)), "failed")
        table.add_row(row[0], Text(row[1], style=COLOURS.get(state, "red")), *row[2:])
    return table
