"""Jobs on this machine: a limited number at once, each in a process of its own.

On a CPU a run is forked from a process that has imported torch and Lightning and computed nothing: that saves each run
seven seconds. Runs on GPUs, or of several processes, get a fresh interpreter. An evaluation goes to a process that has
evaluated before, if there is one. All of them end when the study's process ends.
"""

from __future__ import annotations

import logging
import multiprocessing.connection
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from decaystudy.errors import UserError
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.jobs import Job, JobKind, JobReport, JobState, Resources
from decaystudy.study.execution.launcher import ExecutionOptions, Launcher
from decaystudy.study.execution.machine import cpu_count, local_gpus
from decaystudy.study.execution.processes import Evaluator, Forked, Fresh, JobProcess, forkserver
from decaystudy.study.execution.slurm_options import SlurmOptions
from decaystudy.study.execution.worker import train_forked

P = TypeVar("P", bound=JobProcess)
LOG = logging.getLogger("decaystudy")
STOP_SECONDS = 20.0
"""How long trainings that are to end have for the step that they are in, and its checkpoint."""
FRESH_SECONDS = 0.5
"""How often a process is looked at that can't tell of its end."""


class LocalLauncher(Launcher):
    """Runs jobs on this machine.

    Args:
        options: how the jobs are to be run.
        gpus: indices of the GPUs to use; None for all that this machine has.
    """

    def __init__(self, options: ExecutionOptions, *, gpus: Sequence[str] | None = None) -> None:
        super().__init__(options)
        if options.slurm != SlurmOptions():
            raise UserError("settings under --slurm need --launcher slurm: add it, or leave them out")
        self.gpus = local_gpus() if gpus is None else tuple(gpus)
        self._free = list(self.gpus)
        self._running: dict[str, tuple[Job, JobProcess]] = {}
        self._idle: list[Evaluator] = []
        self._forks: Any = None
        self._last_id = 0
        self._restarted: set[str] = set()

    def check(self, runs: Sequence[Run]) -> None:
        devices, at_once = self.options.devices, self.options.jobs
        if not self.on_gpu(runs):
            return
        if devices > len(self.gpus):
            raise UserError(f"--devices {devices}: this machine has {len(self.gpus)} GPUs; ask for fewer")
        fitting = len(self.gpus) // devices
        if at_once is not None and at_once > fitting:
            raise UserError(
                f"--jobs {at_once} with --devices {devices} needs {at_once * devices} GPUs and this "
                f"machine has {len(self.gpus)}: ask for --jobs {fitting}"
            )

    def on_gpu(self, runs: Sequence[Run]) -> bool:
        """Whether any of these runs goes to this machine's GPUs."""
        return any(self._uses_gpu(self.resources(run, JobKind.TRAIN)) for run in runs)

    def at_once(self, runs: Sequence[Run]) -> int:
        if self.options.jobs is not None:
            return self.options.jobs
        if self.on_gpu(runs):
            return max(1, len(self.gpus) // self.options.devices)
        return max(1, cpu_count() // max((cpus(self.resources(run, JobKind.TRAIN)) for run in runs), default=1))

    def next_batch(self, waiting: Sequence[Job]) -> Sequence[Job]:
        """The first job that there is room for."""
        return next(([job] for job in waiting if self._has_room(job.resources)), [])

    def submit(self, jobs: Sequence[Job]) -> list[str]:
        ids = []
        for job in jobs:
            process = self._start(job)
            self._last_id += 1
            ids.append(str(self._last_id))
            self._running[ids[-1]] = (job, process)
        return ids

    def poll(self, ids: Sequence[str]) -> Mapping[str, JobReport]:
        reports = {id: self._restart(id, self._running[id][1].report()) for id in ids}
        for id, report in reports.items():
            if report.state.ended:
                _, process = self._running.pop(id)
                if isinstance(process, Evaluator) and process.alive():
                    self._idle.append(process)
                else:
                    self._end(process)
        return reports

    def _restart(self, id: str, report: JobReport) -> JobReport:
        """What a job's report comes to: a training that was killed alone is started once more."""
        job, process = self._running[id]
        if report.state is not JobState.KILLED or job.kind is not JobKind.TRAIN or id in self._restarted:
            return report
        LOG.warning("  ▸ %s was %s: it resumes once from its last checkpoint", job.name, report.reason)
        self._restarted.add(id)
        self._end(process)
        self._running[id] = (job, self._start(job))
        return JobReport(JobState.RUNNING)

    def cancel(self, ids: Sequence[str]) -> None:
        """End these jobs. Trainings are asked first, so that they write a checkpoint of the step that they are in."""
        ending = [self._running.pop(id) for id in ids if id in self._running]
        asked = [process for job, process in ending if job.kind is JobKind.TRAIN]
        try:
            for process in asked:
                process.stop()
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline and not all(process.report().state.ended for process in asked):
                time.sleep(0.05)
        finally:
            for _, process in ending:
                self._end(process)

    def wait(self, seconds: float) -> None:
        waitable = [process.waitable() for _, process in self._running.values()]
        if None in waitable:
            seconds = min(seconds, FRESH_SECONDS)
        multiprocessing.connection.wait([each for each in waitable if each is not None], timeout=seconds)

    def close(self) -> None:
        self.cancel(list(self._running))
        self._end_idle()

    def _uses_gpu(self, needs: Resources) -> bool:
        return bool(self.gpus) and needs.gpu

    def _has_room(self, needs: Resources) -> bool:
        running = [job.resources for job, _ in self._running.values()]
        if self.options.jobs is not None and len(running) >= self.options.jobs:
            return False
        if self._uses_gpu(needs):
            return needs.devices <= len(self._free) + sum(len(process.gpus) for process in self._idle)
        on_cpu = [other for other in running if not self._uses_gpu(other)]
        if self.options.jobs is not None or not on_cpu:
            return True
        return sum(map(cpus, on_cpu)) + cpus(needs) <= cpu_count()

    def _start(self, job: Job) -> JobProcess:
        threads = str(job.resources.threads or "")
        on_gpu = self._uses_gpu(job.resources)
        environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads} if threads and not on_gpu else {}
        if job.kind is JobKind.EVALUATE:
            return self._evaluator(job, environment)
        if on_gpu or job.resources.devices > 1:
            self._end_idle()  # their GPUs may be needed, and their memory
            return self._with_gpus(job, lambda gpus: Fresh(job.command(die_with_parent=True), environment, gpus))
        if self._forks is None:
            self._forks = forkserver("decaystudy.training.fit", "decaystudy.training.process")
        arguments = (str(job.folder.path), job.layout, environment)
        return Forked(self._forks.Process(target=train_forked, args=arguments))

    def _evaluator(self, job: Job, environment: Mapping[str, str]) -> JobProcess:
        """A process that has taken the job: an idle one if it lives and is where the job belongs."""
        while self._idle:
            process = self._idle.pop()
            if process.alive() and bool(process.gpus) == self._uses_gpu(job.resources):
                process.take(job)
                return process
            self._end(process)
        fresh = self._with_gpus(job, lambda gpus: Evaluator(environment, gpus))
        fresh.take(job)
        return fresh

    def _with_gpus(self, job: Job, start: Callable[[tuple[str, ...]], P]) -> P:
        """Start a process that holds the GPUs of the job."""
        count = job.resources.devices if self._uses_gpu(job.resources) else 0
        gpus = tuple(self._free[:count])
        process = start(gpus)
        del self._free[:count]
        return process

    def _end(self, process: JobProcess) -> None:
        process.end()
        self._free += process.gpus

    def _end_idle(self) -> None:
        while self._idle:
            self._end(self._idle.pop())


def cpus(needs: Resources) -> int:
    """CPUs of a job that uses no GPU."""
    return (needs.threads or cpu_count()) * needs.devices
