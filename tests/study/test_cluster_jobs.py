"""Jobs on a cluster: arrays, requeues and logs."""

import os
import time
from pathlib import Path

import pytest

from decaystudy.errors import UserError
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.cluster_job import ClusterJob
from decaystudy.study.execution.launcher import (
    ExecutionOptions,
    Job,
    JobKind,
)
from decaystudy.study.execution.slurm import SlurmLauncher
from decaystudy.study.execution.store import Store
from tests.study.pretending import jobs_of


def test_arrays_hold_what_needs_the_same_and_no_more_than_the_cluster_takes(runs: list[Run]) -> None:
    launcher = SlurmLauncher(ExecutionOptions(launcher="slurm", devices=2), max_array_size=2)
    training = jobs_of(runs, launcher, JobKind.TRAIN, [None] * 3)
    assert launcher.next_batch(training) == training[:2]
    evaluation = jobs_of(runs, launcher, JobKind.EVALUATE, ["7_0", "7_1", "8"])
    assert launcher.next_batch([training[2], *evaluation]) == training[2:]
    assert launcher.next_batch(evaluation) == evaluation[:2]
    assert launcher.next_batch(evaluation[2:]) == evaluation[2:]
    # Task by task an array can only follow the first tasks of another.
    assert launcher.next_batch(evaluation[1:]) == evaluation[1:2]
    assert launcher.next_batch([]) == []


def test_a_job_that_saves_nothing_is_not_requeued_for_ever(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    job = ClusterJob(JobKind.TRAIN, str(tmp_path), {}, "", limit=10)
    job.began = time.time() - 60
    assert job.checkpoint().function is job, "preempted early"
    job.began = time.time() - 510
    with pytest.raises(UserError, match=r"time limit of 10 minutes: raise --slurm\.time"):
        job.checkpoint()
    (tmp_path / "checkpoints" / "step=5.ckpt").touch()
    assert job.checkpoint().function is job


def test_the_log_of_a_cluster_job_that_never_reached_its_run(runs: list[Run], tmp_path: Path) -> None:
    """SLURM's own log tells why; the run's log does, once the job has written to it."""
    launcher = SlurmLauncher(ExecutionOptions(launcher="slurm"))
    folder = Store(tmp_path).claim(runs[0])
    job = Job(runs[0], folder, JobKind.TRAIN)
    folder.log.write_text("an earlier attempt\n")
    os.utime(folder.log, (1, 1))
    (tmp_path / "store" / ".slurm").mkdir()
    (tmp_path / "store" / ".slurm" / "12_submission.sh").touch()
    (tmp_path / "store" / ".slurm" / "12_3_0_log.err").write_text("python: not found\n")
    assert launcher.logs(job, "12_3") == "python: not found\n"
    folder.log.write_text("this attempt\n")
    assert launcher.logs(job, "12_3") == "this attempt"
