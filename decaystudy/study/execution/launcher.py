"""What every launcher offers: jobs go in, states come out.

A launcher of your own derives from ``Launcher`` and is named by its import path; the working directory and the study
file's folder are importable:

    decaystudy run-study sharing --launcher mypackage.module.MyLauncher --launcher_options.queue long

It starts ``job.command()`` wherever the folders of the runs are mounted, and says how each job does:

    class MyLauncher(Launcher):
        def submit(self, jobs): ...     # start or queue them; returns an id for each
        def poll(self, ids): ...        # {id: JobReport(JobState.RUNNING), ...}
        def cancel(self, ids): ...      # end them

Training and evaluation are both jobs. The scheduler decides which jobs there are, in which order, and what is tried
again; a launcher only runs them.
"""

from __future__ import annotations

import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from decaystudy.checks import check_whole
from decaystudy.errors import UserError, kind_of, unknown
from decaystudy.imports import import_object
from decaystudy.runs.trainer import MOST_DEVICES
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.jobs import Job, JobKind, JobReport, JobState, Resources, log_tail
from decaystudy.study.execution.slurm_options import SlurmOptions

__all__ = [
    "LAUNCHERS",
    "ExecutionOptions",
    "Job",
    "JobKind",
    "JobReport",
    "JobState",
    "Launcher",
    "Preview",
    "Resources",
    "open_launcher",
    "reports",
    "submitted",
]


