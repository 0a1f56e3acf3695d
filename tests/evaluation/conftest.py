"""A small trained run on the real offline corpus, and caches that are the tests' own."""

from pathlib import Path

import pytest

from decaystudy.cli import main

SMALL = ["--model.layers", "2", "--model.d_model", "32", "--model.heads", "2", "--model.glu_width", "48"]
SMALL += ["--data.sequence_length", "128", "--trainer.max_steps", "12", "--recipe.warmup_steps", "2"]
SMALL += ["--recipe.learning_rate", "0.01", "--data.validation_tokens", "4000"]


def fit(out: Path, *settings: str) -> Path:
    """A short run."""
    assert main(["fit", *SMALL, *settings, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, to be looked at and not changed; ``copied`` is for changing."""
    return fit(tmp_path_factory.mktemp("evaluation") / "run")


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A copy of the trained run without what other tests evaluated."""
    import shutil

    target = tmp_path / "run"
    shutil.copytree(run, target, ignore=shutil.ignore_patterns("evaluation*", "checkpoints"))
    return target


@pytest.fixture(autouse=True)
def datasets_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval's data goes into a folder of the session."""
    import datasets

    folder = tmp_path_factory.getbasetemp() / "datasets"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
