"""Launchers whose jobs end as a test says, and the runs of a small study."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from decaystudy.io import write_json
from decaystudy.runs.evaluation import EvaluationFolder, TaskResult, Validation
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.jobs import ActiveJob
from decaystudy.study.execution.launcher import (
    ExecutionOptions,
    Job,
    JobKind,
    JobReport,
    JobState,
    Launcher,
)
from decaystudy.study.execution.progress import Event, EventKind
from decaystudy.study.execution.scheduler import Scheduler
from decaystudy.study.execution.store import Store

TASKS = "offline_last_word"


class Pretender(Launcher):
    """Jobs that end at once as ``fates`` says by kind and cell; what is done is written where a worker would have."""

    fates: ClassVar[dict[tuple[str, str], JobState]] = {}
    batches: ClassVar[list[list[Job]]] = []

    def submit(self, jobs: Sequence[Job]) -> list[str]:
        self.batches.append(list(jobs))
        ids = [f"{len(self.batches)}_{task}" for task in range(len(jobs))]
        for job in jobs:
            if self.fate(job) is JobState.DONE:
                finish(job)
        return ids

    def poll(self, ids: Sequence[str]) -> Mapping[str, JobReport]:
        found = {}
        for id in ids:
            batch, task = id.split("_")
            state = self.fate(self.batches[int(batch) - 1][int(task)])
            found[id] = JobReport(state, "as it was to be" if state is JobState.KILLED else "")
        return found

    def cancel(self, ids: Sequence[str]) -> None:
        for id in ids:
            batch, task = id.split("_")
            job = self.batches[int(batch) - 1][int(task)]
            self.fates[job.kind, job.run.cell] = JobState.KILLED

    def wait(self, seconds: float) -> None:
        pass

    def fate(self, job: Job) -> JobState:
        return self.fates.get((job.kind, job.run.cell), JobState.DONE)


class DetachedPretender(Pretender):
    detached = True


class Notes:
    """Keeps what was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def tick(self, active: Sequence[ActiveJob]) -> None:
        pass

    def lines(self, kind: EventKind) -> list[str]:
        return [
            f"{event.run.cell}: {event.state or event.failure or 'done'}" for event in self.events if event.kind is kind
        ]


def finish(job: Job) -> None:
    """Leave behind what a job that ends well does."""
    folder = job.folder
    if job.kind is JobKind.TRAIN:
        write_json(folder.result, {"status": "finished", "val_loss": 1.0, "identity": job.run.hash})
        folder.weights.write_bytes(b"weights")
        folder.write_status("finished")
        return
    place = EvaluationFolder(folder.path)
    from decaystudy.evaluation.evaluate import data_of

    rows = {name: TaskResult(samples=4, data=data_of(name), metrics={"acc": 0.5}) for name in job.tasks.split(",")}
    place.write(dataclasses.replace(place.start(), validation=Validation(loss=1.0, perplexity=2.7), tasks=rows))


def scheduler(
    runs: Sequence[Run], out: Path, kind: type[Launcher] = Pretender, *, evaluate: bool = True, retry: bool = True
) -> tuple[Scheduler, Notes]:
    notes, tasks = Notes(), {run.hash: TASKS for run in runs} if evaluate else {}
    made = Scheduler(runs, Store(out), kind(ExecutionOptions()), notes, tasks, retry=retry, settle_seconds=0.1)
    return made, notes


def kinds(jobs: Sequence[Job]) -> list[str]:
    return [f"{job.kind} {job.run.cell}" for job in jobs]


def jobs_of(runs: Sequence[Run], launcher: Launcher, kind: JobKind, after: Sequence[str | None]) -> list[Job]:
    store = Store("nowhere")
    return [
        Job(run, store.place(run), kind, TASKS, launcher.resources(run, kind), each)
        for run, each in zip(runs, after, strict=True)
    ]