@dataclass(frozen=True)
class ExecutionOptions:
    """How the jobs of a study are run."""

    launcher: str = "local"
    """A name in ``LAUNCHERS``, or the import path of a launcher of your own."""
    launcher_options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments for a launcher of your own."""
    devices: int = 1
    """GPUs, or processes, of each run (on each node)."""
    jobs: int | None = None
    """Jobs at once; as many as there is room for unless set."""
    runs_per_gpu: int | None = None
    """Runs that share a GPU; as many as are fastest and its memory holds unless set."""
    gpu: str | None = None
    """GPU that planned hours assume, such as a100-80gb; it overrides a probe."""
    slurm: SlurmOptions = field(default_factory=SlurmOptions)

    def __post_init__(self) -> None:
        numbers = {"jobs": self.jobs, "devices": self.devices, "runs-per-gpu": self.runs_per_gpu}
        for name, number in numbers.items():
            if number is not None:
                check_whole(f"--{name}", number, 1, MOST_DEVICES)
        if self.devices > 1 and (self.runs_per_gpu or 1) > 1:
            raise UserError(
                f"--runs-per-gpu {self.runs_per_gpu} with --devices {self.devices}: only runs on one GPU share it; "
                "leave one of them out"
            )


@dataclass(frozen=True)
class Preview:
    """What a launcher would submit."""

    values: dict[str, Any]
    """Plain data, for --json."""
    text: str
    """The same for people."""


class Launcher(ABC):
    """Runs jobs somewhere. ``submit``, ``poll`` and ``cancel`` must be written; the rest has defaults.

    Args:
        options: how the jobs are to be run.
    """

    detached: ClassVar[bool] = False
    """Whether jobs outlive the study's process. If so, ``submit`` obeys ``Job.after``, ids mean the same in any
    process, and the scheduler keeps them in the folders of the runs, for --attach and --cancel."""

    def __init__(self, options: ExecutionOptions) -> None:
        self.options = options

    @abstractmethod
    def submit(self, jobs: Sequence[Job]) -> list[str]:
        """Start or queue jobs of one kind.

        Returns:
            An id for each.

        Raises:
            UserError: they are refused; none was submitted.
            OSError: they could not be started.
        """

    @abstractmethod
    def poll(self, ids: Sequence[str]) -> Mapping[str, JobReport]:
        """How these jobs do now."""

    @abstractmethod
    def cancel(self, ids: Sequence[str]) -> None:
        """End these jobs, queued or running. The last checkpoint of a run stays."""

    def logs(self, job: Job, id: str) -> str:
        """The end of what the job printed."""
        return log_tail(job.folder)

    @property
    def name(self) -> str:
        """Short name, for messages and file names: ``my`` for MyLauncher."""
        return type(self).__name__.removesuffix("Launcher").lower()

    def check(self, runs: Sequence[Run]) -> None:  # noqa: B027
        """Refuse, before anything is submitted, what cannot work here.

        Raises:
            UserError: why, and what to do.
        """

    def resources(self, run: Run, kind: JobKind) -> Resources:
        """What a job of that run needs: one device for an evaluation."""
        on_gpu = run.config.trainer.get("accelerator", "auto") != "cpu"
        devices = self.options.devices if kind is JobKind.TRAIN else 1
        return Resources(devices, 1, run.config.threads, on_gpu)

    def at_once(self, runs: Sequence[Run]) -> int:
        """How many of these runs are trained at the same time, for the plan."""
        return self.options.jobs or max(1, len(runs))

    def next_batch(self, waiting: Sequence[Job]) -> Sequence[Job]:
        """Those of the waiting jobs that are to be submitted now; asked again until none is."""
        return waiting

    def wait(self, seconds: float) -> None:
        """Return after so long, or as soon as a job has ended."""
        time.sleep(seconds)

    def close(self) -> None:  # noqa: B027
        """End helper processes; called once the last job has ended."""

    def preview(self, jobs: Sequence[Job], planned_hours: Mapping[str, float]) -> Preview | None:
        """What would be submitted for these jobs, for --dry-run; None if that needs no words.

        Args:
            planned_hours: of training that is left, by the run's hash.
        """
        return None


LAUNCHERS = {
    "local": "decaystudy.study.execution.local.LocalLauncher",
    "slurm": "decaystudy.study.execution.slurm.SlurmLauncher",
}
"""Launchers by name. Anything else with a dot is an import path."""


def open_launcher(options: ExecutionOptions) -> Launcher:
    """The launcher that the options name.

    Raises:
        UserError: there is none of that name, or it doesn't take its options.
    """
    name = options.launcher
    path = LAUNCHERS.get(name, name)
    if "." not in path:
        known = [*LAUNCHERS, "the import path of your own, such as mypackage.module.MyLauncher"]
        raise unknown("launcher", name, known)
    factory = import_object(path, "launcher")
    if not callable(factory):
        raise UserError(f"--launcher {name}: it is {kind_of(factory)}; give a class or a function")
    if inspect.isabstract(factory):
        missing = ", ".join(sorted(factory.__abstractmethods__))
        raise UserError(f"--launcher {name}: it lacks {missing}; see decaystudy.study.execution.launcher.Launcher")
    try:
        inspect.signature(factory).bind(options, **options.launcher_options)
    except TypeError as error:
        if not options.launcher_options:
            raise UserError(f"--launcher {name} is not made from ExecutionOptions alone: {error}") from None
        raise UserError(f"--launcher {name} doesn't take these --launcher_options: {error}") from None
    made = factory(options, **options.launcher_options)
    if not isinstance(made, Launcher):
        raise UserError(
            f"--launcher {name}: it makes {kind_of(made)}; derive it from decaystudy.study.execution.launcher.Launcher"
        )
    if not hasattr(made, "options"):
        raise UserError(f"--launcher {name}: its __init__ must call super().__init__(options)")
    return made


def reports(launcher: Launcher, ids: Sequence[str]) -> dict[str, JobReport]:
    """What the launcher says of these jobs, each of them.

    Raises:
        UserError: it says something else.
    """
    said: Any = launcher.poll(ids) if ids else {}
    if not isinstance(said, Mapping) or not all(isinstance(said.get(id), JobReport) for id in ids):
        wrong = f"{kind_of(said)}" if not isinstance(said, Mapping) else _wrong_report(said, ids)
        raise UserError(f"--launcher {launcher.options.launcher}: its poll gives {wrong}; give a JobReport for each id")
    return {id: said[id] for id in ids}


def submitted(launcher: Launcher, jobs: Sequence[Job]) -> list[str]:
    """The ids of jobs that the launcher has taken.

    Raises:
        UserError: it gives something else than an id for each.
    """
    said: Any = launcher.submit(jobs)
    if not isinstance(said, list) or len(said) != len(jobs) or not all(isinstance(id, str) for id in said):
        given = f"{len(said)} for {len(jobs)} jobs" if isinstance(said, list) else kind_of(said)
        raise UserError(f"--launcher {launcher.options.launcher}: its submit gives {given}; give a text for each job")
    return said


def _wrong_report(said: Mapping[str, Any], ids: Sequence[str]) -> str:
    wrong = next(id for id in ids if not isinstance(said.get(id), JobReport))
    return f"{kind_of(said[wrong])} for the job {wrong!r}" if wrong in said else f"nothing for the job {wrong!r}"
