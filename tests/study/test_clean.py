"""What clean removes: runs, and nothing else that is named like one."""

import io
import json
import shutil
from pathlib import Path

import pytest

from decaystudy.cli import main
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from tests.study import small
from tests.study.planted import plant


@pytest.fixture
def unneeded(tmp_path: Path) -> Path:
    """A store of three finished runs that no study needs; its folder."""
    file = small.write_study(tmp_path / "file")
    plant(expand(read_study(str(file))), Store(tmp_path / "out"), {})
    return tmp_path / "out/store"


def clean(store: Path, *more: str, expect: int = 0) -> None:
    assert main(["clean", "--out", str(store.parent), "--yes", *more]) == expect


def folders(store: Path) -> set[str]:
    return {path.name for path in store.iterdir() if not path.name.startswith(".")}


def test_folders_that_are_no_runs_are_kept(unneeded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run = next(path for path in unneeded.iterdir() if path.name.startswith("gla"))
    contents = {
        "letters-0123456789ab": {"letter.txt": "dear"},
        "no-mapping-0123456789ab": {"config.yaml": "- a"},
        "other-settings-0123456789ab": {"config.yaml": "seed: 0\nmodel: {}"},
        "not-yaml-0123456789ab": {"config.yaml": "a: [b"},
        "empty-0123456789ab": {"config.yaml": ""},
        "letters-0123456789ab.before-1": {"letter.txt": "dear"},
        "another-run-0123456789ab": {
            "config.yaml": (a_run / "config.yaml").read_text(),
            "result.json": (a_run / "result.json").read_text(),
        },
        "photos.before-2020": {"config.yaml": (a_run / "config.yaml").read_text()},
    }
    for name, files in contents.items():
        (unneeded / name).mkdir()
        for file, text in files.items():
            (unneeded / name / file).write_text(text)
    clean(unneeded)
    assert folders(unneeded) == set(contents)
    printed = capsys.readouterr()
    assert "removed 3 runs" in printed.out
    for name in contents.keys() - {"photos.before-2020"}:
        assert f"kept: {unneeded / name} holds no run of that name" in printed.err


def test_nothing_is_removed_through_a_link(unneeded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = [path for path in sorted(unneeded.iterdir()) if not path.name.startswith(".")]
    for path, end in zip(moved, ("", "", ".before-1"), strict=True):
        path.rename(tmp_path / path.name)
        (unneeded / f"{path.name}{end}").symlink_to(tmp_path / path.name)
    (unneeded / "gone-0123456789ab").symlink_to(tmp_path / "nowhere")
    clean(unneeded)
    assert "nothing to remove" in capsys.readouterr().out
    for path in moved:
        assert (tmp_path / path.name / "result.json").exists() and len(folders(unneeded)) == 4


def test_checkpoints_behind_a_link_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And those that a run has set aside, which are named."""
    file = small.write_study(tmp_path / "file")
    store = Store(tmp_path / "out")
    plant(expand(read_study(str(file))), store, {})
    assert main(["run-study", str(file), "--out", str(tmp_path / "out")]) == 0
    here, there = [folder.checkpoints for folder in store.folders()][:2]
    shutil.move(there, tmp_path / "elsewhere")
    there.symlink_to(tmp_path / "elsewhere")
    for folder in (here, there):
        (folder / "step=5.ckpt").write_bytes(b"checkpoint")
    (here / "step=7.ckpt.other-2").write_bytes(b"another's")
    clean(store.path, "--checkpoints")
    assert not (here / "step=5.ckpt").exists() and (tmp_path / "elsewhere/step=5.ckpt").exists()
    assert (here / "step=7.ckpt.other-2").exists()
    assert "step=7.ckpt.other-2 was set aside (9 B): remove it if" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"status": "ended"})])
def test_a_run_with_a_broken_result_can_be_removed(unneeded: Path, content: str) -> None:
    for path in unneeded.glob("*/result.json"):
        path.write_text(content)
    clean(unneeded)
    assert not folders(unneeded)


def test_a_call_that_has_closed_standard_input(
    unneeded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = folders(unneeded)
    monkeypatch.setattr("sys.stdin", None)
    assert main(["clean", "--out", str(unneeded.parent)]) == 2
    assert "give --yes where nobody can answer" in capsys.readouterr().err and folders(unneeded) == before


def test_an_answer_that_is_none(unneeded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-D at the question."""
    before = folders(unneeded)

    class Ended(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Ended())
    assert main(["clean", "--out", str(unneeded.parent)]) == 1
    assert folders(unneeded) == before
