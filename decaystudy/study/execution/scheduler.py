"""Trains and evaluates the runs of studies, each once, whoever else works on the same store."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from decaystudy.errors import UserError
from decaystudy.runs.folder import RunFolder, state_of
from decaystudy.runs.lease import take_lease
from decaystudy.runs.state import FINAL
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.endings import record_end, why_not_evaluated
from decaystudy.study.execution.job_file import read_job, write_job
from decaystudy.study.execution.jobs import ActiveJob, Job, JobKind, JobState
from decaystudy.study.execution.launcher import Launcher, reports, submitted
from decaystudy.study.execution.progress import Event, EventKind, Observer
from decaystudy.study.execution.store import Store
from decaystudy.study.execution.tasks import is_evaluated

POLL_SECONDS = 0.5
DETACHED_POLL_SECONDS = 3.0
"""A cluster is asked less often."""
SETTLE_SECONDS = 10.0


class Step(StrEnum):
    """What is left of a run, where that is no job."""

    WAIT = "wait"
    NONE = "none"


@dataclass
class Failures:
    """What could not be done, with the reason, by the run's hash."""

    training: dict[str, str] = field(default_factory=dict)
    """Runs that could not be started, or not write down how they ended. The others have it in their folder."""
    evaluation: dict[str, str] = field(default_factory=dict)
    """Runs that could not be evaluated."""

    def __bool__(self) -> bool:
        return bool(self.training or self.evaluation)

    def update(self, other: Failures) -> None:
        """Add those of ``other``."""
        self.training.update(other.training)
        self.evaluation.update(other.evaluation)


