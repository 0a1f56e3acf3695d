"""Runs as SLURM jobs, one a run, through submitit. Needs no torch.

A job's number is kept in RUN/slurm_job.json, so that any later call finds it. A preempted or timed-out job is requeued
and goes on from the run's last checkpoint.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from decaystudy.errors import UserError
from decaystudy.io import read_mapping, write_json
from decaystudy.runs.folder import RunFolder, state_of
from decaystudy.runs.state import FINAL
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.scheduler import Event, last_line
from decaystudy.study.execution.store import Store

POLL_SECONDS = 3.0
# A job that has left the queue is given so long to show its result on a shared file system.
SETTLE_SECONDS = 10.0


@dataclass
class SlurmOptions:
    """What a job asks the cluster for."""

    partition: str | None = None
    """Partition to submit to; the cluster's default unless set."""
    account: str | None = None
    """Account to charge."""
    time: str = "24:00:00"
    """How long a job may take, as SLURM writes it: hours:minutes:seconds, or minutes."""
    gpus_per_node: int | None = None
    """GPUs of each node; as many as --devices unless set, 0 for runs on a CPU."""
    nodes: int = 1
    """Nodes of each run."""
    cpus_per_task: int | None = None
    """CPUs of each process; the run's threads, else 8, unless set."""
    memory: str | None = None
    """Memory of each node, such as 64GB; the cluster's default unless set."""
    extra: str | None = None
    """Other sbatch settings by name, such as qos=high,constraint=a100."""


class FitJob:
    """What a job does: trains the run and evaluates it. Pickled into the job by submitit."""

    def __init__(self, folder: str, layout: dict[str, Any], tasks: str | None = None) -> None:
        self.folder = folder
        self.layout = layout
        self.tasks = tasks

    def __call__(self) -> int:
        from decaystudy.study.execution.worker import fit, redirect

        first = os.environ.get("SLURM_PROCID", "0") == "0"
        if first:
            redirect(f"{self.folder}/log.txt")
        code = fit(self.folder, self.layout)
        if code not in (0, 3):
            raise SystemExit(code)
        if code == 0 and self.tasks is not None and first:
            from decaystudy.evaluation.evaluate import evaluate

            evaluate(self.folder, self.tasks, lengths=True, tell=print)
        return code

    def checkpoint(self) -> Any:
        """Called by submitit before a preemption or a time-out: the same job again, which resumes."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SlurmLauncher:
    """Submits, watches and cancels jobs."""

    def __init__(
        self, options: SlurmOptions, devices: int, store: Store, tasks: Mapping[str, str] | None = None
    ) -> None:
        if shutil.which("sbatch") is None:
            raise UserError("--launcher slurm: sbatch is not on this machine; log in to the cluster or use local")
        self.options, self.devices, self.store = options, devices, store
        self.tasks = dict(tasks or {})
        """By hash, what a run is evaluated on."""

    def submit(self, runs: Sequence[Run], *, again: bool = True) -> int:
        """Submit a job for each run that is not done and has none in the queue; returns how many.

        Args:
            again: also runs whose earlier job has ended without finishing them.
        """
        queued = queue()
        submitted = 0
        for run in runs:
            found = self.store.find(run)
            if found is not None and (state_of(found) in (*FINAL, "running") or job_of(found) in queued):
                continue
            if not again and found is not None and job_of(found) is not None:
                continue
            folder = self.store.claim(run)
            job = self._executor(run, folder).submit(
                FitJob(str(folder.path.absolute()), self._layout(run), self.tasks.get(run.hash))
            )
            write_json(folder.path / "slurm_job.json", {"id": str(job.job_id), "submitted": time.time()})
            print(f"  ▸ {run.name} submitted as job {job.job_id}", file=sys.stderr)
            submitted += 1
        return submitted

    def watch(self, runs: Sequence[Run], tell: Callable[[Event], None]) -> None:
        """Return when no run has a job in the queue any more. Ctrl-C leaves the jobs alone."""
        waiting = {run.hash: run for run in runs}
        started: set[str] = set()
        while waiting:
            queued = queue()
            for key, run in list(waiting.items()):
                folder = self.store.find(run)
                state = state_of(folder) if folder else "planned"
                job = job_of(folder) if folder else None
                if state == "running" and key not in started:
                    started.add(key)
                    tell(Event("started", run, folder, state))
                if job in queued and state not in FINAL:
                    continue
                if folder is not None and job is not None and state not in FINAL:
                    state = settle(folder, job)
                    if state == "running":
                        continue
                tell(Event("ended", run, folder, state))
                del waiting[key]
            if waiting:
                tell(Event("tick"))
                time.sleep(POLL_SECONDS)

    def cancel(self, runs: Sequence[Run]) -> int:
        """End the runs' jobs; returns how many."""
        queued = queue()
        jobs = [job for run in runs if (folder := self.store.find(run)) and (job := job_of(folder)) in queued]
        if jobs:
            _ask("scancel", *[str(job) for job in jobs])
        return len(jobs)

    def _layout(self, run: Run) -> dict[str, Any]:
        """Changes to the run's settings for the job's processes."""
        if self.devices == 1 and self.options.nodes == 1:
            return {}
        layout: dict[str, Any] = {"trainer": {"devices": self.devices, "num_nodes": self.options.nodes}}
        return {**layout, "strategy": "ddp"} if run.config.strategy == "auto" else layout

    def _executor(self, run: Run, folder: RunFolder) -> Any:
        try:
            import submitit
        except ImportError as error:
            raise UserError("--launcher slurm needs submitit: pip install submitit") from error
        gpus = self.devices if self.options.gpus_per_node is None else self.options.gpus_per_node
        executor = submitit.SlurmExecutor(folder=folder.path / "slurm", python=sys.executable)
        parameters: dict[str, Any] = {
            "job_name": run.name,
            "time": self.options.time,
            "nodes": self.options.nodes,
            "ntasks_per_node": self.devices,
            "cpus_per_task": self.options.cpus_per_task or run.config.threads or 8,
            "partition": self.options.partition,
            "account": self.options.account,
            "mem": self.options.memory,
            "gpus_per_node": gpus or None,
        }
        additional = dict(part.split("=", 1) for part in (self.options.extra or "").split(",") if "=" in part)
        executor.update_parameters(
            **{key: value for key, value in parameters.items() if value is not None},
            additional_parameters={"requeue": True, **additional},
        )
        return executor


