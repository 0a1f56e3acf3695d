"""Whole runs on GPUs: bfloat16, kernels of the fastest backend, one GPU and two.

`pytest -m gpu` asks for them; where the GPUs aren't, they say so and skip. Bfloat16 is compared after 20 steps: the
size of the micro-batch alone then moves a loss by 0.004, and by 0.02 after 60.
"""

import json
import subprocess
import sys
import time

import pytest
import torch

from decaystudy.runs.folder import RunFolder

pytestmark = pytest.mark.gpu

SETTINGS = ["--trainer.max_steps", "60", "--recipe.checkpoint_every", "20", "--recipe.validate_every", "20"]
# A low rate: at the scale's own, a few steps amplify rounding beyond what a comparison of layouts could tell.
SETTINGS += ["--recipe.learning_rate", "8e-4", "--recipe.warmup_steps", "20"]


@pytest.fixture(autouse=True)
def cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")


def command(out, *more):
    return [sys.executable, "-m", "decaystudy", "fit", *SETTINGS, "--out", str(out), *more]


def fit(out, *more):
    done = subprocess.run(command(out, *more), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stderr[-1500:])
    return json.loads((out / "result.json").read_text())


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("single") / "run", "--trainer.devices", "1", "--trainer.precision", "bf16-mixed")


def test_bfloat16_learns(single):
    assert single["val_loss"] < single["unigram_entropy"]


def test_bfloat16_begins_as_float32_on_the_cpu(tmp_path):
    steps = ("--trainer.max_steps", "20", "--trainer.devices", "1")
    cpu = fit(tmp_path / "cpu", *steps, "--trainer.accelerator", "cpu", "--trainer.precision", "32-true")
    gpu = fit(tmp_path / "gpu", *steps, "--trainer.precision", "bf16-mixed")
    assert gpu["val_loss"] == pytest.approx(cpu["val_loss"], abs=0.01)
    for one, other in zip(gpu["decay"], cpu["decay"], strict=True):
        assert one["median"] == pytest.approx(other["median"], abs=1e-3)


def test_float32_equals_the_cpu(tmp_path):
    settings = ("--trainer.max_steps", "20", "--trainer.precision", "32-true", "--trainer.devices", "1")
    results = [fit(tmp_path / device, *settings, "--trainer.accelerator", device) for device in ("cpu", "gpu")]
    assert results[0]["val_loss"] == pytest.approx(results[1]["val_loss"], abs=2e-4)


def test_goes_on_after_a_kill(single, tmp_path):
    out, more = tmp_path / "run", ("--trainer.devices", "1", "--trainer.precision", "bf16-mixed")
    process = subprocess.Popen(command(out, *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list((out / "checkpoints").glob("step=*.ckpt")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert RunFolder(out).state() == "killed"
    result = fit(out, *more)
    assert result["step"] == 60
    assert result["val_loss"] == pytest.approx(single["val_loss"], abs=1e-4)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_two_gpus_agree_with_one(precision, strategy, tmp_path):
    """With the same micro-batches. FSDP2 sums the gradient norm in another order, which bfloat16 makes visible."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two NVIDIA GPUs")
    more = ("--trainer.precision", precision, "--trainer.max_steps", "20", "--recipe.micro_batch_size", "4")
    one = fit(tmp_path / "one", *more, "--trainer.devices", "1")
    two = fit(tmp_path / "two", *more, "--strategy", strategy, "--trainer.devices", "2")
    assert two["world_size"] == 2
    tolerance = 5e-3 if (precision, strategy) == ("bf16-mixed", "fsdp") else 1e-4
    assert two["val_loss"] == pytest.approx(one["val_loss"], abs=tolerance)
