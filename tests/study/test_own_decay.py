"""A decay of the user's own in a study: its option by short name, found beside the study file or where one works."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DECAYS = """\
from dataclasses import dataclass
from torch.nn.functional import logsigmoid
from decaystudy.decay import Decay


@dataclass(frozen=True)
class Halved(Decay):
    factor: float = 0.5
    name = "halved"
    summary = "logsigmoid(f) times a factor"

    def log_decay(self, logit, parameters, context):
        return logsigmoid(logit) * self.factor
"""
STUDY = """\
title: A factor
question: Does the factor matter?
scale: tiny
seeds: [0]
axis: factor
baseline: 0.5
settings:
  {layers: 2, d_model: 32, heads: 2, glu_width: 64, sequence_length: 32, global_batch_size: 2, micro_batch_size: 2,
   max_steps: 2, warmup_steps: 1, data.validation_tokens: 500, DECAY}
grid: {factor: [0.25, 0.5]}
cells:
  - {name: mine-whole, decay: mypackage.decays.Halved, factor: 1.0}
"""


def decaystudy(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        # As the installed command starts: without the working directory among the places of modules.
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {root!r}); from decaystudy.cli import main; "
         "sys.exit(main())", *arguments],
        cwd=cwd, capture_output=True, text=True, env={**environment, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip


def write(folder: Path, decays: Path, setting: str = "decay: mypackage.decays.Halved") -> Path:
    (decays / "mypackage").mkdir(parents=True)  # a plain folder, without __init__.py
    (decays / "mypackage" / "decays.py").write_text(DECAYS)
    folder.mkdir(exist_ok=True)
    file = folder / "factors.yaml"
    file.write_text(STUDY.replace("DECAY", setting))
    return file


@pytest.mark.parametrize(
    "beside",
    [pytest.param(True, id="beside"), pytest.param(False, id="in the working directory", marks=pytest.mark.long)],
)
def test_an_option_of_ones_own_decay_is_a_setting_like_any_other(tmp_path, beside):
    folder, work = tmp_path / "study", tmp_path / "work"
    work.mkdir()
    file = write(folder, folder if beside else work)
    done = decaystudy("run-study", str(file), "--out", str(tmp_path / "out"), cwd=work)
    assert done.returncode == 0, done.stdout + done.stderr
    held = json.loads((tmp_path / "out" / "factors" / "results.json").read_text())
    assert {c["a"]: c["b"] for c in held["comparisons"]} == {"factor-0.25": "factor-0.5", "mine-whole": "factor-0.5"}
    assert held["complete"]


def test_a_wrong_option_is_named_with_its_line(tmp_path):
    folder = tmp_path / "study"
    file = write(folder, folder)
    file.write_text(file.read_text().replace("factor: 1.0", "facter: 1.0"))
    done = decaystudy("run-study", str(file), "--dry-run", cwd=tmp_path)
    assert done.returncode == 2 and f"{file}:12: unknown setting 'facter': did you mean 'factor'?" in done.stderr


def test_a_decay_that_cannot_be_imported_is_one_sentence(tmp_path):
    folder = tmp_path / "study"
    file = write(folder, folder, "decay: mypackage.missing.Halved")
    done = decaystudy("run-study", str(file), "--dry-run", cwd=tmp_path)
    assert done.returncode == 2 and "cannot import the decay 'mypackage.missing.Halved'" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_fit_finds_a_decay_in_the_working_directory(tmp_path):
    write(tmp_path / "study", tmp_path)
    run = [f"--model.{name}" for name in ("layers=2", "d_model=32", "heads=2", "glu_width=64")]
    run += ["--data.sequence_length=32", "--data.validation_tokens=500", "--recipe.global_batch_size=2"]
    run += ["--recipe.warmup_steps=1", "--trainer.max_steps=2", "--out", "mine"]
    done = decaystudy(
        "fit", "--model.decay", "mypackage.decays.Halved", "--model.decay_options.factor", "0.25", *run, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "mine" / "result.json").read_text())["status"] == "finished"
    (tmp_path / "elsewhere").mkdir()
    done = decaystudy("generate", "../mine", cwd=tmp_path / "elsewhere")
    assert done.returncode == 2 and "run decaystudy from the folder that holds mypackage" in done.stderr, done.stderr


@pytest.mark.long
def test_an_edited_formula_is_trained_again_and_a_comment_is_not(tmp_path):
    folder = tmp_path / "study"
    file = write(folder, folder)
    code = folder / "mypackage" / "decays.py"
    call = ("run-study", str(file), "--out", str(tmp_path / "out"))

    def started() -> int:
        done = decaystudy(*call, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stderr.count(" started")

    assert started() == 3
    code.write_text("# a comment\n" + code.read_text().replace("summary =", "summary  =") + "\n\nUNUSED = 1\n")
    assert started() == 0
    # A helper that the formula calls, and a constant that the helper uses.
    text = code.read_text().replace("logsigmoid(logit) * self.factor", "scaled(logsigmoid(logit)) * self.factor")
    code.write_text(text + "\n\nSTRENGTH = 2.0\n\n\ndef scaled(x):\n    return STRENGTH * x\n")
    assert started() == 3
    code.write_text(code.read_text().replace("STRENGTH = 2.0", "STRENGTH = 3.0"))
    assert started() == 3


@pytest.mark.long
def test_fit_refuses_results_of_other_code(tmp_path):
    write(tmp_path / "study", tmp_path)
    run = [f"--model.{name}" for name in ("layers=1", "d_model=32", "heads=2", "glu_width=64")]
    run += ["--data.sequence_length=32", "--data.validation_tokens=500", "--recipe.global_batch_size=2"]
    run += ["--recipe.warmup_steps=1", "--trainer.max_steps=1", "--out", "mine"]
    call = ("fit", "--model.decay", "mypackage.decays.Halved", *run)
    assert decaystudy(*call, cwd=tmp_path).returncode == 0
    assert "already finished" in decaystudy(*call, cwd=tmp_path).stdout
    code = tmp_path / "mypackage" / "decays.py"
    code.write_text(code.read_text().replace("* self.factor", "* self.factor * 2"))
    done = decaystudy(*call, cwd=tmp_path)
    assert done.returncode == 2 and "give this run another --out" in done.stderr
