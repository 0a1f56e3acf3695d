"""What is used again and what is trained again: text, tokenizer, code and version, through the command line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import decaystudy
from decaystudy.io import write_json
from decaystudy.versions import semantics

PACKAGE = Path(decaystudy.__file__).parent
WORDS = ["decay", "state", "attention", "linear", "gate", "window", "token", "memory"]
WORDS += ["loss", "key", "value", "query", "head", "layer", "seed", "run"]
RUN = {
    "model": {"layers": 2, "d_model": 32, "heads": 2, "glu_width": 48},
    "data": {"sequence_length": 16, "validation_tokens": 300, "validation_fraction": 0.2},
    "recipe": {"global_batch_size": 2, "micro_batch_size": 2, "warmup_steps": 1},
    "trainer": {"max_steps": 2},
}
STUDY = """\
title: Two decays
question: Which one?
scale: tiny
seeds: [0]
axis: decay
baseline: mamba2
settings:
  {layers: 2, d_model: 32, heads: 2, glu_width: 48, sequence_length: 16, global_batch_size: 2, micro_batch_size: 2,
   max_steps: 40, warmup_steps: 1, learning_rate: 0.02, data.validation_tokens: 300,
   data.validation_fraction: 0.2, SETTINGS}
grid: {decay: [mamba2, gla]}
"""
SOURCE = '''\
from decaystudy.data import Document, Part, Source


class Lines(Source):
    """Lines of a file."""

    settings = ("files",)
    tokenizer = "words:20"
    label = "lines"
    revision = "1"

    def __init__(self, path):
        self.path = path

    @classmethod
    def open(cls, config):
        return cls(config.files)

    def parts(self):
        return [Part("lines")]

    def documents(self, part):
        for number, line in enumerate(open(self.path)):
            yield Document(str(number), spelled(line))


def spelled(line):
    return line.strip()
'''


def call(*arguments: str, cwd: Path, package: Path = PACKAGE) -> subprocess.CompletedProcess[str]:
    """The command line of the package in a folder, as the installed one starts, with a cache beside ``cwd``."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "DECAYSTUDY_CACHE": str(cwd / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "decaystudy", *arguments],
        cwd=cwd, capture_output=True, text=True, env={**environment, "PYTHONPATH": str(package.parent)},
    )  # fmt: skip


def text(draw: int, documents: int = 60) -> str:
    """Documents as json lines, others for each ``draw``."""
    rows = [" ".join(WORDS[(i + j * (2 * draw + 3)) % 16] for j in range(30)) for i in range(documents)]
    return "".join(json.dumps({"id": str(i), "text": row}) + "\n" for i, row in enumerate(rows))


