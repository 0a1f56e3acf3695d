"""A study as one file: what goes into it, and calls that are refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from decaystudy.runs.curves import read_curves
from decaystudy.runs.folder import RunFolder
from decaystudy.study.execution.store import Store
from decaystudy.study.sharing.content import read_bundle
from tests.runs import test_curves
from tests.study.bundled import STUDY, call, study_of


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("bundle",), "give NAME_OR_FILE (a study that was run)"),
        (("bundle", "smal"), "no study 'smal' has been run in"),
        (("bundle", "small", "-o", "away/small.bundle"), "the folder away does not exist"),
        (("bundle", "small", "-o", "out"), "out is a folder: name a file"),
        (("bundle", "small", "-o", "-"), "not written to standard output: name a file, such as -o small.bundle"),
        (("bundle", "small", "-o", "file/small.yaml"), "file/small.yaml is there and is no bundle"),
        (("rejudge",), "give FILE (bundles, "),
        (("rejudge", "nothing.bundle"), "nothing.bundle does not exist"),
        (("rejudge", "out"), "out is a folder"),
        (("rejudge", "file/small.yaml"), "file/small.yaml is no bundle"),
    ],
)
def test_wrong_calls_are_refused_in_a_sentence(
    words: tuple[str, ...],
    complaint: str,
    ended: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ended)
    call(*words, *(["--out", "out"] if words[0] == "bundle" and len(words) > 1 else []), expect=2)
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1
    assert (ended / "file/small.yaml").read_text() == STUDY and not list(ended.glob("**/*.bundle"))


def test_a_run_in_progress_is_in_it_as_such(ended: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Store(ended / "out").find(study_of(ended).runs()[-1])
    assert isinstance(folder, RunFolder)
    with folder.locked():
        call("bundle", "small", "--out", ended / "out", "-o", ended / "small.bundle")
    assert "7 finished, 1 planned, 1 running" in capsys.readouterr().out
    call("rejudge", ended / "small.bundle")


def test_runs_that_were_copied_without_weights_keep_their_answers(ended: Path) -> None:
    one, other = ended / "one.bundle", ended / "other.bundle"
    call("bundle", "small", "--out", ended / "out", "-o", one)
    for weights in (ended / "out/store").glob("*/*.safetensors"):
        weights.unlink()
    call("bundle", "small", "--out", ended / "out", "-o", other)
    assert one.read_bytes() == other.read_bytes()


def test_curves_are_in_it(ended: Path) -> None:
    run = study_of(ended).runs()[0]
    folder = Store(ended / "out").find(run)
    assert folder is not None
    test_curves.write(folder.path, "", range(0, 500))
    call("bundle", "small", "--out", ended / "out", "-o", ended / "small.bundle")
    curves = read_bundle(ended / "small.bundle").curves
    assert [key for key, found in curves.items() if found] == [run.hash]
    kept = read_curves(folder.path)
    assert curves[run.hash].keys() == kept.keys()
    for name, curve in curves[run.hash].items():
        assert np.array_equal(curve.steps, kept[name].steps) and np.array_equal(curve.values, kept[name].values)
    assert len((ended / "small.bundle").read_bytes()) < 40_000


def test_the_python_of_the_docs(
    bundled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs/share-a-study.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    monkeypatch.chdir(bundled.parent)
    bundled.rename(bundled.parent / "sharing.bundle")
    exec(code, {})
    printed = capsys.readouterr().out
    assert printed.startswith("At tiny, ") and printed.count("-seed") == 7
