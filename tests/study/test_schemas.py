"""Files of other versions: plans from before schemas are migrated, results from then and all newer ones are refused in
a sentence that says what to do, through the command line."""

import json
import shutil
from pathlib import Path

import pytest

from decaystudy.cli import main
from decaystudy.serial import from_plain
from decaystudy.study.analysis.results import SCHEMA
from decaystudy.study.definition.expand import Study, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.plan_schema import PlannedRun, RecordedPlan
from decaystudy.study.planning.record import plan_file, read_plan, read_recorded
from tests.study import small
from tests.study.planted import plant

BEFORE = Path(__file__).parent / "before_schemas"


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A store as the version before schemas left it: two seeds of three cells, finished; its folder.

    Losses by document came later still.
    """
    file = small.write_study(tmp_path / "file")
    study = expand(read_study(str(file)), seeds=(0, 1))
    plant(study, Store(tmp_path / "out"), {"gla": 0.05})
    for documents in (tmp_path / "out" / "store").glob("*/validation_documents.npz"):
        documents.unlink()
    folder = tmp_path / "out" / "small"
    folder.mkdir(exist_ok=True)
    for name, target in (("plan.json", "plan.json"), ("study.json", "results.json")):
        text = (BEFORE / name).read_text().replace("<file>", str(file))
        for run in study.runs():
            text = text.replace(f"<{run.name}>", run.hash)
        (folder / target).write_text(text)
    return tmp_path


def call(*words: object, expect: int = 0) -> None:
    assert main([str(word) for word in words]) == expect


def runs_of(out: Path) -> set[str]:
    return {path.name for path in (out / "store").iterdir() if path.name != ".names"}


def study_of(folder: Path) -> Study:
    return expand(read_study(str(folder / "file" / "small.yaml")), seeds=(0, 1))


def test_a_plan_from_before_schemas_is_read_as_it_was_meant(before: Path) -> None:
    store = Store(before / "out")
    plan = read_plan(store, "small")
    study = study_of(before)
    assert [(run.id, run.cell, run.seed) for run in plan.runs] == [(r.hash, r.cell, r.seed) for r in study.runs()]
    assert {run.status for run in plan.runs} == {"finished"} and plan.runs[0].parameters == 156000
    assert [(cell.name, cell.seeds, cell.runs) for cell in plan.cells] == [
        (name, (0, 1), 2) for name in ("mamba2", "gla", "hgrn2")
    ]
    assert plan.cells[0].tokens == 2 * plan.runs[0].tokens and plan.total.whole.runs == 6
    assert plan.call.seeds == (0, 1) and plan.call.expand().runs() == study.runs()
    old = json.loads((before / "out/small/plan.json").read_text())
    old["earlier"] = {"160m": {**old["call"], "scale": "160m", "learning_rates": [0.1]}}
    (before / "out/small/plan.json").write_text(json.dumps(old))
    assert read_plan(store, "small").earlier["160m"].sweep == "lr=0.1"


def test_report_on_a_store_from_before_schemas(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("report", "--out", before / "out")
    assert "report.html" in capsys.readouterr().out
    written = json.loads((before / "out/small/results.json").read_text())
    old = json.loads((BEFORE / "study.json").read_text())
    assert written["schema"] == SCHEMA and len(written["runs"]) == 6 and len(written["cells"]) == 3
    for new_row, old_row in zip(written["comparisons"], old["comparisons"], strict=True):
        assert (new_row["a"], new_row["b"], new_row["difference"]) == (old_row["a"], old_row["b"], None)
        assert "no losses by document; train it again" in new_row["why"]
    assert [cell["val_loss"] for cell in written["cells"]] == pytest.approx([3.0, 3.05, 3.0], abs=0.2)
    assert "planned were" in (before / "out/small/report.html").read_text()


def test_status_on_a_store_from_before_schemas(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("status", "--out", before / "out", "--watch", "false")
    assert "6 runs: 6 finished" in capsys.readouterr().out


def test_clean_on_a_store_from_before_schemas_keeps_its_runs(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = runs_of(before / "out")
    call("clean", "--out", before / "out", "--yes")
    assert "nothing to remove" in capsys.readouterr().out
    (before / "file" / "small.yaml").unlink()  # then the plan alone says which runs are needed
    call("clean", "--out", before / "out", "--yes")
    assert runs_of(before / "out") == held and len(held) == 6


def test_run_study_on_a_store_from_before_schemas(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, file = before / "out", before / "file" / "small.yaml"
    old = json.loads((out / "small/plan.json").read_text())
    call("run-study", file, "--out", out, "--seeds", "0,1")
    assert "started" not in capsys.readouterr().err
    plan = json.loads((out / "small/plan.json").read_text())
    # The plan is the one that was made before the runs ran, in today's form.
    assert plan["schema"] == 1 and [run["hours"] for run in plan["runs"]] == [run["hours"] for run in old["cells"]]
    assert from_plain(RecordedPlan, plan) == read_plan(Store(out), "small")
    assert json.loads((out / "small/results.json").read_text())["schema"] == SCHEMA


def test_results_from_before_schemas_are_not_misread(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the study's file there are only the results that the earlier version wrote."""
    file = before / "file" / "small.yaml"
    shutil.move(file, before / "away.yaml")
    call("report", "--out", before / "out", expect=2)
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and "earlier version of decaystudy" in said and "decaystudy report small" in said
    assert str(file) in said, "it says which file is missing"
    shutil.move(before / "away.yaml", file)
    call("report", "--out", before / "out")
    file.unlink()
    call("report", "--out", before / "out")


@pytest.mark.parametrize("verb", ["report", "status", "clean", "run-study"])
def test_a_newer_plan_is_refused(before: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = before / "out"
    plan = json.loads((out / "small/plan.json").read_text())
    (out / "small/plan.json").write_text(json.dumps({**plan, "schema": 99}))
    held = runs_of(out)
    words = {"clean": ["--yes"], "run-study": [before / "file" / "small.yaml"], "status": ["--watch", "false"]}
    call(verb, *words.get(verb, []), "--out", out, expect=2)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "plan.json has schema 99" in said and "upgrade decaystudy" in said
    assert runs_of(out) == held and json.loads((out / "small/plan.json").read_text())["schema"] == 99


def test_newer_results_are_refused(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = before / "out"
    (out / "small/results.json").write_text(json.dumps({"schema": 99, "study": "small"}))
    (before / "file" / "small.yaml").unlink()
    call("report", "--out", out, expect=2)
    said = capsys.readouterr().err.strip()
    assert "results.json has schema 99" in said and "upgrade decaystudy" in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"schema": 1, "study": "small"}, "lacks 'scale'"),
        ({"study": "small"}, "'cells'"),
        ({"cells": [{"name": "a"}]}, "'state'"),
        ({"cells": 3}, "not iterable"),
        ({"schema": "one"}, "schema is 'one', not a whole number"),
    ],
)
def test_what_is_no_plan_is_refused(
    tmp_path: Path, content: object, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plan_file(Store(tmp_path), "small")
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    call("status", "--out", tmp_path, expect=2)
    said = capsys.readouterr().err.strip()
    assert f"{path} is no plan" in said and says in said and "run-study again" in said


def test_a_plan_cut_short_is_none(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"schema": 1, "stu')
    assert read_recorded(tmp_path / "plan.json") is None


def test_runs_of_a_plan_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"runs\[0\] lacks 'id'"):
        from_plain(PlannedRun, {}, "runs[0]")