def tokenizer(*, reverse: bool = False) -> str:
    """A tokenizer.json that knows the words, in one order or the other."""
    words = ["<eos>", "<unk>", *(WORDS[::-1] if reverse else WORDS)]
    special = [
        {"id": i, "content": words[i], "special": True, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False} for i in (0, 1)
    ]  # fmt: skip
    model = {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(words)}, "unk_token": "<unk>"}
    normalizer = {"type": "Replace", "pattern": {"String": "<eos>"}, "content": " <unk> "}
    return json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
                       "normalizer": normalizer, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None,
                       "decoder": None, "model": model})  # fmt: skip


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with a corpus, a tokenizer and a study of both."""
    (tmp_path / "corpus.jsonl").write_text(text(0))
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text(tokenizer())
    settings = "data.source: files, data.files: corpus.jsonl, data.tokenizer: tokenizer"
    (tmp_path / "two.yaml").write_text(STUDY.replace("SETTINGS", settings))
    return tmp_path


def study(work: Path, *more: str, package: Path = PACKAGE) -> tuple[int, str]:
    """How many runs were trained, and what was said."""
    done = call("run-study", "two.yaml", "--out", "out", *more, cwd=work, package=package)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((work / "out" / "two" / "results.json").read_text())
    assert results["complete"] and all(row["verdict"] == "one seed" for row in results["comparisons"])
    return done.stderr.count(" started"), done.stderr


def losses(work: Path) -> dict[str, float]:
    runs = json.loads((work / "out" / "two" / "results.json").read_text())["runs"]
    return {run["name"]: run["val_loss"] for run in runs}


def test_a_rewritten_corpus_and_a_swapped_tokenizer_are_trained_on_again(work):
    assert study(work)[0] == 2
    first = losses(work)
    os.utime(work / "corpus.jsonl")
    os.utime(work / "tokenizer" / "tokenizer.json")
    assert study(work)[0] == 0
    (work / "corpus.jsonl").write_text(text(1))
    plan = call("run-study", "two.yaml", "--out", "out", "--dry-run", cwd=work)
    assert "to train: 2 of 2 runs" in plan.stdout and "2 runs are trained again: the text has changed" in plan.stdout
    started, said = study(work)
    assert started == 2 and "2 runs are trained again: the text has changed since" in said
    second = losses(work)
    assert all(second[name] != first[name] for name in first)
    (work / "tokenizer" / "tokenizer.json").write_text(tokenizer(reverse=True))
    started, said = study(work)
    assert started == 2 and "the tokenizer has changed since" in said
    assert study(work)[0] == 0
    # What was there is kept until somebody cleans up.
    assert len(list((work / "out" / "store").glob("*.before-*"))) == 4
    done = call("clean", "--out", "out", "--yes", cwd=work)
    assert done.returncode == 0 and "removed 4 runs" in done.stdout
    assert study(work)[0] == 0


@pytest.mark.long
def test_runs_on_other_data_are_not_paired(work):
    assert study(work)[0] == 2
    gla = next((work / "out" / "store").glob("gla-*"))
    old = json.loads((gla / "result.json").read_text())
    write_json(gla / "result.json", {**old, "data": {**old["data"], "validation_digest": "other"}})
    done = call("report", "--out", "out", cwd=work)
    assert done.returncode == 0, done.stderr
    row = json.loads((work / "out" / "two" / "results.json").read_text())["comparisons"][0]
    assert (row["verdict"], row["why"], row["difference"]) == ("incomplete", "judged on other data", None)


@pytest.mark.long
def test_half_trained_runs_are_not_resumed_on_other_data(work):
    assert study(work)[0] == 2
    for folder in (work / "out" / "store").glob("*-seed0-*"):  # as a kill before the end would have left them
        (folder / "result.json").unlink()
        (folder / "status.json").unlink()
    (work / "corpus.jsonl").write_text(text(2))
    started, said = study(work)
    assert started == 2 and "the text has changed since" in said


def raised(name: str, folder: Path) -> Path:
    """A copy of the package whose version of that name is one higher."""
    target = folder / "decaystudy"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "studies").symlink_to(PACKAGE.parent / "studies")
    code = (target / "versions.py").read_text()
    number = semantics()[name]
    changed = code.replace(f"{name.upper()} = {number}\n", f"{name.upper()} = {number + 1}\n")
    assert changed != code
    (target / "versions.py").write_text(changed)
    return target


@pytest.mark.long
def test_a_raised_version_is_trained_again(work):
    assert study(work)[0] == 2
    run = next((work / "out" / "store").glob("gla-*"))
    assert json.loads((run / "result.json").read_text())["version"] == semantics()
    packages = {name: raised(name, work / name) for name in semantics()}
    for name, package in packages.items():
        plan = call("run-study", "two.yaml", "--out", "out", "--dry-run", cwd=work, package=package)
        assert "to train: 2 of 2 runs" in plan.stdout, plan.stderr
        number = semantics()[name]
        says = f"version {number} of the {name} trained it and this is version {number + 1}"
        refused(call("decays", str(run), cwd=work, package=package), says)
    assert study(work, package=packages["model"])[0] == 2
    assert study(work, package=packages["model"])[0] == 0
    assert study(work)[0] == 0  # each keeps its own


def fit(work: Path, *more: str, out: str = "mine") -> subprocess.CompletedProcess[str]:
    (work / "run.yaml").write_text(yaml.safe_dump(RUN))
    return call("fit", "--config", "run.yaml", *more, "--out", out, cwd=work)


def refused(done: subprocess.CompletedProcess[str], says: str) -> None:
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and says in lines[-1], done.stdout + done.stderr
    assert len([line for line in lines if line.startswith("decaystudy: ")]) == 1 and len(lines) <= 3


@pytest.mark.long
def test_the_code_of_ones_own_source_counts(work):
    (work / "own.py").write_text(SOURCE)
    settings = "data.source: own.Lines, data.files: corpus.jsonl"
    (work / "two.yaml").write_text(STUDY.replace("SETTINGS", settings))
    assert study(work)[0] == 2
    first = losses(work)
    assert study(work)[0] == 0
    (work / "own.py").write_text("# a comment\n" + SOURCE.replace('"""Lines of a file."""', '"""The lines."""'))
    assert study(work)[0] == 0
    # The revision stays what it was, and the text doesn't.
    (work / "own.py").write_text(SOURCE.replace("line.strip()", "' '.join(sorted(line.split()))"))
    assert study(work)[0] == 2
    assert all(losses(work)[name] != first[name] for name in first)


DECAY = """\
from dataclasses import dataclass
from torch.nn.functional import logsigmoid
from decaystudy.decay import Decay


