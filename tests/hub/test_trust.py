"""An exported model whose decay is somebody's own code runs none of it unasked."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.evaluation.conftest import SMALL, run  # noqa: F401

MODULE = """\
from dataclasses import dataclass
from pathlib import Path
from torch.nn.functional import logsigmoid
from decaystudy.decay import Decay

Path("imported").touch()


@dataclass(frozen=True)
class Halved(Decay):
    name = "halved"
    summary = "half of logsigmoid(f)"

    def log_decay(self, logit, parameters, context):
        return logsigmoid(logit) / 2
"""
ROOT = str(Path(__file__).parents[2])


def python(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": ROOT, "CUDA_VISIBLE_DEVICES": "", "HF_HOME": str(folder / "hf")}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def decaystudy(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return python(["-m", "decaystudy", *words], folder)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a run with a decay of one's own, beside that decay's module; the folder that holds both."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(MODULE)
    done = decaystudy(folder, "fit", *SMALL, "--model.decay", "mine.Halved", "--out", "run")
    assert done.returncode == 0, done.stderr
    done = decaystudy(folder, "export", "run", "model")
    assert done.returncode == 0, done.stderr
    assert "trust_remote_code=True" in (folder / "model/README.md").read_text()
    return folder


@pytest.fixture
def work(exported: Path) -> Path:
    (exported / "imported").unlink(missing_ok=True)
    return exported


VERBS = {"generate": ["--tokens", "3"], "evaluate": ["--tasks", "offline_last_word", "--limit", "2"]}


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_import_nothing_unasked(work: Path, verb: str) -> None:
    done = decaystudy(work, verb, "model", *VERBS[verb])
    assert done.returncode == 2
    said = done.stderr.strip().splitlines()[-1]
    assert "config.json names the decay 'mine.Halved'" in said and "--trust-remote-code" in said
    assert "Traceback" not in done.stderr and not (work / "imported").exists()
    done = decaystudy(work, verb, "model", *VERBS[verb], "--trust-remote-code")
    assert done.returncode == 0, done.stderr
    assert (work / "imported").exists()


@pytest.mark.long
@pytest.mark.parametrize("before", ["", "import decaystudy.hub; "])
def test_so_does_transformers(work: Path, before: str) -> None:
    code = before + "import torch; from transformers import AutoModelForCausalLM as Model; OPEN; print(type(model))"
    trusting = 'model = Model.from_pretrained("model", trust_remote_code=True)'
    for opens in ('model = Model.from_pretrained("model", trust_remote_code=False)', 'Model.from_pretrained("model")'):
        done = python(["-c", code.replace("OPEN", opens)], work)
        assert done.returncode != 0 and not (work / "imported").exists(), done.stderr
    done = python(["-c", code.replace("OPEN", trusting)], work)
    assert done.returncode == 0, done.stderr
    assert "DecayStudyForCausalLM" in done.stdout and (work / "imported").exists()


def test_a_config_cannot_trust_itself(work: Path) -> None:
    shutil.copytree(work / "model", work / "eager", dirs_exist_ok=True)
    config = json.loads((work / "eager/config.json").read_text())
    (work / "eager/config.json").write_text(json.dumps({**config, "trust_remote_code": True, "trusted": True}))
    done = decaystudy(work, "generate", "eager", "--tokens", "3")
    assert done.returncode == 2 and not (work / "imported").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": 3},
        {"architecture": {"decay": ["mine.Halved"]}},
        {"architecture": {"decay": "mine"}},
        {"architecture": {"layers": "two"}},
        {"architecture": {"colour": 1}},
        {"model_type": 7},
        {"vocab_size": []},
    ],
)
def test_a_broken_config_is_a_sentence(
    run: Path,  # noqa: F811
    tmp_path: Path,
    change: dict[str, object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    from decaystudy.cli import main

    assert main(["export", str(run), str(tmp_path / "model")]) == 0
    config = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps({**config, **change}))
    capsys.readouterr()
    code = main(["generate", str(tmp_path / "model"), "--tokens", "3"])
    said = capsys.readouterr().err.strip()
    if change == {"vocab_size": []}:  # it follows from the architecture
        assert code == 0
    else:
        assert code == 2 and f"cannot open the model in {tmp_path / 'model'}" in said and "\n" not in said
