"""Claims about every scale, from a study that was run at several in one folder."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting.report import report
from decaystudy.study.run import StudyRequest, run_study
from tests.study import small
from tests.study.planted import plant
from tests.study.test_claim_kinds import HEAD

CLAIMS = """claims:
  - {id: always, says: b is worse at every size., difference: [b, a], above: 0, every_scale: true}
  - {id: larger, says: c is worse at both large sizes., difference: [c, a], above: 0, every_scale: [160m, small]}
  - {id: once, says: d is worse., difference: [d, a], above: 0}
"""
TEXT = HEAD.replace("scale: tiny", "scales: [tiny, small, 160m]") + CLAIMS
SCALES = ("tiny", "small", "160m")


def run_at(folder: Path, effects: Mapping[str, Mapping[str, float]], seeds: str = "0-2") -> dict[str, Any]:
    """results.json of a study whose runs have these losses at these scales, as run-study leaves it at the last."""
    file, out = small.write_study(folder, TEXT), folder / "out"
    for scale, losses in effects.items():
        own = tuple(range(3)) if seeds == "0-2" else (0,)
        plant(expand(read_study(str(file)), scale=scale, seeds=own), Store(out), losses)
        assert run_study(StudyRequest([str(file)], scale=scale, seeds=seeds, out=str(out))) == 0
    found = json.loads((out / "small" / "results.json").read_text())
    assert isinstance(found, dict)
    return found


def at(effects: Mapping[str, float], *scales: str) -> dict[str, Mapping[str, float]]:
    """The same effects at all of these scales."""
    return {scale: effects for scale in scales or SCALES}


def verdicts(results: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {claim["id"]: (claim["verdict"], claim["why"]) for claim in results["every_scale"]}


@pytest.mark.long
def test_every_scale_must_support_and_one_may_refute(tmp_path: Path) -> None:
    worse, better = {"b": 0.1, "c": 0.1}, {"b": -0.1, "c": 0.1}
    assert verdicts(run_at(tmp_path / "all", at(worse))) == {
        "always": ("supported", None),
        "larger": ("supported", None),
    }
    mixed = run_at(tmp_path / "one", {"tiny": worse, "small": better, "160m": worse})
    assert verdicts(mixed) == {"always": ("refuted", None), "larger": ("supported", None)}
    always = mixed["every_scale"][0]
    assert [(one["scale"], one["verdict"]) for one in always["scales"]] == [
        ("tiny", "supported"),
        ("small", "refuted"),
        ("160m", "supported"),
    ]
    assert always["level"] == 0.95 and always["level_to_refute"] == pytest.approx(1 - 0.05 / 3)
    unclear = run_at(tmp_path / "unclear", {"tiny": worse, "small": {"c": 0.1}, "160m": worse})
    assert verdicts(unclear)["always"] == ("not resolved", None)


def test_a_scale_that_was_not_run_leaves_a_claim_open_unless_another_refutes_it(tmp_path: Path) -> None:
    some = run_at(tmp_path / "some", at({"b": 0.1, "c": 0.1}, "tiny", "160m"))
    assert verdicts(some) == {
        "always": ("not judged", "small: not run"),
        "larger": ("not judged", "small: not run"),
    }
    refuted = run_at(tmp_path / "refuted", {"tiny": {"b": -0.1}})
    assert verdicts(refuted) == {"always": ("refuted", None)}, "a claim about other scales is not shown here"


@pytest.mark.long
def test_every_form_shows_them_and_one_seed_judges_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_at(tmp_path / "three", at({"b": 0.1, "c": 0.1}))
    printed = capsys.readouterr().out
    assert "over all scales" in printed
    assert re.search(r"small, 3 seeds, [\d.]+( to [\d.]+)? tokens per parameter", printed)
    results = run_at(tmp_path / "one", at({"b": 0.1, "c": 0.1}), seeds="0")
    assert verdicts(results)["always"] == ("not judged", "tiny: one seed")
    assert not re.search(
        r"\b(supported|refuted|not resolved)\b", re.sub(r"A claim is supported.*", "", capsys.readouterr().out)
    )
    for folder, words in (("three", "supported"), ("one", "one seed")):
        out = tmp_path / folder / "out"
        assert report([], out=str(out)) == 0
        for name in ("results.md", "report.tex", "report.html"):
            text = (out / "small" / name).read_text()
            assert "b is worse at every size" in text and words in text, name
            assert text.count("b is worse at every size") == 2, name
