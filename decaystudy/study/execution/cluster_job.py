"""What a SLURM job does, pickled into it by submitit."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.runs.folder import RunFolder
from decaystudy.study.execution.jobs import JobKind
from decaystudy.study.execution.worker import evaluate, fit, redirect


class ClusterJob:
    """Trains a run, or evaluates it.

    Args:
        kind: which of the two.
        folder: the run's, as an absolute path.
        layout: changes to its settings.
        tasks: what an evaluation asks.
        limit: the job's time limit in minutes.
    """

    def __init__(self, kind: JobKind, folder: str, layout: Mapping[str, Any], tasks: str, limit: int) -> None:
        self.kind, self.folder, self.layout, self.tasks, self.limit = kind, folder, dict(layout), tasks, limit
        self.began = 0.0

    def __call__(self) -> None:
        """Ends with the exit code of the work; one beside 0 marks the job as failed."""
        self.began = time.time()
        if os.environ.get("SLURM_PROCID", "0") == "0":
            redirect(f"{self.folder}/log.txt")
        if self.kind is JobKind.TRAIN:
            code = fit(self.folder, self.layout)
        else:
            code = 0 if evaluate(self.folder, self.tasks) is None else 1
        if code != 0:
            raise SystemExit(code)

    def checkpoint(self) -> Any:
        """The job that takes its place; called by submitit when SLURM warns of a preemption or a time-out.

        Raises:
            UserError: the whole time went by without a checkpoint, so that it would never get on.
        """
        from submitit.helpers import DelayedSubmission

        if time.time() - self.began > 30 * self.limit and last_saved(self.folder) < self.began:
            raise UserError(
                f"nothing was saved within the job's time limit of {self.limit} minutes: raise --slurm.time, or save "
                "more often with --recipe.checkpoint_every"
            )
        return DelayedSubmission(self)


def last_saved(folder: str) -> float:
    """When the run's newest checkpoint or answer was written, in seconds since 1970."""
    run = RunFolder(folder)
    times = [file.stat().st_mtime for file in [*run.checkpoints.glob("*.ckpt"), Path(run.evaluation)] if file.exists()]
    return max(times, default=0.0)
