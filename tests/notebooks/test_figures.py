"""The notebook runs from top to bottom on a study's results."""

import json
from pathlib import Path

from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting.report import write_results
from tests.study.planted import plant

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "figures.ipynb"


def test_every_cell_runs(tmp_path, monkeypatch):
    study = expand(read_study("sharing"))
    store = Store(tmp_path / "runs")
    plant(study, store, {"gla-shared": 0.3, "mamba2-shared": 0.01})
    write_results(study, store, {})
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    shown = []
    namespace = {"HTML": str, "display": shown.append}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"]).replace("from IPython.display import HTML, display\n", "")
            exec(compile(source, str(NOTEBOOK), "exec"), namespace)
    assert len(shown) == 4 and all("<svg" in figure for figure in shown)
