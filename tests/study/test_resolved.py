"""The last line of a study, on what its losses resolved, and its differences by seed."""

import re
from pathlib import Path

import numpy as np
import pytest

from decaystudy.study.analysis.expected import assumed_sd
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.definition.expand import Study, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.hardware import choose_speed
from decaystudy.study.planning.plan import plan_study
from decaystudy.study.reporting.documents import as_markdown
from decaystudy.study.reporting.families import outcome
from decaystudy.study.reporting.html import as_html
from decaystudy.study.run import StudyRequest, run_study
from tests.study import small
from tests.study.judged import HEAD
from tests.study.planted import answer_of, plant

CLAIMS = """claims:
  - {id: bad, says: b is worse., difference: [b, a], above: 0.02}
  - {id: good, says: c is better., difference: [c, a], below: -0.02}
  - {id: near, says: d is like a., difference: [d, a], within: 0.02}
"""
EFFECTS = {"b": 0.2, "c": 0.2, "d": 0.02}


def planted(folder: Path, claims: str = CLAIMS, *, seeds: int = 3, scales: str = "tiny") -> tuple[Study, StudyResults]:
    text = HEAD.replace("scale: tiny", f"scales: [{scales}]") + claims
    study = expand(read_study(str(small.write_study(folder, text))), seeds=tuple(range(seeds)))
    plant(study, Store(folder / "out"), EFFECTS)
    return study, answer_of(study, Store(folder / "out"))


def test_the_line_names_what_was_resolved_asked_and_judged(tmp_path: Path) -> None:
    _, results = planted(tmp_path)
    assert {claim.id: str(claim.verdict) for claim in results.claims} == {
        "bad": "supported",
        "good": "refuted",
        "near": "not resolved",
    }
    found = re.fullmatch(
        r"3 seeds resolve ±([\d.]+)(?: to ±[\d.]+)? nats per token here; the claims ask 0\.02"
        r"(?: \(about \d+ seeds\))?: 2 of 3 judged",
        outcome(results),
    )
    assert found is not None, outcome(results)
    assert results.loss_family.resolvable is not None
    assert float(found[1]) == pytest.approx(results.loss_family.resolvable[0], rel=0.05)


def test_one_seed_resolves_nothing_and_says_what_would(tmp_path: Path) -> None:
    _, results = planted(tmp_path, seeds=1, scales="tiny, 160m")
    assert outcome(results) == (
        "one seed, which resolves nothing; the claims ask 0.02 (three seeds or more, or scale 160m on a GPU): "
        "0 of 3 judged"
    )


def test_a_study_without_claims_says_what_its_seeds_resolve(tmp_path: Path) -> None:
    _, results = planted(tmp_path, claims="")
    assert re.fullmatch(r"3 seeds resolve ±\S+( to ±\S+)? nats per token here", outcome(results))


def test_a_scale_is_named_only_if_its_seeds_are_assumed_to_differ_less(tmp_path: Path) -> None:
    for name, noise in (("noisy", 0.1), ("quiet", assumed_sd("160m") / 4)):
        text = HEAD.replace("scale: tiny", "scales: [tiny, 160m]") + CLAIMS
        study = expand(read_study(str(small.write_study(tmp_path / name, text))), seeds=(0, 1, 2))
        plant(study, Store(tmp_path / name / "out"), {}, seed_noise=noise)
        results = answer_of(study, Store(tmp_path / name / "out"))
        assert results.loss_family.seed_sd == pytest.approx(noise, rel=0.8)
        assert (results.finer_scale == "160m") is (name == "noisy")
        assert (", or scale 160m on a GPU" in outcome(results)) is (name == "noisy")


def test_run_study_ends_with_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, results = planted(tmp_path)
    request = StudyRequest([str(study.spec.file)], out=str(tmp_path / "out"), seeds="0-2")
    assert run_study(request) == 0
    assert capsys.readouterr().out.rstrip().splitlines()[-1] == f"resolved: {outcome(results)}"


def test_each_seeds_difference_is_kept_and_reported(tmp_path: Path) -> None:
    study, results = planted(tmp_path)
    for row in results.comparisons:
        assert [one.seed for one in row.by_seed] == [0, 1, 2]
        assert np.mean([one.difference for one in row.by_seed]) == pytest.approx(row.difference, abs=1e-9)
        losses = {run.seed: run.val_loss or 0 for run in results.runs if run.cell == row.a}
        base = {run.seed: run.val_loss or 0 for run in results.runs if run.cell == row.b}
        for one in row.by_seed:
            assert one.difference == pytest.approx(losses[one.seed] - base[one.seed], abs=1e-9)
    speed = choose_speed("tiny", gpu="h100", devices=1, jobs=1, on_cpu=False)
    page = as_html(results, plan_study(study, Store(tmp_path / "out"), speed, 1), tmp_path / "out")
    for text in (page, as_markdown(results)):
        assert "seed 2" in text
        assert outcome(results) in text
    _, one = planted(tmp_path / "one", seeds=1)
    assert "seed 0</th>" not in as_html(one, plan_study(study, Store(tmp_path / "out"), speed, 1), tmp_path / "out")
