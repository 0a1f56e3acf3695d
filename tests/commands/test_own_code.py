"""Code of the user's own that fails is named in one sentence: which object, from which file, and what it did."""

import os
import sys
from pathlib import Path

import pytest

from decaystudy.cli import main
from tests.training.small import SETTINGS

DECAY = """\
import os
import sys
from dataclasses import dataclass
import torch
from torch.nn.functional import logsigmoid
from decaystudy.decay import Decay

@dataclass(frozen=True)
class Mine(Decay):
    name = "mine"
    summary = "mine"

    def log_decay(self, logit, parameters, context):
        BODY
"""
BODIES = {
    "raise RuntimeError('boom\\nand more')": "raises RuntimeError: boom",
    "sys.exit(7)": "ends the program (sys.exit(7))",
    "return logsigmoid(logit).long()": "gave log λ of type torch.int64",
    "return logsigmoid(logit).bfloat16()": "gave log λ of type torch.bfloat16",
    "return logsigmoid(logit) * float('nan')": "gave log λ that is not a number",
    "return -logsigmoid(logit)": "which is above 0",
    "return logsigmoid(logit)[..., :-1]": "gave log λ of shape",
    "return logsigmoid(logit).to('meta')": "gave log λ on the device meta",
}
IMPORTS = {
    "raise RuntimeError('boom\\nand more')": "raises RuntimeError: boom",
    "import sys; sys.exit()": "ends the program (sys.exit(None))",
    "1 +": "SyntaxError",
}


def fails(name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command line says of a module with that text."""
    (tmp_path / f"{name}.py").write_text(text)
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert not any("Traceback" in line for line in error)
    return error[-1]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])


@pytest.mark.parametrize("body", BODIES)
def test_a_decay_that_misbehaves(body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"decay{list(BODIES).index(body)}"
    said = fails(name, DECAY.replace("BODY", body), tmp_path, capsys, "fit", *SETTINGS, "--model.decay", f"{name}.Mine")
    assert all(part in said for part in (BODIES[body], f"{name}.Mine", f"{name}.py")), said


@pytest.mark.parametrize("text", IMPORTS)
@pytest.mark.parametrize("kind", ["--model.decay", "--data.source", "--logger"])
def test_a_module_that_cannot_be_imported(
    text: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{kind[2:].replace('.', '')}{list(IMPORTS).index(text)}"
    said = fails(name, text, tmp_path, capsys, "fit", *SETTINGS, kind, f"{name}.Mine")
    assert f"{name}.Mine" in said and IMPORTS[text] in said and f"{name}.py" in said, said


def test_a_logger_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "def Mine(folder, config):\n    raise KeyError('no')\n"
    said = fails("mylogger", text, tmp_path, capsys, "fit", *SETTINGS, "--logger", "mylogger.Mine")
    assert "the logger mylogger.Mine raises KeyError: 'no'" in said and "mylogger.py, line 2" in said


SOURCE = """\
import os, random, signal, sys
from decaystudy.data import Document, Part, Source
from decaystudy.errors import UserError

class Mine(Source):
    summary, label, revision, tokenizer = "mine", "mine", "1", "bpe:300"

    @classmethod
    def open(cls, config):
        return cls()

    def parts(self):
        return [Part("mine", start, start + 20) for start in range(0, 800, 20)]

    def documents(self, part):
        if os.getpid() != int(os.environ["FIRST_PROCESS"]):
            BODY
        for number in range(part.start, part.stop):
            yield Document(f"mine:{number}", " ".join(random.Random(number).choices(["state", "decay", "key"], k=20)))
"""
GIVES = {
    "yield b'text'": "gives bytes where a decaystudy.data.Document belongs",
    "yield ('id', 'text')": "gives tuple where a decaystudy.data.Document belongs",
    "yield Document('mine', b'text')": "gives a document whose text is bytes, not str",
    "yield Document(7, 'text')": "gives a document whose id is int, not str",
}


@pytest.mark.parametrize("body", GIVES)
def test_a_source_that_gives_something_else(
    body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST_PROCESS", "0")
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(tmp_path / "cache"))
    name = f"giving{list(GIVES).index(body)}"
    (tmp_path / f"{name}.py").write_text(SOURCE.replace("BODY", body))
    assert main(["data-stats", "--data.source", f"{name}.Mine"]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said and f"the source mine {GIVES[body]}" in said.splitlines()[-1], said


LOADING = {
    "raise KeyError('boom')": (2, "the data source source0.Mine raises KeyError: 'boom', in "),
    "raise UserError('the rows are gone: fetch them')": (2, "decaystudy: the rows are gone: fetch them"),
    "sys.exit(3)": (2, "the data source source2.Mine ends the program (sys.exit(3)), in "),
    "os.kill(os.getpid(), signal.SIGKILL)": (1, "a process that loads batches was killed"),
}


@pytest.mark.parametrize("body", LOADING)
def test_a_source_that_fails_in_a_process_that_loads(
    body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first process has made the first shards, and another one is to make those that follow."""
    monkeypatch.setenv("FIRST_PROCESS", str(os.getpid()))
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(tmp_path / "cache"))
    name = f"source{list(LOADING).index(body)}"
    (tmp_path / f"{name}.py").write_text(SOURCE.replace("BODY", body))
    words = ["fit", *SETTINGS, "--data.validation_tokens", "100", "--data.validation_fraction", "0.1", "--out"]
    words += [str(tmp_path / "run"), "--data.source", f"{name}.Mine", "--data.num_workers", "1"]
    code, begun = LOADING[body]
    assert main(words) == code
    said = capsys.readouterr().err
    assert "Traceback" not in said and begun in said.splitlines()[-1], said
