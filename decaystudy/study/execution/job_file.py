"""RUN/slurm_job.json: a run's latest jobs, so that any later call finds them.

Written for launchers whose jobs outlive the study, in a file for each launcher.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from decaystudy.io import read_mapping, write_json
from decaystudy.runs.folder import RunFolder
from decaystudy.study.execution.jobs import Job, JobKind


@dataclass(frozen=True)
class RecordedJob:
    """A job that some call has submitted."""

    id: str
    tasks: str


def write_job(launcher: str, job: Job, id: str) -> None:
    """Keep the id of a job: ``id`` for training, ``evaluation.id`` for an evaluation, which a new training ends."""
    path = job.folder.path / f"{launcher}_job.json"
    values: dict[str, Any] = {"id": id, "submitted": time.time()}
    if job.kind is JobKind.EVALUATE:
        values = {**(read_mapping(path) or {}), "evaluation": {**values, "tasks": job.tasks}}
    write_json(path, values)


def read_job(launcher: str, folder: RunFolder, kind: JobKind) -> RecordedJob | None:
    """The run's latest job of that kind, or None."""
    held: dict[str, Any] = read_mapping(folder.path / f"{launcher}_job.json") or {}
    values = held if kind is JobKind.TRAIN else held.get("evaluation", {})
    return RecordedJob(str(values["id"]), values.get("tasks", "")) if "id" in values else None
