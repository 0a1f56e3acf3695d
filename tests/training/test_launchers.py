"""Processes that something else has started: torchrun, on one machine or several, and srun of a real SLURM."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from decaystudy.training.world import without_world
from tests.study.slurm import free_port, running
from tests.training import small

pytestmark = pytest.mark.slow
TWO = ("--trainer.devices", "2")
STRAY = {"RANK": "1", "LOCAL_RANK": "1", "GROUP_RANK": "1", "NODE_RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "1"}
SHELL = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_JOB_NAME": "bash", "SLURM_PROCID": "1"}
SHELL |= {"SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NTASKS": "2", "SLURM_STEP_NODELIST": "elsewhere"}


def fit(out: Path, *more: str) -> list[str]:
    return ["-m", "decaystudy", "fit", *small.SETTINGS, "--logger", "tensorboard,csv", "--out", str(out), *more]


def torchrun(*words: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *words]


def launch(*commands: Sequence[str], environment: Iterable[tuple[str, str]] = ()) -> list[tuple[int, str]]:
    """Exit code and output of commands that run at the same time."""
    own = {**without_world(os.environ), "OMP_NUM_THREADS": "1", **dict(environment)}
    started = [
        subprocess.Popen(words, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for words in commands
    ]
    try:
        said = [process.communicate(timeout=300)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, text) for process, text in zip(started, said, strict=True)]


def result(out: Path, ended: list[tuple[int, str]]) -> dict[str, Any]:
    """What a run of two processes has left, once it has trained in order and said so once."""
    said = "\n".join(text for _, text in ended)
    assert all(code == 0 for code, _ in ended), said
    assert said.count("finished 12 steps") == 1 and said.count("training 12 steps") == 1, said
    assert json.loads((out / "result.json").read_text(encoding="utf-8"))["world_size"] == 2
    return small.numbers(out)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The run that has started its two processes itself."""
    out = tmp_path_factory.mktemp("expected") / "run"
    return result(out, launch([sys.executable, *fit(out, *TWO)]))


@pytest.mark.parametrize("stray", [STRAY, SHELL], ids=["ranks", "a shell in SLURM"])
def test_stray_variables_change_nothing(stray: dict[str, str], expected: dict[str, Any], tmp_path: Path) -> None:
    ended = launch([sys.executable, *fit(tmp_path / "run", *TWO)], environment=stray.items())
    assert result(tmp_path / "run", ended) == expected


def test_torchrun(expected: dict[str, Any], tmp_path: Path) -> None:
    command = torchrun("--nproc-per-node", "2", *fit(tmp_path / "run", *TWO))
    assert result(tmp_path / "run", launch(command)) == expected
    [(code, said)] = launch(command)
    assert code == 0 and said.count("is already finished") == 1


def test_torchrun_on_two_machines(expected: dict[str, Any], tmp_path: Path) -> None:
    layout = ("--trainer.devices", "1", "--trainer.num_nodes", "2")
    place = ("--nnodes", "2", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--nproc-per-node", "1")
    both = [torchrun(*place, "--node-rank", str(node), *fit(tmp_path / "run", *layout)) for node in (0, 1)]
    assert result(tmp_path / "run", launch(*both)) == expected


def test_torchrun_with_another_number_of_processes(tmp_path: Path) -> None:
    [(code, said)] = launch(torchrun("--nproc-per-node", "2", *fit(tmp_path / "run")))
    assert code == 1 and "torchrun has started 2 processes" in said and "write --trainer.devices 2, or" in said
    assert not (tmp_path / "run").exists()


def test_srun(expected: dict[str, Any], tmp_path: Path) -> None:
    with running(tmp_path / "slurm") as cluster:
        python = [sys.executable, *fit(tmp_path / "run", *TWO)]
        ended = launch(["srun", "--ntasks", "2", *python], environment=cluster.environment.items())
        assert result(tmp_path / "run", ended) == expected
        shell = f"{sys.executable} {' '.join(fit(tmp_path / 'wrapped', *TWO))}"
        wrapped = ["srun", "--ntasks", "2", "--job-name", "bash", "bash", "-c", shell]
        ended = launch(wrapped, environment=cluster.environment.items())
        assert result(tmp_path / "wrapped", ended) == expected
        alone = ["srun", "--ntasks", "2", sys.executable, *fit(tmp_path / "other")]
        [(code, said)] = launch(alone, environment=cluster.environment.items())
        assert code == 2 and said.count("srun has started 2 processes") == 2 and "write --trainer.devices 2" in said
        assert not (tmp_path / "other").exists() and "Traceback" not in said