class Scheduler:
    """Brings every run to its end: training, then evaluation.

    Runs that another process holds are waited for, and taken over if it dies. A job that fails is not tried again; the
    next call does so.

    Args:
        runs: each once.
        store: where they are.
        launcher: runs the jobs.
        observer: tells the user.
        tasks: by hash, what a run is evaluated on; a run that is not in it is only trained.
        retry: also submit what an earlier call submitted without success.
        adopt: take up the jobs of earlier calls that have not ended.
        settle_seconds: how long the files of an ended job on another host may take to show here.
    """

    def __init__(
        self,
        runs: Iterable[Run],
        store: Store,
        launcher: Launcher,
        observer: Observer,
        tasks: Mapping[str, str] = {},
        *,
        retry: bool = True,
        adopt: bool = True,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self.store, self.launcher, self.observer, self.tasks = store, launcher, observer, dict(tasks)
        self.settle_seconds = settle_seconds
        self.failures = Failures()
        self.active: dict[str, ActiveJob] = {}
        self._waiting = {run.hash: run for run in runs}
        self._tried: set[tuple[str, JobKind]] = set()
        self._told_waiting: set[str] = set()
        if launcher.detached and adopt:
            self._adopt(retry)

    @property
    def unfinished(self) -> bool:
        """Whether there is something left to do, or to wait for."""
        return bool(self._waiting or self.active)

    def needed(self) -> list[Job]:
        """The jobs that there would be if all went well, training first."""
        jobs = []
        for run in self._waiting.values():
            step = self._next_step(run)
            if isinstance(step, Job):
                jobs.append(step)
                if step.kind is JobKind.TRAIN and run.hash in self.tasks:
                    jobs.append(self._job(run, JobKind.EVALUATE))
        return sorted(jobs, key=lambda job: list(JobKind).index(job.kind))

    def submit(self) -> None:
        """Submit what can be submitted now: training before evaluation."""
        for kind in JobKind:
            jobs = []
            for key, run in list(self._waiting.items()):
                step = self._next_step(run)
                if step is Step.NONE:
                    del self._waiting[key]
                elif isinstance(step, Job) and step.kind is kind:
                    jobs.append(step)
            while batch := self.launcher.next_batch(jobs):
                taken = {job.run.hash for job in batch}
                jobs = [job for job in jobs if job.run.hash not in taken]
                self._submit(batch)

    def run(self) -> Failures:
        """Submit jobs and wait for them until nothing is left to do. On an exception (Ctrl-C), jobs that cannot
        outlive this process are ended."""
        seconds = DETACHED_POLL_SECONDS if self.launcher.detached else POLL_SECONDS
        try:
            while True:
                self._collect()
                self.submit()
                if not self.unfinished:
                    return self.failures
                self.observer.tick(self.active.values())
                if self.active:
                    self.launcher.wait(seconds)
                else:
                    time.sleep(seconds)
        finally:
            if not self.launcher.detached:
                self.launcher.cancel(list(self.active))
            self.launcher.close()

    def cancel(self) -> int:
        """End the jobs that are queued or running; returns how many."""
        self.launcher.cancel(list(self.active))
        return len(self.active)

    def _adopt(self, retry: bool) -> None:
        """Take up the jobs of earlier calls: those that have not ended, and without ``retry`` those that have."""
        found: dict[str, ActiveJob] = {}
        for run in self._waiting.values():
            folder = self.store.find(run)
            for kind in JobKind if folder else ():
                assert folder is not None
                recorded = read_job(self.launcher.name, folder, kind)
                if recorded is not None and not is_done(folder, kind, recorded.tasks):
                    job = Job(run, folder, kind, recorded.tasks, self.launcher.resources(run, kind))
                    found[recorded.id] = ActiveJob(job, recorded.id, None)
        for id, report in reports(self.launcher, list(found)).items():
            job = found[id].job
            if not (report.state.ended and retry):
                self.active[id] = found[id]
                self._tried.add((job.run.hash, job.kind))
                if job.kind is JobKind.EVALUATE:
                    self.tasks.setdefault(job.run.hash, job.tasks)

    def _next_step(self, run: Run) -> Job | Step:
        """The next job of a run, if there is one."""
        key = run.hash
        folder = self.store.find(run)
        state = state_of(folder) if folder else "planned"
        training = self._active_id(run, JobKind.TRAIN)
        if training is None and state not in FINAL and (key, JobKind.TRAIN) not in self._tried:
            if state != "running":
                return self._job(run, JobKind.TRAIN)
            if key not in self._told_waiting:
                self._told_waiting.add(key)
                self.observer.tell(Event(EventKind.WAITING, run, folder))
            return Step.WAIT
        if key in self._told_waiting:
            self._told_waiting.discard(key)
            self.observer.tell(Event(EventKind.TRAINED, run, folder, state=state))
        if key not in self.tasks or (key, JobKind.EVALUATE) in self._tried:
            return Step.NONE
        if training is not None:
            return self._job(run, JobKind.EVALUATE, after=training) if self.launcher.detached else Step.WAIT
        if state == "finished" and folder is not None and not is_evaluated(folder, self.tasks[key]):
            return self._job(run, JobKind.EVALUATE)
        return Step.NONE

    def _job(self, run: Run, kind: JobKind, *, after: str | None = None) -> Job:
        tasks = self.tasks[run.hash] if kind is JobKind.EVALUATE else ""
        return Job(run, self.store.place(run), kind, tasks, self.launcher.resources(run, kind), after)

    def _active_id(self, run: Run, kind: JobKind) -> str | None:
        jobs = self.active.items()
        return next((id for id, one in jobs if one.job.run.hash == run.hash and one.job.kind is kind), None)

    def _submit(self, batch: Sequence[Job]) -> None:
        ready: list[Job] = []
        for job in batch:
            try:
                if job.kind is JobKind.TRAIN:
                    job = replace(job, folder=self.store.claim(job.run))
                    if not self.launcher.detached and not take_lease(job.folder):
                        continue
                ready.append(job)
            except (UserError, OSError) as error:
                self._not_started(job, error)
        if not ready:
            return
        before = [job.folder.read_status() for job in ready]
        try:
            ids = submitted(self.launcher, ready)
        except OSError as error:
            for job in ready:
                self._not_started(job, error)
            return
        for job, id, status in zip(ready, ids, before, strict=True):
            self.active[id] = ActiveJob(job, id, status)
            self._tried.add((job.run.hash, job.kind))
            self._told_waiting.discard(job.run.hash)
            if self.launcher.detached:
                write_job(self.launcher.name, job, id)
            kind = EventKind.SUBMITTED if self.launcher.detached else EventKind.STARTED
            self.observer.tell(Event(kind, job.run, job.folder, job, id))

    def _not_started(self, job: Job, error: Exception) -> None:
        self._tried.add((job.run.hash, job.kind))
        if job.kind is JobKind.TRAIN:
            self.failures.training[job.run.hash] = str(error)
            self.observer.tell(Event(EventKind.TRAINED, job.run, None, job, state="failed", failure=str(error)))
        else:
            self._not_evaluated(job, str(error))

    def _collect(self) -> None:
        """See how the active jobs do, and take note of those that have ended."""
        for id, report in reports(self.launcher, list(self.active)).items():
            one = self.active.get(id)
            if one is None:  # an evaluation whose training has just failed
                continue
            begins = report.state is JobState.RUNNING and one.report.state is not JobState.RUNNING
            one.report = report
            if begins and self.launcher.detached:
                self.observer.tell(Event(EventKind.STARTED, one.job.run, one.job.folder, one.job, id))
            if report.state.ended and self._files_are_here(one):
                del self.active[id]
                end = self._end_training if one.job.kind is JobKind.TRAIN else self._end_evaluation
                end(one)

    def _files_are_here(self, one: ActiveJob) -> bool:
        """Whether a shared file system shows what an ended job has left, or has had time to."""
        if not self.launcher.detached:
            return True
        now = time.monotonic()
        one.ended_at = now if one.ended_at is None else one.ended_at
        if now - one.ended_at >= self.settle_seconds:
            return True
        done = one.report.state is JobState.DONE
        if one.job.kind is JobKind.EVALUATE:
            return not done or is_evaluated(one.job.folder, one.job.tasks)
        state = state_of(one.job.folder)
        return state in FINAL or not (done or state in ("running", "planned"))

    def _end_training(self, one: ActiveJob) -> None:
        run, folder, report = one.job.run, one.job.folder, one.report
        state = failure = ""
        if report.state is JobState.BUSY or (report.state is not JobState.DONE and folder.held()):  # a lost race
            self._tried -= {(run.hash, kind) for kind in JobKind}
            self._waiting[run.hash] = run
        else:
            state, failure = record_end(one, lambda: self.launcher.logs(one.job, one.id))
            if failure:
                self.failures.training[run.hash] = failure
            self.observer.tell(Event(EventKind.TRAINED, run, folder, one.job, state=state, failure=failure))
        evaluation = self._active_id(run, JobKind.EVALUATE)
        if state != "finished" and evaluation is not None:  # it was to begin once the run had finished
            self.launcher.cancel([evaluation])
            del self.active[evaluation]

    def _end_evaluation(self, one: ActiveJob) -> None:
        job, report = one.job, one.report
        if is_evaluated(job.folder, job.tasks):
            self.observer.tell(Event(EventKind.EVALUATED, job.run, job.folder, job))
        elif report.state is JobState.BUSY:
            self._tried.discard((job.run.hash, job.kind))
            self._waiting[job.run.hash] = job.run
        elif state_of(job.folder) == "finished":
            self._not_evaluated(job, why_not_evaluated(report, self.launcher.logs(job, one.id)))

    def _not_evaluated(self, job: Job, reason: str) -> None:
        self.failures.evaluation[job.run.hash] = reason
        self.observer.tell(Event(EventKind.EVALUATED, job.run, job.folder, job, failure=reason))


def is_done(folder: RunFolder, kind: JobKind, tasks: str) -> bool:
    """Whether there is nothing left for a job of that kind."""
    return state_of(folder) in FINAL if kind is JobKind.TRAIN else is_evaluated(folder, tasks)
