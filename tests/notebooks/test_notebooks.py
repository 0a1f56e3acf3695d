"""The notebooks run from top to bottom, and what is committed of them is small and names no machine."""

import json
import re
import socket
import sys
from pathlib import Path

import pytest

from decaystudy.cli import main
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from tests.study.planted import plant

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 300_000
VERDICTS = ("better", "worse", "supported", "refuted", "equivalent")


def code(file: Path) -> list[str]:
    """The source of each cell of code."""
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def show(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """What a notebook displays when its cells are run in the folder ``notebooks`` of a checkout."""
    shown: list[str] = []
    namespace = {"SVG": str, "Markdown": str, "display": shown.append}
    monkeypatch.chdir(folder / "notebooks")
    for source in code(ROOT / "notebooks" / name):
        plain = re.sub(r"^from IPython\.display import .*\n", "", source, flags=re.M)
        exec(compile(plain, name, "exec"), namespace)
    return shown


def lay_out(folder: Path) -> None:
    """What notebooks read of a checkout that has no evidence."""
    (folder / "notebooks").mkdir()
    (folder / "docs").mkdir()
    (folder / "docs" / "statements.yaml").symlink_to(ROOT / "docs" / "statements.yaml")


def checkout(folder: Path, seeds: tuple[int, ...]) -> Path:
    """A folder with the bundle of a planted study above ``notebooks``, and what else notebooks read of a checkout."""
    study = expand(read_study("sharing"), seeds=seeds)
    store = Store(folder / "runs")
    plant(study, store, {"gla-shared": 0.3, "mamba2-shared": 0.01})
    words = ["--seeds", ",".join(map(str, seeds)), "--out", str(folder / "runs"), "--report", "false"]
    assert main(["run-study", "sharing", *words]) == 0  # finds all runs finished
    lay_out(folder)
    assert main(["bundle", "sharing", "--out", str(folder / "runs"), "-o", str(folder / "sharing.bundle")]) == 0
    return folder


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with three seeds."""
    return checkout(tmp_path_factory.mktemp("three"), (0, 1, 2))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_what_is_committed(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    assert len(text.encode()) < MOST_BYTES
    assert not re.search(r"(?<![\w.])/(?:root|home|tmp|Users|mnt|work)/", text)
    host = socket.gethostname()
    assert not re.search(rf"\b{re.escape(host)}\b", text), "the name of this machine"
    assert all(set(cell["metadata"]) == set() for cell in cells)
    ran = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in ran] == list(range(1, len(ran) + 1)), "make notebooks"
    assert sum(bool(cell["outputs"]) for cell in ran) >= 0.7 * len(ran)
    assert not [one for cell in ran for one in cell["outputs"] if one["output_type"] == "error"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    prose = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    for link in re.findall(r"\]\(([^)#:]+)\)", prose):
        assert (file.parent / link).exists(), link


def test_a_study_with_three_seeds(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show(three, monkeypatch, "02-a-study.ipynb")
    assert sum("<svg" in one for one in shown) == 4
    assert "gla-shared − gla-independent | worse" in "".join(shown)


def test_a_study_with_one_seed_has_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show(checkout(tmp_path, (0,)), monkeypatch, "02-a-study.ipynb")
    assert "one seed" in "".join(shown)
    assert not any(f"| {verdict} |" in table for table in shown for verdict in VERDICTS)


def test_all_claims(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show(three, monkeypatch, "03-all-claims.ipynb")
    joined = "".join(shown)
    assert "✔ supported" in joined and "sharing/gla-worse" in joined and "| not run |" in joined
    assert sum("<svg" in one for one in shown) == 1


@pytest.mark.parametrize("name", ["02-a-study.ipynb", "03-all-claims.ipynb"])
def test_without_a_bundle_they_say_what_makes_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_out(tmp_path)
    said = ""
    try:
        show(tmp_path, monkeypatch, name)
    except SystemExit as end:
        said = str(end.code)
    assert "`decaystudy bundle sharing`" in said + capsys.readouterr().out


@pytest.mark.slow
def test_the_design_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebooks").mkdir()
    shown = show(tmp_path, monkeypatch, "01-the-design-space.ipynb")
    assert sum("<svg" in one for one in shown) == 3


@pytest.mark.extras
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_every_cell_runs_in_jupyter(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nbclient")
    monkeypatch.syspath_prepend(ROOT / "notebooks")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    import run

    notebook = run.run(file, ROOT / "notebooks")
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
