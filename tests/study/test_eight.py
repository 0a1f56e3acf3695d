"""All eight studies at tiny, two seeds, two steps: each distinct cell is trained once, each study has its answer."""

import json
from pathlib import Path

import pytest

from decaystudy.study.reporting.report import report
from tests.study import small
from tests.study.test_studies import EIGHT

pytestmark = [pytest.mark.slow, pytest.mark.long]


def test_all_eight(tmp_path: Path) -> None:
    short = ["--seeds", "0,1", "--trainer.max_steps", "2", "--recipe.warmup_steps", "1", "--out", str(tmp_path)]
    plan = json.loads(small.run(*EIGHT, *short, "--dry-run", "--json"))
    whole = plan["total"]["whole"]
    assert whole["runs"] < whole["without_sharing"] == sum(len(one["runs"]) for one in plan["studies"])
    small.run(*EIGHT, *short, timeout=3000)
    folders = [path for path in (tmp_path / "store").iterdir() if path.name != ".names"]
    assert len(folders) == whole["runs"]
    assert {(path / "log.txt").read_text().count("training 2 steps") for path in folders} == {1}
    report(out=str(tmp_path))
    for name in EIGHT:
        results = small.results(tmp_path, name)
        assert results["complete"]
        assert all(row["verdict"] == "not judged" for row in results["comparisons"]), "two steps teach nothing"
        assert (tmp_path / name / "report.html").stat().st_size > 10_000
    again = small.run(*EIGHT, *short)
    assert "▸" not in again
