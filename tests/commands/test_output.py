"""What is printed and written where the terminal or locale isn't UTF-8, the reader has gone, or the disk is full."""

import io
import json
import os
import subprocess
import sys

import pytest
import yaml

from decaystudy.cli import VERBS, main
from decaystudy.io import read_mapping
from tests.training.small import SETTINGS, fit

SHORT = [*SETTINGS, "--trainer.max_steps", "2", "--recipe.warmup_steps", "1"]
# Python's own remedies for the locale C are off, as under a locale whose encoding is ASCII.
ASCII_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("output") / "run"
    assert fit(out, "--trainer.max_steps", "2", "--recipe.warmup_steps", "1") == 0
    return out


def said(arguments, encoding, monkeypatch, code=0):
    """Both outputs of a command, in this process, on a terminal of that encoding."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", streams[0])
        patched.setattr(sys, "stderr", streams[1])
        assert main([str(word) for word in arguments]) == code
    return tuple(stream.buffer.getvalue().decode(encoding) for stream in streams)


def process(arguments, cwd, **more):
    """The command in a process of its own."""
    environment = {**os.environ, **more.pop("environment", {})}
    words = [sys.executable, "-m", "decaystudy", *arguments]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, timeout=120, check=False, **more)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-16"])
@pytest.mark.parametrize("verb", [*VERBS, "list", ""])
def test_help_in_any_encoding(verb, encoding, monkeypatch):
    text, trouble = said(["list"] if verb == "list" else [*verb.split(), "--help"], encoding, monkeypatch)
    assert text and not trouble
    assert "usage: decaystudy" in text or verb == "list"
    if encoding != "utf-16" and verb == "ablate":
        assert "k = 1 - lambda" in text and "set every lambda" in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_finished_run_is_told_of_in_words(run, encoding, tmp_path, monkeypatch):
    text, _ = said(["fit", *SETTINGS, "--logger", "csv", "--out", tmp_path / "run"], encoding, monkeypatch)
    assert "median lambda by layer: 0." in text
    assert "half-life" in said(["decays", run], encoding, monkeypatch)[0]
    assert "lambda = 0.8" in said(["ablate", run, "--clamp-decay", "0.8"], encoding, monkeypatch)[0]
    plan, _ = said(["run-study", "sharing", "--dry-run", "--out", tmp_path], encoding, monkeypatch)
    assert "runs" in plan
    _, trouble = said(["fit", "--model.decay", "λ中"], encoding, monkeypatch, code=2)
    assert trouble.startswith("decaystudy: ") and "lambda?" in trouble


def test_text_of_any_script_is_generated_and_its_prompt_shown(run, monkeypatch):
    words = ["generate", run, "--prompt", "Zürich λ 中文", "--tokens", "5"]
    assert said(words, "latin-1", monkeypatch)[0].startswith("Zürich lambda ??")
    assert said(words, "utf-8", monkeypatch)[0].startswith("Zürich λ 中文")


def test_what_programs_read_keeps_its_content(monkeypatch):
    words = ["fit", "--print_config", "--data.source", "files", "--data.files", "Zürich-λ🙂.txt"]
    for encoding in ("ascii", "latin-1", "utf-8"):
        text, _ = said(words, encoding, monkeypatch)
        assert yaml.safe_load(text)["data"]["files"] == "Zürich-λ🙂.txt", text


def test_json_keeps_its_content(run, tmp_path, monkeypatch):
    (tmp_path / "Zürich-λ🙂").symlink_to(run)
    monkeypatch.chdir(tmp_path)
    for encoding in ("ascii", "latin-1", "utf-8"):
        text, _ = said(["ablate", "Zürich-λ🙂", "--clamp-decay", "0.8", "--json"], encoding, monkeypatch)
        assert list(json.loads(text)) == ["Zürich-λ🙂"], text


@pytest.mark.parametrize("words", [["--help"], ["list"], ["fit", "--help"], ["run-study", "sharing", "--dry-run"]])
def test_a_closed_pipe_ends_in_silence(words, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "decaystudy", *words], cwd=tmp_path, stdout=pipe, stderr=subprocess.PIPE, timeout=60
        )
    assert (done.returncode, done.stderr) == (0, b"")


def broken(kind):
    """A stream whose reader has gone, or on a full disk."""
    if kind == "full":
        return open("/dev/full", "w", encoding="utf-8")
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")


@pytest.mark.parametrize("kind", ["closed", "full"])
def test_a_run_is_trained_to_its_end_without_anybody_listening(kind, tmp_path, monkeypatch):
    with broken(kind) as one, broken(kind) as other, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", one)
        patched.setattr(sys, "stderr", other)
        assert main(["fit", *SHORT, "--out", str(tmp_path / "run")]) == 0
    assert read_mapping(tmp_path / "run" / "result.json")["status"] == "finished"


def test_a_list_that_a_full_disk_swallows_is_no_success(monkeypatch, capsys):
    with broken("full") as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stream)
        assert main(["list"]) == 1
    assert "standard output could not be written (No space left on device)" in capsys.readouterr().err


def test_generating_ends_when_the_reader_has_gone(run):
    words = [sys.executable, "-m", "decaystudy", "generate", str(run), "--tokens", "1000000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(5)
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""


def test_names_of_files_under_an_ascii_locale(tmp_path):
    (tmp_path / "λ.yaml").write_text("data: {files: Zürich.txt}\n", encoding="utf-8")
    words = ["fit", "--print_config", "--config", "λ.yaml", "--data.source", "files"]
    done = process(words, tmp_path, environment=ASCII_LOCALE)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout.decode("ascii"))["data"]["files"] == "Zürich.txt"
    refused = process(["fit", "--config", "中.yaml"], tmp_path, environment=ASCII_LOCALE)
    assert refused.returncode == 2 and refused.stderr.startswith(b"decaystudy: cannot read '?.yaml': "), refused.stderr


def test_a_name_that_is_no_text(tmp_path):
    done = process(["fit", "--out", b"run-\xff"], tmp_path)
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    assert done.stderr.count(b"\n") == 1 and b"is not UTF-8 text" in done.stderr


@pytest.mark.slow
@pytest.mark.long
def test_runs_studies_and_exports_under_an_ascii_locale(tmp_path):
    from tests.study.small import STUDY

    (tmp_path / "λ").mkdir()
    (tmp_path / "λ" / "small.yaml").write_text(STUDY.replace("A small study", "λ 中"), encoding="utf-8")
    for words, file in (
        (["fit", *SHORT, "--logger", "tensorboard,csv", "--out", "Zürich-λ"], "Zürich-λ/result.json"),
        (["export", "Zürich-λ", "文"], "文/config.json"),
        (["evaluate", "文", "--tasks", "offline", "--limit", "3"], "文/evaluation.json"),
        (["decays", "Zürich-λ", "--figure", "λ.svg"], "λ.svg"),
        (["run-study", "λ/small.yaml", "--out", "ö", "--trainer.max_steps", "6"], "ö/small/results.json"),
        (["report", "small", "--out", "ö"], "ö/small/report.html"),
    ):
        done = process(words, tmp_path, environment=ASCII_LOCALE)
        assert done.returncode == 0, (words, done.stderr.decode(errors="replace")[-2000:])
        assert done.stdout.isascii() and done.stderr.isascii() and (tmp_path / file).is_file(), words


CHATTY = """\
import logging
from decaystudy.data import Source

class Mine(Source):
    summary = label = revision = "mine"

    @classmethod
    def open(cls, config):
        logging.getLogger("fontTools.subset").info("Glyph names: many")
        logging.getLogger("decaystudy").info("reading rows")
        raise KeyError("stop here")
"""


@pytest.mark.parametrize("verb", ["data-stats", "prepare-data"])
def test_other_libraries_keep_their_notes_to_themselves(verb, tmp_path):
    (tmp_path / "chatty.py").write_text(CHATTY)
    ended = process([verb, "--data.source", "chatty.Mine"], tmp_path)
    trouble = ended.stderr.decode()
    assert ended.returncode == 2 and "reading rows" in trouble and "Glyph names" not in trouble, trouble