def job_of(folder: RunFolder) -> str | None:
    """The number of the run's latest job."""
    values = read_mapping(folder.path / "slurm_job.json")
    return str(values["id"]) if values else None


def queue() -> dict[str, str]:
    """State of each of the user's jobs that is pending or running, by number."""
    listing = _ask("squeue", "--noheader", "--me", "--format", "%A %T")
    return dict(line.split()[:2] for line in listing.splitlines() if len(line.split()) >= 2)  # type: ignore[misc]


def settle(folder: RunFolder, job: str) -> str:
    """What became of a run whose job has left the queue."""
    deadline = time.monotonic() + SETTLE_SECONDS
    state = state_of(folder)
    while state in ("running", "planned") and time.monotonic() < deadline:
        time.sleep(0.5)
        state = state_of(folder)
    if state in (*FINAL, "failed", "out-of-memory"):
        return state
    status = folder.read_status()
    facts = {key: status[key] for key in ("step", "max_steps", "loss") if key in status}
    message = f"job {job} ended before the run did"
    if not status:
        message += f": {last_line(folder, None)}"
    folder.write_status("killed", **facts, message=message)
    return "killed"


def _ask(*command: str) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        detail = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise UserError(f"{command[0]} did not answer: {detail[-1] if detail else error}") from error
    return answer.stdout


def describe(folder: RunFolder, queued: dict[str, str]) -> str | None:
    """``job 12 pending`` for a run that waits in the queue."""
    job = job_of(folder)
    return f"job {job} {queued[job].lower()}" if job in queued else None
