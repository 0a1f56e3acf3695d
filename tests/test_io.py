"""Files that are renamed into their place are on the disk before, and their names after."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import decaystudy
from decaystudy.io import link_into_place, move_into_place, write_json, write_text
from decaystudy.runs.evaluation import EvaluationFolder
from decaystudy.runs.weights import write_weights


def write_link(path: Path) -> None:
    draft = path.with_name("draft")
    draft.write_text("content")
    link_into_place(draft, path)


def move_folder(path: Path) -> None:
    draft = path.with_name("draft")
    (draft / "below").mkdir(parents=True)
    (draft / "below" / "file").write_text("content")
    move_into_place(draft, path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: write_text(path, "content"),
    "json": lambda path: write_json(path, {"a": 1}),
    "weights": lambda path: write_weights(path, {"w": torch.ones(3)}),
    "answers": lambda path: EvaluationFolder(path.parent).write_outcomes("task", {"acc": [1.0]}),
    "link": write_link,
    "folder": move_folder,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_content_comes_before_the_name(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut between the two would leave an empty file under a name that vouches for it."""
    steps: list[tuple[str, int]] = []
    plain = {"sync": os.fsync, "replace": os.replace, "link": os.link}

    def sync(descriptor: int) -> None:
        steps.append(("sync", os.fstat(descriptor).st_ino))
        plain["sync"](descriptor)

    def named(how: str) -> Callable[[Path, Path], None]:
        def name(draft: Path, path: Path) -> None:
            files = [draft, *(draft.rglob("*") if draft.is_dir() else [])]
            synced = {inode for step, inode in steps if step == "sync"}
            assert all(file.stat().st_ino in synced for file in files), "named before it was synced"
            steps.append(("name", path.parent.stat().st_ino))
            plain[how](draft, path)

        return name

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", named("replace"))
    monkeypatch.setattr(os, "link", named("link"))
    WRITERS[kind](tmp_path / "file")
    folder = next(inode for step, inode in steps if step == "name")
    assert steps[-1] == ("sync", folder), "the folder is synced last"


def test_one_file_renames_and_links() -> None:
    """Whatever else did would have to remember to sync."""
    package = Path(decaystudy.__file__).parent
    renaming = re.compile(
        r"os\.(replace|rename|renames|link)\(|\.rename\(|hardlink_to\(|shutil\.move\(|\.replace\(\w+\)"
    )
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if renaming.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"io.py"}
