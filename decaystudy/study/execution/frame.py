"""The lines that are redrawn in place while a study works, and the time that is left for the whole."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from decaystudy.formatting import duration
from decaystudy.study.execution.jobs import ActiveJob, JobKind, JobState

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST_SHOWN = 12
"""Jobs that have a line of their own."""


@dataclass
class Outlook:
    """What is left to do, from the plan and from what has been seen of it."""

    planned: Mapping[str, float] = field(default_factory=dict)
    """Seconds that are left of each run, by its hash."""
    jobs: int = 1
    """Runs at once."""
    evaluations: int = 0
    """Runs that are evaluated in the end."""
    ended: set[str] = field(default_factory=set)
    """Runs whose training has ended, by hash."""
    failed: int = 0
    ratios: list[float] = field(default_factory=list)
    """Seconds that trainings took, over those that were planned."""
    evaluated: list[float] = field(default_factory=list)
    """Seconds that evaluations took."""

    def took(self, key: str, seconds: float) -> None:
        """Learn from a training that has finished."""
        if self.planned.get(key):
            self.ratios.append(seconds / self.planned[key])

    def seconds_left(self, active: Iterable[ActiveJob]) -> float | None:
        """Wall-clock time to the end of the last job; None where nothing is planned."""
        if not self.planned:
            return None
        scale = statistics.median(self.ratios) if self.ratios else 1.0
        left = {key: seconds * scale for key, seconds in self.planned.items() if key not in self.ended}
        for one in active:
            status = one.job.folder.read_status() if one.job.kind is JobKind.TRAIN else {}
            if one.wrote(status) and "seconds_left" in status:
                left[one.job.run.hash] = float(status["seconds_left"])
        seconds = list(left.values())
        if self.evaluated:
            waiting = max(0, self.evaluations - len(self.evaluated))
            seconds += [statistics.fmean(self.evaluated)] * waiting
        return max([sum(seconds) / max(1, self.jobs), *seconds], default=0.0)


@dataclass(frozen=True)
class Doing:
    """How far a running job is."""

    name: str
    step: int | None = None
    steps: int = 0
    words: str = ""

    @property
    def share(self) -> float:
        return self.step / self.steps if self.step is not None and self.steps else 0.0


def doing(one: ActiveJob) -> Doing:
    """How far a running job is."""
    job = one.job
    if job.kind is JobKind.EVALUATE:
        return Doing(job.run.name, words="evaluating")
    status = job.folder.read_status()
    if not one.wrote(status) or "step" not in status:
        return Doing(job.run.name, words="starting")
    words = [f"loss {status['loss']:.3f}"] if "loss" in status else []
    words += [f"{duration(status['seconds_left'])} left"] if "seconds_left" in status else []
    return Doing(job.run.name, status["step"], status["max_steps"], ", ".join(words))


def line_of(one: Doing) -> str:
    """``gla-seed0: step 20/40 loss 3.200, 1 min 15 s left``"""
    if one.step is None:
        return f"{one.name}: {one.words}"
    return f"{one.name}: step {one.step}/{one.steps}" + (f" {one.words}" if one.words else "")


def running(active: Iterable[ActiveJob]) -> list[Doing]:
    """The jobs that have begun."""
    return [doing(one) for one in active if one.report.state is JobState.RUNNING]


def frame(total: int, outlook: Outlook, jobs: Sequence[Doing], left: float | None) -> RenderableType:
    """A bar over the whole, with counts and time left, and a line for each job under way.

    Args:
        total: runs that were to be trained.
        left: seconds to the end of the whole, if that is known.
    """
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    ended = len(outlook.ended)
    counts = f"{ended} of {total} runs ended" + (f", {outlook.failed} failed" if outlook.failed else "")
    whole = Table.grid(padding=(0, 1), expand=True)
    whole.add_column(no_wrap=True)
    whole.add_column(ratio=1, min_width=8)
    whole.add_column(no_wrap=True)
    done = ended + sum(one.share for one in jobs)
    time_left = "" if left is None else f"about {duration(left)} left"
    whole.add_row(counts, ProgressBar(total=max(total, 1), completed=done), time_left)
    rows = Table.grid(padding=(0, 1), expand=True)
    rows.add_column(no_wrap=True, overflow="ellipsis")
    rows.add_column(ratio=1, min_width=8)
    rows.add_column(no_wrap=True, justify="right")
    rows.add_column(no_wrap=True)
    for one in jobs[:MOST_SHOWN]:
        bar = ProgressBar(total=1, completed=one.share) if one.step is not None else ""
        step = "" if one.step is None else f"{one.step}/{one.steps}"
        rows.add_row(f"  {one.name}", bar, step, one.words)
    more = [f"  and {len(jobs) - MOST_SHOWN} more"] if len(jobs) > MOST_SHOWN else []
    return Group(whole, rows, *more)
