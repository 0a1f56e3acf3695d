"""GPUs that a machine doesn't have are asked for in vain before anything is started, by fit and by studies."""

from pathlib import Path

import pytest
import torch

from decaystudy.cli import main
from tests.study import small as small_study
from tests.training import small

ABSENT = "torch finds none on this machine"


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def refused(capsys: pytest.CaptureFixture[str], out: Path, *words: str) -> str:
    assert main([*words, "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("decaystudy: ") and said.err.count("\n") == 1 and not said.out, said
    assert not out.exists()
    return said.err


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--trainer.accelerator gpu", "trainer.accelerator is gpu"),
        ("--trainer.accelerator cuda --trainer.devices 1", "trainer.accelerator is cuda"),
        ("--trainer.accelerator mps", "trainer.accelerator is mps"),
        ("--trainer.accelerator gpu --trainer.devices 2 --strategy fsdp", "trainer.accelerator is gpu"),
        ("--trainer.devices [0]", "trainer.devices is [0], which names GPUs"),
        ("--trainer.devices 0,1", "which names GPUs"),
        ("--model.backend triton", "model.backend is triton"),
        ("--model.backend fla", "model.backend is fla"),
    ],
)
def test_a_run(words: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, tmp_path / "run", "fit", *small.SETTINGS, *words.split())
    assert says in said and ABSENT in said


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("words", ["--trainer.accelerator gpu", "--trainer.accelerator cuda"])
@pytest.mark.parametrize("verb", ["run-study", "probe", "rehearse"])
def test_what_starts_runs(verb: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if verb == "rehearse":
        assert ABSENT in refused(capsys, tmp_path / "out", verb, *words.split())
        return
    call = [verb, str(small_study.write_study(tmp_path)), *words.split()]
    if verb == "run-study":
        assert ABSENT in refused(capsys, tmp_path / "out", *call)
        assert main([*call, "--out", str(tmp_path / "out"), "--dry-run"]) == 0, "a plan for another machine"
    else:
        assert main(call) == 2
        assert ABSENT in capsys.readouterr().err


@pytest.mark.usefixtures("no_gpu")
def test_a_study_whose_cells_ask_for_kernels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = small_study.write_study(tmp_path, small_study.STUDY.replace("  heads: 2", "  heads: 2\n  backend: triton"))
    said = refused(capsys, tmp_path / "out", "run-study", str(file))
    assert "model.backend is triton" in said and ABSENT in said


def test_kernels_of_a_gpu_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", *small.SETTINGS, "--trainer.accelerator", "cpu"]
    for more in (["--trainer.devices", "[0]"], ["--model.backend", "fla"]):
        assert "trainer.accelerator is cpu: leave one of them" in refused(capsys, tmp_path / "a", *words, *more)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("devices", ["4", "[2]", "[0, 5]"])
def test_more_gpus_than_there_are(devices: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, tmp_path / "run", "fit", *small.SETTINGS, "--trainer.devices", devices)
    assert f"trainer.devices is {devices} and this machine has 2 GPUs: give fewer, counted from 0" in said


@pytest.mark.usefixtures("no_gpu")
def test_a_precision_that_is_not_sharded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--strategy", "fsdp", "--trainer.precision", "64-true"]
    says = "trainer.precision 64-true cannot be sharded: use --strategy ddp"
    assert says in refused(capsys, tmp_path / "a", "fit", *small.SETTINGS, *words, "--trainer.devices", "2")
    assert says in refused(capsys, tmp_path / "a", "rehearse", *words, "--devices", "2")
    file = str(small_study.write_study(tmp_path))
    for more in ([], ["--dry-run"], ["--launcher", "slurm", "--dry-run"]):
        assert says in refused(capsys, tmp_path / "a", "run-study", file, *words, "--devices", "2", *more)


@pytest.mark.usefixtures("no_gpu")
def test_all_devices_of_a_cpu(tmp_path: Path) -> None:
    words = ["--trainer.devices", "-1", "--trainer.max_steps", "1", "--recipe.warmup_steps", "1"]
    assert small.fit(tmp_path / "run", *words) == 0


@pytest.mark.usefixtures("no_gpu")
def test_more_processes_than_the_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("decaystudy.training.processors.machine_memory", lambda: 2**30)
    words = ["--trainer.devices", "500", "--recipe.global_batch_size", "500"]
    says = "each is a process of 350.0 MiB or more on this machine's CPUs, whose memory is 1.0 GiB: give at most 2"
    assert says in refused(capsys, tmp_path / "a", "fit", *small.SETTINGS, *words)
    assert f"--devices is 500, and {says}" in refused(capsys, tmp_path / "a", "rehearse", "--devices", "500")
    file = str(small_study.write_study(tmp_path))
    assert f"--devices is 4, and {says}" in refused(capsys, tmp_path / "a", "run-study", file, "--devices", "4")
    assert f"--jobs is 3, and {says}" in refused(capsys, tmp_path / "a", "run-study", file, "--jobs", "1000")
