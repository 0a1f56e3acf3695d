"""Jobs on this machine: a limited number at once, each in a process of its own.

A run of one process is forked from one that has imported torch and Lightning and computed nothing: that saves each run
seven seconds. A run of several processes gets a fresh interpreter. Small runs share a GPU: what one of them does beside
computing there (start, compile, validate, save), others fill. An evaluation goes to a process that has evaluated
before, if there is one. All of them end when the study's process ends.
"""

from __future__ import annotations

import logging
import multiprocessing.connection
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from decaystudy.errors import UserError, signals_held
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.jobs import Job, JobKind, JobReport, JobState, Resources
from decaystudy.study.execution.launcher import ExecutionOptions, Launcher
from decaystudy.study.execution.machine import cpu_count, gpu_memory, local_gpus
from decaystudy.study.execution.processes import Evaluator, Forked, Fresh, JobProcess, forkserver, visible
from decaystudy.study.execution.sharing import runs_that_share
from decaystudy.study.execution.slurm_options import SlurmOptions
from decaystudy.study.execution.worker import train_forked
from decaystudy.training.processors import check_gpus, check_processes

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
        self._held: Counter[str] = Counter()
        self._running: dict[str, tuple[Job, JobProcess]] = {}
        self._idle: list[Evaluator] = []
        self._forks: Any = None
        self._last_id = 0
        self._restarted: set[str] = set()

    def check(self, runs: Sequence[Run]) -> None:
        devices, at_once = self.options.devices, self.options.jobs
        for run in runs:
            check_gpus(run.config, 1)
        if not self.on_gpu(runs):
            if (self.options.runs_per_gpu or 1) > 1:
                LOG.warning("--runs-per-gpu has no effect here: these runs use no GPU of this machine")
            check_processes("--devices", devices)
            check_processes("--jobs", min(at_once or 1, len(runs)) * devices)
            return
        if devices > len(self.gpus):
            raise UserError(f"--devices {devices}: this machine has {len(self.gpus)} GPUs; ask for fewer")
        sharing = min(map(self._sharing, runs), default=1)
        fitting = len(self.gpus) * sharing // devices
        if at_once is not None and at_once > fitting:
            shared = "" if sharing == 1 else f" at {sharing} runs each"
            raise UserError(
                f"--jobs {at_once} with --devices {devices} needs {-(-at_once * devices // sharing)} GPUs{shared} and "
                f"this machine has {len(self.gpus)}: ask for --jobs {fitting}"
                + (f", or give --runs-per-gpu {-(-at_once // len(self.gpus))}" if devices == 1 else "")
            )

    def on_gpu(self, runs: Sequence[Run]) -> bool:
        """Whether any of these runs goes to this machine's GPUs."""
        return any(self._uses_gpu(self.resources(run, JobKind.TRAIN)) for run in runs)

    def at_once(self, runs: Sequence[Run]) -> int:
        if self.options.jobs is not None:
            return self.options.jobs
        if self.on_gpu(runs):
            return max(1, len(self.gpus) * min(map(self._sharing, runs)) // self.options.devices)
        return max(1, cpu_count() // max((cpus(self.resources(run, JobKind.TRAIN)) for run in runs), default=1))

    def next_batch(self, waiting: Sequence[Job]) -> Sequence[Job]:
        """The first job that there is room for."""
        return next(([job] for job in waiting if self._has_room(job)), [])

    def submit(self, jobs: Sequence[Job]) -> list[str]:
        ids = []
        for job in jobs:
            self._last_id += 1
            ids.append(str(self._last_id))
            self._begin(ids[-1], job)
        return ids

    def _begin(self, id: str, job: Job) -> None:
        """Start a job and remember it; a signal between the two would leave a process that nobody ends."""
        with signals_held():
            self._running[id] = (job, self._start(job))

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
        self._begin(id, job)
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

    def _has_room(self, job: Job) -> bool:
        needs = job.resources
        running = [job.resources for job, _ in self._running.values()]
        if self.options.jobs is not None and len(running) >= self.options.jobs:
            return False
        if self._uses_gpu(needs):
            idle = Counter(gpu for process in self._idle for gpu in process.gpus)
            return len(self._roomy(job, self._held - idle)) >= needs.devices
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
        if on_gpu:
            self._end_idle()  # their GPUs may be needed, and their memory
        if job.resources.devices > 1:
            return self._with_gpus(job, lambda gpus: Fresh(job.command(die_with_parent=True), environment, gpus))
        return self._with_gpus(job, lambda gpus: self._forked(job, environment, gpus))

    def _forked(self, job: Job, environment: Mapping[str, str], gpus: tuple[str, ...]) -> Forked:
        if self._forks is None:
            self._forks = forkserver("decaystudy.training.fit", "decaystudy.training.process")
        arguments = (str(job.folder.path), job.layout, {**environment, **visible(gpus)})
        return Forked(self._forks.Process(target=train_forked, args=arguments), gpus)

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
        """Start a process that holds the GPUs of the job, those with the fewest others."""
        needs = job.resources
        gpus = tuple(self._roomy(job, self._held)[: needs.devices]) if self._uses_gpu(needs) else ()
        process = start(gpus)
        self._held.update(gpus)
        return process

    def _roomy(self, job: Job, held: Counter[str]) -> list[str]:
        """GPUs with room for this job, the freest first."""
        most = self._sharing(job.run)
        return sorted((gpu for gpu in self.gpus if held[gpu] < most), key=lambda gpu: held[gpu])

    def _sharing(self, run: Run) -> int:
        """How many jobs of such runs share a GPU."""
        if self.options.devices > 1:
            return 1
        if self.options.runs_per_gpu is not None:
            return self.options.runs_per_gpu
        return runs_that_share(run.config, gpu_memory(), cpu_count() // max(1, len(self.gpus)))

    def _end(self, process: JobProcess) -> None:
        process.end()
        self._held -= Counter(process.gpus)

    def _end_idle(self) -> None:
        while self._idle:
            self._end(self._idle.pop())


def cpus(needs: Resources) -> int:
    """CPUs of a job that uses no GPU."""
    return (needs.threads or cpu_count()) * needs.devices
