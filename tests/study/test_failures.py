"""Cells that diverge, run out of memory or cannot write: the rest finishes, and table and report say what happened."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from decaystudy.study.definition.several import expand_all
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting.report import report
from tests.study import small

pytestmark = pytest.mark.slow
CELLS = """\
cells:
  - {name: mamba2, decay: mamba2}
  - {name: gla, decay: gla}
  - {name: wild, decay: mamba2, lr: 1000.0}
  - {name: hungry, decay: tests.study.hungry.Hungry}
  - {name: mute, decay: hgrn2}
  - {name: full, decay: simple}
comparisons:
  - {cells: [wild, gla], axis: [decay, lr]}
"""


@pytest.fixture
def mount() -> Iterator[Callable[[Path], bool]]:
    """Puts a file system of 200 kB in the place of an empty folder; says whether this user may."""
    mounted: list[Path] = []

    def tiny(folder: Path) -> bool:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], capture_output=True)
        mounted.extend([folder] if done.returncode == 0 else [])
        return done.returncode == 0

    yield tiny
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_the_rest_finishes_and_all_is_said(tmp_path: Path, mount: Callable[[Path], bool]) -> None:
    text = small.STUDY[: small.STUDY.index("grid:")] + CELLS + small.STUDY[small.STUDY.index("claims:") :]
    file = small.write_study(tmp_path / "file", text)
    out = tmp_path / "out"
    store = Store(out)
    for run in expand_all([str(file)])[0].runs():
        if run.cell == "mute":
            os.symlink("/dev/full", store.claim(run).log)
        if run.cell == "full":
            folder = store.claim(run)
            shutil.rmtree(folder.path)
            folder.path.mkdir()
            has_tiny_disk = mount(folder.path)
    output = small.run(str(file), "--out", str(out), expect=1)
    results = small.results(out)
    state = {cell["name"]: cell["status"] for cell in results["runs"]}
    assert state["mamba2"] == state["gla"] == state["mute"] == "finished"
    assert state["wild"] == "diverged"
    assert state["hungry"] == "out-of-memory"
    cells = {cell["name"]: cell for cell in results["runs"]}
    assert cells["wild"]["val_loss"] is None and cells["wild"]["step"] > 0
    assert cells["wild"]["last_finite"] is not None
    verdicts = {(row["a"], row["b"]): row["verdict"] for row in results["comparisons"]}
    assert verdicts["wild", "gla"] == "incomplete"
    assert verdicts["hungry", "mamba2"] == "incomplete"
    assert verdicts["gla", "mamba2"] in ("one seed", "not judged")  # the latter if one has learned nothing
    assert not results["complete"]
    if has_tiny_disk:
        assert state["full"] == "failed"
        assert "No space left" in cells["full"]["message"] or "space" in cells["full"]["message"].lower()
    report(out=str(out))
    page = (out / "small" / "report.html").read_text()
    for text in (output, (out / "small" / "results.md").read_text(), page):
        for name in ("wild", "hungry"):
            assert name in text
        assert "diverged" in text and "out-of-memory" in text
    for name in ("wild", "hungry"):
        assert cells[name]["log"] in output
        assert cells[name]["id"] in page
    # A second call trains the finished and the diverged ones no more, and tries the others again.
    again = small.run(str(file), "--out", str(out), expect=1)
    assert "hungry-seed0 started" in again or "hungry-seed0 resumes" in again
    for name in ("mamba2", "gla", "mute", "wild"):
        assert f"{name}-seed0 started" not in again and f"{name}-seed0 resumes" not in again
    assert json.loads((out / "small" / "results.json").read_text())["runs"][0]["status"] == "finished"
