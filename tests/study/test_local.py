"""Jobs on this machine: GPUs are dealt out, shared and given back."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from decaystudy.errors import UserError, exit_code
from decaystudy.runs.memory import memory_bytes
from decaystudy.study.definition.expand import Run
from decaystudy.study.definition.several import expand_all
from decaystudy.study.execution import local
from decaystudy.study.execution.launcher import (
    ExecutionOptions,
    JobKind,
    JobState,
    Resources,
)
from decaystudy.study.execution.local import LocalLauncher
from decaystudy.study.execution.processes import Fresh
from decaystudy.study.execution.sharing import runs_that_share
from decaystudy.study.execution.store import Store
from tests.study.pretending import TASKS, jobs_of


def test_gpus_are_dealt_out_and_given_back(runs: list[Run], tmp_path: Path) -> None:
    launcher = LocalLauncher(ExecutionOptions(devices=2), gpus=["0", "1", "2"])
    training = jobs_of(runs, launcher, JobKind.TRAIN, [None] * 3)
    assert launcher.at_once(runs) == 1 and launcher.on_gpu(runs)
    assert launcher.next_batch(training) == training[:1]
    with pytest.raises(UserError, match="--devices 2: this machine has 1 GPUs; ask for fewer"):
        LocalLauncher(ExecutionOptions(devices=2), gpus=["0"]).check(runs)
    with pytest.raises(UserError, match="ask for --jobs 1"):
        LocalLauncher(ExecutionOptions(devices=2, jobs=2), gpus=["0", "1", "2"]).check(runs)
    store = Store(tmp_path / "out")
    for run in runs:
        store.claim(run)
    training = [replace(job, folder=store.place(job.run)) for job in training]
    (first,) = launcher.submit(training[:1])
    assert visible_gpus() == ["0,1"] and launcher.next_batch(training[1:]) == []
    asks = replace(training[1], kind=JobKind.EVALUATE, tasks=TASKS, resources=Resources())
    assert launcher.next_batch([training[1], asks]) == [asks], "one GPU is free"
    (second,) = launcher.submit([asks])
    assert visible_gpus() == ["0,1", "2"]
    assert {report.state for report in launcher.poll([first, second]).values()} == {JobState.RUNNING}
    launcher.cancel([first])
    assert visible_gpus() == ["2"] and launcher.next_batch(training[1:]) == training[1:2]
    launcher.close()
    assert visible_gpus() == []


class Sleeping(Fresh):
    """A process in the place of a training, where only its GPUs matter."""

    def __init__(self, process: Any, gpus: tuple[str, ...]) -> None:
        super().__init__(["sleep", "60"], {}, gpus)


def test_small_runs_share_a_gpu(runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "Forked", Sleeping)
    launcher = LocalLauncher(ExecutionOptions(runs_per_gpu=2), gpus=["4"])
    training = jobs_of(runs, launcher, JobKind.TRAIN, [None] * 3)
    assert launcher.at_once(runs) == 2
    with pytest.raises(UserError, match=r"needs 2 GPUs at 2 runs each .* ask for --jobs 2, or give --runs-per-gpu 3"):
        LocalLauncher(ExecutionOptions(jobs=3, runs_per_gpu=2), gpus=["4"]).check(runs)
    with pytest.raises(UserError, match="only runs on one GPU share it"):
        ExecutionOptions(devices=2, runs_per_gpu=2)
    store = Store(tmp_path / "out")
    for run in runs:
        store.claim(run)
    training = [replace(job, folder=store.place(job.run)) for job in training]
    assert launcher.next_batch(training) == training[:1]
    (first,) = launcher.submit(training[:1])
    assert launcher.next_batch(training[1:]) == training[1:2]
    launcher.submit(training[1:2])
    assert launcher.next_batch(training[2:]) == []
    launcher.cancel([first])
    assert launcher.next_batch(training[2:]) == training[2:]
    launcher.close()


@pytest.mark.parametrize(("gpus", "times"), [([], 1), (["4"], 0)])
def test_sharing_without_a_gpu_has_no_effect_and_is_told_of(
    gpus: list[str], times: int, runs: list[Run], caplog: pytest.LogCaptureFixture
) -> None:
    """A plan for a machine with GPUs is often looked at on one without."""
    LocalLauncher(ExecutionOptions(runs_per_gpu=2), gpus=gpus).check(runs)
    LocalLauncher(ExecutionOptions(), gpus=gpus).check(runs)
    assert caplog.text.count("--runs-per-gpu has no effect here: these runs use no GPU of this machine") == times


def test_how_many_runs_share_a_gpu(runs: list[Run]) -> None:
    config = runs[0].config
    assert runs_that_share(config, None, 64) == 6
    assert runs_that_share(config, 2 * memory_bytes(config), 64) == 2
    assert runs_that_share(config, 1, 64) == 1
    assert runs_that_share(config, None, 8) == 4
    assert runs_that_share(config, None, 1) == 1
    large = expand_all(["sharing"], scale="160m")[0].runs()[0].config
    assert runs_that_share(large, None, 64) == 1


def visible_gpus() -> list[str]:
    """The GPUs that each child of this process was given."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    gpus = [
        line.partition("=")[2]
        for child in children
        for line in environment(child).split("\0")
        if line.startswith("CUDA_VISIBLE_DEVICES=")
    ]
    return sorted(gpu for gpu in gpus if gpu)


def environment(child: str) -> str:
    """What a process was given; Linux shows nothing for a moment while it is started."""
    deadline = time.monotonic() + 5
    while not (text := Path(f"/proc/{child}/environ").read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return text


def test_a_signal_while_a_job_is_started_leaves_no_process_behind(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found as a study that said that it had ended, and waited for a run that nobody had told to."""
    begun = []

    class Interrupted(Sleeping):
        """The signal comes when the process runs already and is known to nobody."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            begun.append(self)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(local, "Forked", Interrupted)
    launcher = LocalLauncher(ExecutionOptions(), gpus=[])
    (job,) = jobs_of(runs[:1], launcher, JobKind.TRAIN, [None])
    store = Store(tmp_path / "out")
    store.claim(job.run)

    def study() -> int:
        try:
            launcher.submit([replace(job, folder=store.place(job.run))])
        finally:
            launcher.close()
        return 0

    assert exit_code(study) == 128 + signal.SIGTERM
    assert [process.report().state.ended for process in begun] == [True]
