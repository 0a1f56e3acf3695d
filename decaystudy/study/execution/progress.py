"""What a study does while it works: events, and the lines that ``run-study`` prints of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TextIO

from decaystudy.formatting import duration
from decaystudy.live import Display, can_redraw
from decaystudy.runs.evaluation import mean_accuracy, read_evaluation
from decaystudy.runs.folder import RunFolder, state_of
from decaystudy.runs.state import FINAL, RunState
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.definition.several import union
from decaystudy.study.execution.frame import Doing, Outlook, frame, line_of, running
from decaystudy.study.execution.jobs import ActiveJob, Job, JobKind
from decaystudy.study.execution.store import Store

if TYPE_CHECKING:
    from rich.console import RenderableType

LIVE_SECONDS = 0.5
QUIET_SECONDS = 60.0


class EventKind(StrEnum):
    """What there is to tell."""

    SUBMITTED = "submitted"
    STARTED = "started"
    WAITING = "waiting"
    """Another process trains the run."""
    TRAINED = "trained"
    """Training has ended, well or not."""
    EVALUATED = "evaluated"
    """Evaluation has ended, well or not."""


@dataclass(frozen=True)
class Event:
    """Something to tell the user."""

    kind: EventKind
    run: Run
    folder: RunFolder | None = None
    job: Job | None = None
    id: str = ""
    state: str = ""
    """State of the run once it has been trained."""
    failure: str = ""
    """Why the job could not be started, or the run not be evaluated."""


class Observer(Protocol):
    """Whoever tells the user how far the jobs are."""

    def tell(self, event: Event) -> None:
        """Something has happened."""
        ...

    def tick(self, active: Iterable[ActiveJob]) -> None:
        """Time has passed."""
        ...


class Silent:
    """Tells nobody anything."""

    def tell(self, event: Event) -> None:
        pass

    def tick(self, active: Iterable[ActiveJob]) -> None:
        pass


class ProgressPrinter:
    """Prints events and, between them, how far the jobs are: in place on a terminal, else a line per minute."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.total = 0
        self.ended = 0
        self.stream = stream or sys.stderr
        self.outlook = Outlook()
        self._display = Display(self._frame, stream=self.stream) if can_redraw(self.stream) else None
        self._doing: list[Doing] = []
        self._left: float | None = None
        self._at = time.monotonic()
        self._started: dict[str, float] = {}

    def begin(self, studies: Sequence[Study], store: Store, outlook: Outlook | None = None) -> None:
        """Print what there is to train, if there is anything.

        Args:
            outlook: what is left to do.
        """
        runs = union(studies)
        self.outlook = outlook or Outlook()
        done = sum((folder := store.find(run)) is not None and state_of(folder) in FINAL for run in runs)
        self.total, self.ended = len(runs) - done, 0
        if self.total:
            names = ", ".join(study.name for study in studies)
            counts = f"{len(runs)} runs" + (f", {done} done already" if done else "")
            pending = sum(len(study.pending_runs()) for study in studies)
            counts += f"; then {pending} at the settings that they choose" if pending else ""
            self.say(f"{names} at scale {studies[0].scale}: {counts}")

    def tell(self, event: Event) -> None:
        """Print what has happened."""
        name = event.job.name if event.job else event.run.name
        if event.kind is EventKind.SUBMITTED:
            self.say(f"  ▸ {name} submitted as job {event.id}")
        elif event.kind is EventKind.STARTED:
            self._started[name] = time.monotonic()
            self.say(f"  ▸ {name} {'resumes from its last checkpoint' if self._resumes(event) else 'started'}")
        elif event.kind is EventKind.WAITING:
            status = event.folder.read_status() if event.folder else {}
            who = f"process {status['pid']} on {status['host']}" if "pid" in status else "another process"
            self.say(f"  ▸ {name} is being trained by {who}; waiting for it")
        elif event.kind is EventKind.TRAINED:
            self.ended += 1
            self._learn(event)
            self.say(f"  {self._trained(event)}  ({self.ended} of {self.total})")
        else:
            if event.job is not None and event.job.name in self._started:
                self.outlook.evaluated.append(time.monotonic() - self._started[event.job.name])
            self.say(f"  {self._evaluated(event)}")

    def _learn(self, event: Event) -> None:
        self.outlook.ended.add(event.run.hash)
        if event.state != RunState.FINISHED:
            self.outlook.failed += 1
        elif event.run.name in self._started:
            self.outlook.took(event.run.hash, time.monotonic() - self._started[event.run.name])

    def tick(self, active: Iterable[ActiveJob]) -> None:
        """Print how far the jobs are, if it is time."""
        now = time.monotonic()
        if now - self._at < (LIVE_SECONDS if self._display is not None else QUIET_SECONDS):
            return
        self._at = now
        active = list(active)
        self._doing = running(active)
        if self._display is not None:
            self._left = self.outlook.seconds_left(active)
            self._display.refresh()
        elif self._doing:
            self.say(f"    {'   '.join(map(line_of, self._doing))}")

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """Leave the lines that are redrawn as they are last."""
        if self._display is not None:
            self._doing, self._left = [], None
            self._display.close()

    def _frame(self, width: int) -> RenderableType:
        return frame(self.total, self.outlook, self._doing, self._left)

    def _resumes(self, event: Event) -> bool:
        if event.job is None or event.job.kind is JobKind.EVALUATE:
            return False
        return event.folder is not None and any(event.folder.checkpoints.glob("*.ckpt"))

    def _trained(self, event: Event) -> str:
        name = event.run.name
        if event.state == "finished" and event.folder is not None:
            result = event.folder.read_result()
            loss = float("nan") if result is None or result.val_loss is None else result.val_loss
            which = "tuning" if event.run.tuning else "validation"
            return f"✔ {name} finished{self._took(name)}: {which} loss {loss:.4f}"
        status = event.folder.read_status() if event.folder else {}
        message = event.failure or status.get("message", "")
        return f"✘ {name} {event.state}{': ' if message else ''}{message}{log_of(event)}"

    def _evaluated(self, event: Event) -> str:
        name = event.run.name
        if event.failure:
            return f"✘ {name} not evaluated: {event.failure}{log_of(event)}"
        held = read_evaluation(event.folder.path) if event.folder else None
        mean = None if held is None else mean_accuracy(held.tasks)
        accuracy = "" if mean is None else f": mean over its tasks {mean[0]:.4f}"
        return f"✔ {name} evaluated{self._took(event.job.name if event.job else name)}{accuracy}"

    def _took(self, name: str) -> str:
        return f" in {duration(time.monotonic() - self._started[name])}" if name in self._started else ""


def log_of(event: Event) -> str:
    """Where the log of a run is; empty if there is none, as where its folder was removed."""
    return f" (log: {event.folder.log})" if event.folder and event.folder.log.exists() else ""
