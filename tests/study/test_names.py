"""The names in a store and the results in its folders are believed only where they are those of the run."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from decaystudy.cli import main
from decaystudy.study.definition.expand import Run, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from tests.study import small
from tests.study.planted import plant

NAMES = {
    "empty": b"",
    "white space": b"\n",
    "of another run": b"mamba2-seed0-0123456789ab",
    "absolute": b"/etc/HASH",
    "absolute, with the hash": b"/elsewhere/run-HASH",
    "leading out": b"../elsewhere/run-HASH",
    "leading nowhere": b"..",
    "not UTF-8": b"\xff\xfe-HASH",
}
QUICK = ("of another run", "leading out")
"""Those that every change is tested with."""


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A finished study of three cells with different losses; its folder."""
    file = small.write_study(tmp_path / "file")
    plant(expand(read_study(str(file))), Store(tmp_path / "out"), {"gla": 0.05, "hgrn2": 0.1})
    return tmp_path


def runs_of(folder: Path) -> list[Run]:
    return expand(read_study(str(folder / "file" / "small.yaml"))).runs()


def study(folder: Path, expect: int = 0) -> dict[str, Any]:
    """The losses that the study reports, by run."""
    assert main(["run-study", str(folder / "file" / "small.yaml"), "--out", str(folder / "out")]) == expect
    results = small.results(folder / "out")
    assert results["complete"]
    return {run["name"]: run["val_loss"] for run in results["runs"]}


def names(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "out/store/.names").iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize(
    "what", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in NAMES]
)
def test_a_name_that_is_none_is_found_again(finished: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = study(finished)
    assert len(set(before.values())) == 3
    said = {path: path.read_bytes() for path in names(finished)}
    for path in names(finished):
        path.write_bytes(NAMES[what].replace(b"HASH", path.name.encode()))
    capsys.readouterr()
    assert main(["report", "--out", str(finished / "out")]) == 0
    assert study(finished) == before
    assert "started" not in capsys.readouterr().err
    for run in runs_of(finished):
        Store(finished / "out").claim(run)
    assert {path: path.read_bytes() for path in names(finished)} == said


def test_a_name_is_no_link(finished: Path) -> None:
    before = study(finished)
    first, second, _ = names(finished)
    first.unlink()
    first.symlink_to(second)
    assert study(finished) == before


def test_a_run_without_its_folder_is_planned_under_a_lost_name(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study(finished)
    gone = names(finished)[0]
    shutil.rmtree(finished / "out/store" / gone.read_text())
    gone.write_text("")
    capsys.readouterr()
    assert main(["status", "--out", str(finished / "out"), "--watch", "false"]) == 0
    assert "3 runs: 2 finished, 1 planned" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["run-study", "report", "status"])
def test_a_folder_that_is_a_link_is_refused(finished: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    study(finished)
    folder = finished / "out/store" / names(finished)[0].read_text()
    folder.rename(finished / "elsewhere")
    folder.symlink_to(finished / "elsewhere")
    capsys.readouterr()
    assert call(verb, finished) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert f"{folder} is a link and no run's folder" in said[-1]


@pytest.mark.parametrize("verb", ["run-study", "report", "status"])
def test_the_result_of_another_run_is_refused(finished: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    study(finished)
    first, second, _ = (finished / "out/store" / path.read_text() for path in names(finished))
    shutil.copy(first / "result.json", second / "result.json")
    capsys.readouterr()
    assert call(verb, finished) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{second / 'result.json'} is the result of another run" in said and f"remove {second}" in said
    plain = json.loads((second / "result.json").read_text())
    del plain["identity"]
    (second / "result.json").write_text(json.dumps(plain))
    assert call(verb, finished) == 2
    assert "of no known identity" in capsys.readouterr().err
    shutil.rmtree(second)
    assert main(["status", "--out", str(finished / "out"), "--watch", "false"]) == 0


def call(verb: str, folder: Path) -> int:
    words = {"run-study": [str(folder / "file" / "small.yaml")], "status": ["--watch", "false"]}
    return main([verb, *words.get(verb, []), "--out", str(folder / "out")])


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    file = small.write_study(tmp_path / "file")
    one, two = Store(tmp_path / "out"), Store(tmp_path / "out")
    for run in expand(read_study(str(file))).runs():
        assert one.claim(run).path == two.claim(run).path == tmp_path / "out/store" / f"{run.name}-{run.hash}"
    assert all(not path.name.startswith(".mamba") for path in (tmp_path / "out/store/.names").iterdir())
