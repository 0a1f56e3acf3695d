"""Broken files in a run's folder: training resumes, or says which file is broken."""

import shutil
from pathlib import Path

import pytest

from tests.planting import few, plant, said
from tests.training.small import SETTINGS, fit


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "run"
    assert fit(folder, "--trainer.max_steps", 4) == 0
    return folder


@pytest.mark.parametrize(
    ("name", "begun"),
    [
        ("config.yaml", True),
        ("config.yaml", False),
        ("status.json", False),
        ("result.json", False),
        ("origin.json", True),
        ("origin.json", False),
        ("lock", True),
    ],
)
def test_the_same_command_again(
    finished: Path, tmp_path: Path, name: str, begun: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    for content in few(finished / name).values():
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(finished, run)
        if begun:
            for left in ("result.json", "model.safetensors", "validation_loss.npy"):
                (run / left).unlink()
        plant(run / name, content)
        words = ["fit", *SETTINGS, "--logger", "tensorboard,csv", "--out", run, "--trainer.max_steps", 4]
        said(capsys, *words, names=run / name)


@pytest.mark.parametrize("verb", ["generate", "decays", "export"])
def test_verbs_that_read_a_run(finished: Path, tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    more = {"generate": ["--tokens", "2"], "decays": [], "export": [tmp_path / "model"]}[verb]
    for name in ("config.yaml", "result.json", "model.safetensors"):
        for content in few(finished / name).values():
            run = tmp_path / "run"
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(finished, run)
            plant(run / name, content)
            said(capsys, verb, run, *more, names=run / name)
