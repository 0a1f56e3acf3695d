"""The Python that the pages show, other than that of packages of one's own, runs as it stands there."""

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "tests" / "golden" / "judged.bundle"


def blocks(page: Path) -> list[str]:
    """The blocks of Python on a page that are not files of a package."""
    found = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    return [block for block in found if not re.match(r"# [\w/]+\.py", block)]


PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if blocks(page)]


def test_pages_are_found() -> None:
    assert {"statistics.md", "share-a-study.md", "ops.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_its_python_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(BUNDLE, tmp_path / "sharing.bundle")
    monkeypatch.chdir(tmp_path)
    exec(compile("".join(blocks(page)), str(page), "exec"), {})
    said = capsys.readouterr().out
    if page == ROOT / "docs" / "statistics.md":
        assert [line.split()[-1] for line in said.splitlines()] == ["equivalent", "worse"], said
