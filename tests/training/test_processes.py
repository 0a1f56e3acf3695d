"""Runs in processes of their own: killed and gone on with, and on two processes at once."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from decaystudy.runs.folder import RunFolder

pytestmark = pytest.mark.slow

SETTINGS = ["--trainer.max_steps", "20", "--recipe.checkpoint_every", "4", "--data.validation_tokens", "4000"]
# A low rate: at the scale's own, a few steps amplify rounding beyond what a comparison of layouts could tell.
SETTINGS += ["--recipe.learning_rate", "8e-4", "--recipe.warmup_steps", "20"]


def command(out, *more):
    return [sys.executable, "-m", "decaystudy", "fit", *SETTINGS, "--out", str(out), *more]


def run(out, *more):
    done = subprocess.run(command(out, *more), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((out / "result.json").read_text())


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    out = tmp_path_factory.mktemp("single") / "run"
    return run(out), load_file(out / "model.safetensors")


def test_killed_and_gone_on_with(single, tmp_path):
    out = tmp_path / "run"
    for wait_for in (4, 12):
        process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (out / "checkpoints" / f"step={wait_for}.ckpt").exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert RunFolder(out).state() == "killed"
    result = run(out)
    expected, weights = single
    for key in ("val_loss", "train_loss", "decay", "step", "tokens"):
        assert result[key] == expected[key], key
    got = load_file(out / "model.safetensors")
    assert all(torch.equal(weights[name], got[name]) for name in weights)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("decay", ["mamba2", pytest.param("hgrn2", marks=pytest.mark.long)])
def test_two_processes_agree_with_one(strategy, decay, single, tmp_path):
    more = ["--model.decay", decay]
    expected = single[0] if decay == "mamba2" else run(tmp_path / "one", *more)
    result = run(tmp_path / "two", *more, "--strategy", strategy, "--trainer.devices", "2")
    assert result["world_size"] == 2
    for key in ("val_loss", "train_loss"):
        assert result[key] == pytest.approx(expected[key], abs=1e-4), key
    for one, two in zip(expected["decay"], result["decay"], strict=True):
        assert two["median"] == pytest.approx(one["median"], abs=1e-4)


def test_another_layout_goes_on_where_the_first_stopped(single, tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(out, "--strategy", "fsdp", "--trainer.devices", "2"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 180
    while not (out / "checkpoints" / "step=8.ckpt").exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    result = run(out)
    assert result["val_loss"] == pytest.approx(single[0]["val_loss"], abs=1e-4)


def test_ctrl_c_says_how_to_go_on(tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job hands on SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (out / "checkpoints" / "step=4.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command resumes" in said and "Traceback" not in said
    assert RunFolder(out).state() == "killed"
