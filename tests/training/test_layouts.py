"""Runs on several processes: stopped, killed, and resumed on the same layout and on others."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from decaystudy.training.checkpoints import fault
from tests.training import small

pytestmark = pytest.mark.slow
SOME_MOVES = (("one", "fsdp 2"), ("ddp 2", "one"), ("fsdp 2", "one"))
"""Those that `make test-slow` tries; the others are of `make test-long`."""
LAYOUTS = {
    "one": (),
    "ddp 2": ("--trainer.devices", "2"),
    "fsdp 2": ("--trainer.devices", "2", "--strategy", "fsdp"),
    "fsdp 4": ("--trainer.devices", "4", "--strategy", "fsdp"),
}
LONG = ("--trainer.max_steps", "40", "--recipe.checkpoint_every", "10", "--logger", "csv")


SHORT = ("--trainer.max_steps", "16")
"""Where training has not amplified the rounding of another layout yet."""


def start(out: Path, *more: str, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "decaystudy", "fit", *small.SETTINGS, *LONG, "--out", str(out), *more]
    environment = {**os.environ, **variables}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(out: Path, *more: str) -> dict[str, Any]:
    process = start(out, *more)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said[-3000:]
    result: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return {key: result[key] for key in ("val_loss", "train_loss", "step")} | {
        "weights": (out / "model.safetensors").read_bytes()
    }


def wait_for_step(out: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if int((out / "metrics.csv").read_text().strip().splitlines()[-1].split(",")[0]) >= step:
                return
        except (OSError, ValueError, IndexError):
            pass
        time.sleep(0.02)
    raise AssertionError(process.communicate()[1][-3000:])


def children(process: subprocess.Popen[str]) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return {name: finish(folder / name, *LAYOUTS[name]) for name in ("one", "ddp 2", "fsdp 2")}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return finish(tmp_path_factory.mktemp("short") / "run", *SHORT)


@pytest.mark.parametrize("layout", ["ddp 2", "fsdp 2"])
def test_stopped_and_killed_on_one_layout(layout: str, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    process = start(tmp_path, *LAYOUTS[layout])
    wait_for_step(tmp_path, 5, process)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 143 and "the same command resumes at step" in said and "Traceback" not in said
    for victim in (0, 1):
        process = start(tmp_path, *LAYOUTS[layout])
        wait_for_step(tmp_path, 15 + 8 * victim, process)
        pid, began = children(process)[victim], time.monotonic()
        os.kill(pid, signal.SIGKILL)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 1 and time.monotonic() - began < 30 and "Traceback" not in said
        assert f"rank {victim} (process {pid}) of 2 was killed by signal 9" in said and "resumes at step" in said
    process = start(tmp_path, *LAYOUTS[layout])
    wait_for_step(tmp_path, 32, process)
    ranks = children(process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/fd/0").exists() for pid in ranks) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert finish(tmp_path, *LAYOUTS[layout]) == undisturbed[layout]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(a, b, marks=[] if (a, b) in SOME_MOVES else [pytest.mark.long])
        for a in LAYOUTS
        for b in LAYOUTS
        if a != b
    ],
)
def test_a_checkpoint_moves_to_another_layout(first: str, second: str, short: dict[str, Any], tmp_path: Path) -> None:
    process = start(tmp_path, *SHORT, *LAYOUTS[first])
    wait_for_step(tmp_path, 5, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    [saved] = (tmp_path / "checkpoints").glob("*.ckpt")
    assert fault(saved) is None
    if saved.is_file():
        assert "model.head.weight" in torch.load(saved, weights_only=True)["optimizer_states"][0]["state"]
    got = finish(tmp_path, *SHORT, *LAYOUTS[second])
    assert got["val_loss"] == pytest.approx(short["val_loss"], abs=1e-4)


@pytest.mark.long
def test_a_broken_shard_is_named_and_the_one_before_used(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    process = start(tmp_path, *LAYOUTS["fsdp 2"])
    wait_for_step(tmp_path, 15, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    last = max((tmp_path / "checkpoints").iterdir(), key=lambda path: int(path.stem.partition("=")[2]))
    shard = next(last.glob("__1_*.distcp"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 8
    shard.write_bytes(content)
    process = start(tmp_path, *LAYOUTS["fsdp 2"])
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0 and f"{last.name} is broken (its checksum of {shard.name} is wrong)" in said
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["val_loss"] == undisturbed["fsdp 2"]["val_loss"]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step=40.ckpt"]


def unreadable_to(rank: int, folder: Path) -> dict[str, str]:
    """Variables with which checkpoints cannot be read by one process of a run."""
    (folder / "sitecustomize.py").write_text(
        "import errno, os, zipfile\n"
        "def fails(archive):\n"
        "    raise OSError(errno.EIO, os.strerror(errno.EIO))\n"
        f"if os.environ.get('RANK') == '{rank}':\n"
        "    zipfile.ZipFile.testzip = fails\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.long
def test_the_first_process_says_where_all_resume(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    """One file server answers it and not another: they must not resume at two steps, nor remove what is whole."""
    run = tmp_path / "run"
    process = start(run, *LAYOUTS["ddp 2"])
    wait_for_step(run, 15, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    saved = small.saved(run)
    process = start(run, *LAYOUTS["ddp 2"], **unreadable_to(0, tmp_path))
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1 and "Traceback" not in said and len(said.splitlines()) <= 8, said
    assert f"{saved[-1]} cannot be read (input/output error): call the same command again" in said
    assert small.saved(run) == saved
    process = start(run, *LAYOUTS["ddp 2"], **unreadable_to(1, tmp_path))
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0 and "broken" not in said, said
    assert finish(run, *LAYOUTS["ddp 2"]) == undisturbed["ddp 2"]


@pytest.mark.long
def test_shards_of_another_run_are_set_aside(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    runs = {"0": tmp_path / "run", "1": tmp_path / "other"}
    for seed, out in runs.items():
        process = start(out, *LAYOUTS["fsdp 2"], "--seed", seed)
        wait_for_step(out, 12, process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    others = max((runs["1"] / "checkpoints").iterdir(), key=lambda path: int(path.stem.partition("=")[2]))
    shutil.copytree(others, runs["0"] / "checkpoints" / "step=99.ckpt")  # beyond the last, wherever it stopped
    process = start(runs["0"], *LAYOUTS["fsdp 2"])
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0 and said.count("step=99.ckpt is another run's") == 1, said
    assert finish(runs["0"], *LAYOUTS["fsdp 2"]) == undisturbed["fsdp 2"]
    aside = runs["0"] / "checkpoints" / "step=99.ckpt.other"
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == {
        path.name: path.read_bytes() for path in others.iterdir()
    }
