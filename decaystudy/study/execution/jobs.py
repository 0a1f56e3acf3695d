"""What is submitted to a launcher, and how it does: jobs and their states."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from decaystudy.runs.folder import RunFolder
from decaystudy.study.definition.expand import Run

BUSY_EXIT_CODE = 75
"""How a worker ends that found its run held by another process (EX_TEMPFAIL)."""
SIGNAL_CODE = 128
"""A worker that ended in order at a signal has this exit code and the signal's number, as in a shell."""
LOG_TAIL = 4000
"""Bytes of a log that are looked at for an error."""


class JobKind(StrEnum):
    """What a job does."""

    TRAIN = "train"
    EVALUATE = "evaluate"


class JobState(StrEnum):
    """How a job does."""

    QUEUED = "queued"
    RUNNING = "running"
    REQUEUED = "requeued"
    """Taken off its machine (preempted, or out of time) and queued again; it resumes from the last checkpoint."""
    DONE = "done"
    FAILED = "failed"
    KILLED = "killed"
    BUSY = "busy"
    """It did nothing, since another process holds its run."""

    @property
    def ended(self) -> bool:
        """Whether the job will do nothing more."""
        return self in (JobState.DONE, JobState.FAILED, JobState.KILLED, JobState.BUSY)

    @classmethod
    def of_exit_code(cls, code: int) -> JobState:
        """State of a worker that ended with this code: 0, 3 (diverged, which is a result), −9 or 137 for signal 9."""
        if code in (0, 3):
            return cls.DONE
        if code == BUSY_EXIT_CODE:
            return cls.BUSY
        return cls.KILLED if code < 0 or code > SIGNAL_CODE else cls.FAILED


@dataclass(frozen=True)
class JobReport:
    """State of a job, and the launcher's reason where it knows more than the job's log does."""

    state: JobState
    reason: str = ""


@dataclass(frozen=True)
class Resources:
    """What a job needs."""

    devices: int = 1
    """GPUs, or processes on a CPU, on each node."""
    nodes: int = 1
    threads: int | None = None
    """CPU threads of each process; None leaves it to the launcher."""
    gpu: bool = True
    """Whether it may use GPUs; False for a run whose trainer.accelerator is cpu."""


@dataclass(frozen=True)
class Job:
    """Something to be run: the training of a run, or its evaluation."""

    run: Run
    folder: RunFolder
    kind: JobKind
    tasks: str = ""
    """What an evaluation asks, such as ``offline,piqa``."""
    resources: Resources = field(default_factory=Resources)
    after: str | None = None
    """Id of a job that must be done before this one begins. Set for detached launchers only."""

    @property
    def name(self) -> str:
        return self.run.name if self.kind is JobKind.TRAIN else f"{self.run.name} evaluation"

    @property
    def layout(self) -> dict[str, Any]:
        """Changes to the run's settings: devices, nodes, strategy."""
        devices, nodes = self.resources.devices, self.resources.nodes
        layout: dict[str, Any] = {"trainer": {"devices": devices, "num_nodes": nodes}}
        if devices * nodes > 1 and self.run.config.strategy == "auto":
            layout["strategy"] = "ddp"
        return layout

    def command(self, *, die_with_parent: bool = False) -> list[str]:
        """The command line that does the job. It writes to the run's log.txt and ends with ``JobState.of_exit_code``.

        Args:
            die_with_parent: end with the process that starts it (Linux).
        """
        words = [sys.executable, "-m", "decaystudy.study.execution.worker", str(self.kind)]
        words += [str(self.folder.path.absolute())]
        words += ["--layout", json.dumps(self.layout)] if self.kind is JobKind.TRAIN else ["--tasks", self.tasks]
        return [*words, "--die-with-parent"] if die_with_parent else words


@dataclass
class ActiveJob:
    """A job that has been submitted and has not ended."""

    job: Job
    id: str
    """What the launcher calls it."""
    status_before: dict[str, Any] | None
    """The run's status when the job was submitted; None if an earlier call submitted it."""
    report: JobReport = JobReport(JobState.QUEUED)
    ended_at: float | None = None

    def wrote(self, status: Mapping[str, Any]) -> bool:
        """Whether this status of the run is the job's own."""
        return bool(status) and status != self.status_before


def log_tail(folder: RunFolder) -> str:
    """The last few thousand bytes of a run's log; empty if there is none."""
    try:
        with open(folder.log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_TAIL))
            return file.read(LOG_TAIL).decode(errors="replace").strip()
    except OSError:
        return ""
