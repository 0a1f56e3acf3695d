"""The notebook runs from top to bottom on a study's results."""

import json
from pathlib import Path

import pytest

from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting.report import write_results
from tests.study.planted import plant

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "figures.ipynb"


def show(folder: Path, monkeypatch: pytest.MonkeyPatch, seeds: tuple[int, ...]) -> list[str]:
    """What the notebook displays for a study with these seeds."""
    study = expand(read_study("sharing"), seeds=seeds)
    store = Store(folder / "runs")
    plant(study, store, {"gla-shared": 0.3, "mamba2-shared": 0.01})
    write_results(study, store, {})
    (folder / "notebooks").mkdir()
    monkeypatch.chdir(folder / "notebooks")
    shown: list[str] = []
    namespace = {"HTML": str, "display": shown.append}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"]).replace("from IPython.display import HTML, display\n", "")
            exec(compile(source, str(NOTEBOOK), "exec"), namespace)
    return shown


def test_every_cell_runs(tmp_path, monkeypatch):
    shown = show(tmp_path, monkeypatch, (0, 1, 2))
    assert len(shown) == 4 and all("<svg" in figure for figure in shown)


def test_one_seed_shows_no_interval_and_no_verdict(tmp_path, monkeypatch):
    losses, differences, *others = show(tmp_path, monkeypatch, (0,))
    assert "one seed" in losses and "one seed" in differences and "<svg" not in losses + differences
    assert not any(word in "".join(others) for word in ("better", "worse", "supported", "refuted", "equivalent"))