@dataclass(frozen=True)
class Halved(Decay):
    name = "halved"
    summary = "half of logsigmoid"

    def log_decay(self, logit, parameters, context):
        return logsigmoid(logit) * 0.5
"""


@pytest.mark.long
def test_verbs_refuse_a_run_whose_code_has_changed(work):
    own = ("--data.source", "recall", "--model.decay", "mine.Halved", "--data.sequence_length", "40")
    (work / "mine.py").write_text(DECAY)
    assert fit(work, *own).returncode == 0
    assert "already finished" in fit(work, *own).stdout
    verbs = {
        "evaluate": ("mine", "--tasks", "recall", "--limit", "2"),
        "decays": ("mine",),
        "ablate": ("mine", "--clamp-decay", "0.8"),
        "export": ("mine", "exported"),
        "generate": ("mine", "--prompt", "ba", "--tokens", "2"),
    }
    done = call("decays", "mine", cwd=work)
    assert done.returncode == 0, done.stderr
    (work / "mine.py").write_text(DECAY.replace("* 0.5", "* 0.25"))
    for verb, words in verbs.items():
        refused(call(verb, *words, cwd=work), "the code of mine.Halved has changed since it was trained")
    assert not (work / "exported").exists()
    refused(fit(work, *own), "give this run another --out")
    # Half trained: the checkpoint is not resumed as a mixture of two formulas.
    (work / "mine" / "result.json").unlink()
    (work / "mine" / "status.json").unlink()
    refused(fit(work, *own), "the code of mine.Halved has changed since it was trained")
    (work / "mine.py").write_text(DECAY)
    assert fit(work, *own).returncode == 0


@pytest.mark.long
def test_a_record_from_before_is_never_misread(work):
    own = ("--data.source", "files", "--data.files", "corpus.jsonl", "--data.tokenizer", "tokenizer")
    assert fit(work, *own).returncode == 0
    result = json.loads((work / "mine" / "result.json").read_text())
    write_json(work / "mine" / "result.json", {k: v for k, v in result.items() if k not in ("version", "code")})
    says = "it doesn't record which version of the package trained it"
    refused(fit(work, *own), says)
    refused(call("decays", "mine", cwd=work), says)
    (work / "mine" / "result.json").unlink()
    (work / "mine" / "origin.json").unlink()
    refused(fit(work, *own), says)
    assert study(work)[0] == 2
    run = next((work / "out" / "store").glob("gla-*"))
    result = json.loads((run / "result.json").read_text())
    write_json(run / "result.json", {k: v for k, v in result.items() if k not in ("version", "code")})
    assert study(work)[0] == 1


def test_fit_refuses_a_finished_run_of_other_data(work):
    own = ("--data.source", "files", "--data.files", "corpus.jsonl", "--data.tokenizer", "tokenizer")
    assert fit(work, *own).returncode == 0
    os.utime(work / "corpus.jsonl")
    assert "already finished" in fit(work, *own).stdout
    (work / "corpus.jsonl").write_text(text(3))
    refused(fit(work, *own), "the text has changed since it was trained")
    (work / "corpus.jsonl").write_text(text(0))
    (work / "tokenizer" / "tokenizer.json").write_text(tokenizer(reverse=True))
    refused(fit(work, *own), "the tokenizer has changed since it was trained")
