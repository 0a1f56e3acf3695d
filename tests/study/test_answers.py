"""From finished runs to comparisons, claims and tables, on studies with planted effects."""

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decaystudy.serial import to_plain
from decaystudy.study.analysis.results import SCHEMA, ClaimResult, StudyResults
from decaystudy.study.analysis.statistics import crossed_mean
from decaystudy.study.definition.expand import Study, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting.documents import as_csv, as_markdown, as_text
from decaystudy.study.reporting.report import read_results, write_results
from tests.study import small
from tests.study.planted import ENTROPY, SEQUENCES, answer_of, plant

CELLS = "cells:\n" + "".join(
    f"  - {{name: {name}, decay: simple, p: 0.{p}}}\n" for name, p in zip("abcdef", range(3, 9), strict=True)
)
HEAD = "title: T\nquestion: Q?\nscale: tiny\naxis: p\nbaseline: a\n" + CELLS


def make(folder: Path, claims: str = "", seeds: str = "0-4", head: str = HEAD) -> Study:
    file = small.write_study(folder, head + (f"claims:\n  - {claims}\n" if claims else ""))
    return expand(read_study(str(file)), seeds=tuple(range(5)) if seeds == "0-4" else tuple(map(int, seeds.split(","))))


def answer(folder: Path, study: Study, effects: dict[str, float], **more: Any) -> StudyResults:
    store = Store(folder / "out")
    plant(study, store, effects, **more)
    return answer_of(study, store)


def claim(folder: Path, words: str, effects: dict[str, float], **more: Any) -> ClaimResult:
    study = make(folder, f"{{id: x, says: y, {words}}}")
    return answer(folder, study, effects, **more).claims[0]


NOISY = {"seed_noise": 0.2}
KINDS = [
    ("difference: [b, a], above: 0.02", {"b": 0.1}, {"b": 0.0}, {"b": 0.02}),
    ("difference: [b, a], below: 0", {"b": -0.1}, {"b": 0.1}, {}),
    ("difference: [b, a], within: 0.02", {"b": 0.0}, {"b": 0.1}, {"b": 0.02}),
    ("difference: [[b, a], [c, a]], above: 0", {"b": 0.1, "c": 0.1}, {"b": 0.1, "c": -0.1}, {"b": 0.1}),
    ("ordering: [a, b, c]", {"b": 0.1, "c": 0.2}, {"b": 0.2, "c": 0.1}, {"b": 0.1, "c": 0.1}),
]


@pytest.mark.parametrize(("words", "supporting", "refuting", "between"), KINDS)
def test_claims_about_losses(
    tmp_path: Path, words: str, supporting: dict[str, float], refuting: dict[str, float], between: dict[str, float]
) -> None:
    for i, (effects, verdict) in enumerate(
        [(supporting, "supported"), (refuting, "refuted"), (between, "undecided"), (supporting, "undecided")]
    ):
        noise = NOISY if i == 3 else {}
        found = claim(tmp_path / str(i), words, effects, **noise)
        assert found.verdict == verdict, (effects, found)
        assert found.low is not None and found.effect is not None and found.high is not None
        assert found.low < found.effect < found.high


@pytest.mark.parametrize(
    ("words", "supporting", "refuting", "between"),
    [
        ("decay: {cell: b, layers: every}, above: 0.6", [0.7, 0.9, 0.8], [0.7, 0.5, 0.8], [0.9, 0.6, 0.8]),
        ("decay: {cell: b, layers: every}, between: [0.6, 0.9]", [0.7, 0.8, 0.8], [0.7, 0.95, 0.8], [0.7, 0.9, 0.8]),
        ("decay: {cell: b, layers: some}, below: 0.3", [0.7, 0.2, 0.8], [0.7, 0.4, 0.8], [0.7, 0.3, 0.8]),
        ("decay: {cell: b, layers: mean}, between: [0.7, 0.9]", [0.8] * 3, [0.5] * 3, [0.9] * 3),
        ("decay: {cell: b, layers: 1}, above: 0.5", [0, 0.6, 0], [1, 0.4, 1], [1, 0.5, 1]),
        ("decay: {cell: b, layers: late-minus-early}, below: -0.1", [0.9, 0.5, 0.3], [0.5] * 3, [0.9, 0.1, 0.8]),
        ("decay: {cell: b, minus: a, layers: every}, above: 0", [0.75, 0.85, 0.95], [0.8, 0.7, 1.0], [0.7, 0.9, 1.0]),
        ("decay: {cell: b, minus: a, statistic: mean}, above: 0", [0.9] * 3, [0.7] * 3, [0.7, 0.8, 0.9]),
        ("decay: {cell: b, minus: a, layers: count above 0.75}, below: 0", [0.7, 0.7, 0.9], [0.8, 0.8, 0.8], None),
    ],
)
def test_claims_about_decays(
    tmp_path: Path, words: str, supporting: list[float], refuting: list[float], between: list[float] | None
) -> None:
    for i, (layers, verdict) in enumerate([(supporting, "supported"), (refuting, "refuted"), (between, "undecided")]):
        if layers is not None:
            found = claim(tmp_path / str(i), words, {}, decays={"b": layers})
            assert found.verdict == verdict, (layers, found)


def test_a_count_is_undecided_where_seeds_disagree(tmp_path: Path) -> None:
    found = claim(tmp_path, "decay: {cell: b, layers: count above 0.8}, above: 1.5", {}, decays={"b": [0.7, 0.8, 0.9]})
    assert found.verdict == "undecided"


def test_a_count_that_never_changes_refutes_a_claim_that_it_falls(tmp_path: Path) -> None:
    found = claim(tmp_path, "decay: {cell: b, minus: a, layers: count above 0.5}, below: 0", {})
    assert (found.verdict, found.effect) == ("refuted", 0.0)


def test_claims_about_an_optimum(tmp_path: Path) -> None:
    medians = {name: [value] * 3 for name, value in zip("abcdef", (0.3, 0.5, 0.7, 0.8, 0.9, 0.99), strict=True)}
    distance = {name: abs(layers[0] - 0.8) for name, layers in medians.items()}
    rising, falling = dict(distance), {name: -d for name, d in distance.items()}
    mixed = dict(zip("abcdef", (0.1, 0.3, 0.2, 0.3, 0.1, 0.2), strict=True))
    for i, (effects, verdict) in enumerate([(rising, "supported"), (falling, "refuted"), (mixed, "undecided")]):
        found = claim(tmp_path / str(i), "optimum: {at: 0.8}", effects, decays=medians)
        assert found.verdict == verdict, found


def test_comparisons_find_what_was_planted(tmp_path: Path) -> None:
    results = answer(tmp_path, make(tmp_path), {"b": 0.05, "c": -0.05})
    rows = {row.a: row for row in results.comparisons}
    assert {row.b for row in rows.values()} == {"a"}
    assert (rows["b"].verdict, rows["c"].verdict) == ("worse", "better")
    for row in rows.values():
        assert row.low is not None and row.difference is not None and row.high is not None
        assert (row.low <= 0 <= row.high) == (row.verdict == "indistinguishable")
        assert row.uncorrected is not None
        low, high = row.uncorrected
        assert row.low <= low < row.difference < high <= row.high
        assert row.parameters == 0


def test_differences_are_paired_by_seed_and_sequence(tmp_path: Path) -> None:
    """The difference and its interval are those of the table of paired differences, reckoned by hand."""
    study = make(tmp_path, head=HEAD[: HEAD.index("  - {name: c")])
    results = answer(tmp_path, study, {"b": 0.01})
    store = Store(tmp_path / "out")
    losses: dict[str, list[np.ndarray]] = {"a": [], "b": []}
    for run in study.runs():
        folder = store.find(run)
        assert folder is not None
        losses[run.cell].append(np.load(folder.validation_loss))
    table = np.stack(losses["b"]) - np.stack(losses["a"])
    assert table.shape == (5, SEQUENCES)
    row = results.comparisons[0]
    assert row.difference == pytest.approx(table.mean(), abs=1e-12)
    assert (row.low, row.high) == pytest.approx(crossed_mean(table).interval(), abs=1e-12)


def test_one_seed_says_so_and_two_carry_a_warning(tmp_path: Path) -> None:
    one = answer(tmp_path / "one", make(tmp_path / "one", seeds="0"), {"b": 0.05})
    two = answer(tmp_path / "two", make(tmp_path / "two", seeds="0,1"), {"b": 0.05})
    five = answer(tmp_path / "five", make(tmp_path / "five"), {"b": 0.05})
    assert "One seed" in one.notes[0] and "sequences only" in one.notes[0]
    assert "Two seeds" in two.notes[0]
    assert not five.notes
    for results in (one, two, five):
        text = as_text(results)
        assert all(note in text for note in results.notes)
    # With one seed the interval of a cell is over sequences, with more it is over seeds.
    wide, narrow = ((results.cells[0].low or 0) - (results.cells[0].high or 0) for results in (one, five))
    assert wide < -0.1 and narrow > -0.05


def test_unfinished_cells_are_shown_and_never_averaged_over(tmp_path: Path) -> None:
    study = make(tmp_path, "{id: x, says: y, difference: [b, a], above: 0}")
    store = Store(tmp_path / "out")
    plant(study, store, {"b": 0.05})
    run = next(run for run in study.runs() if run.cell == "b" and run.seed == 3)
    folder = store.find(run)
    assert folder is not None
    folder.result.unlink()
    folder.write_status("diverged", step=7, message="the loss was nan")
    results = answer_of(study, store)
    cell = next(cell for cell in results.cells if cell.name == "b")
    assert cell.status == "1 diverged, 4 finished" and cell.val_loss is None
    comparison = next(row for row in results.comparisons if row.a == "b")
    assert comparison.verdict == "incomplete" and "diverged" in (comparison.why or "")
    assert results.claims[0].verdict == "not tested"
    assert not results.complete
    assert len(results.runs) == 30
    assert [(run.cell, run.seed, run.status, run.message) for run in results.failures] == [
        ("b", 3, "diverged", "the loss was nan")
    ]
    for text in (as_text(results), as_markdown(results), as_csv(results)):
        assert "diverged" in text
    assert next(cell for cell in results.cells if cell.name == "c").val_loss == pytest.approx(3, abs=0.2)


def test_files(tmp_path: Path) -> None:
    study = make(tmp_path)
    store = Store(tmp_path / "out")
    plant(study, store, {})
    results = write_results(study, store, {})
    folder = tmp_path / "out" / "small"
    written = json.loads((folder / "results.json").read_text())
    assert written["schema"] == SCHEMA and list(written)[:2] == ["schema", "study"]
    assert len(written["runs"]) == 30 and len(written["cells"]) == 6
    assert written["runs"][0]["cell"] == written["runs"][0]["name"] == "a"
    assert read_results(folder / "results.json") == results
    rows = list(csv.DictReader(io.StringIO((folder / "results.csv").read_text())))
    assert len(rows) == 30 and float(rows[0]["val_loss"]) == results.runs[0].val_loss
    assert f"{ENTROPY:.4f}" in (folder / "results.md").read_text()
    links = sorted(path.name for path in (folder / "runs").iterdir())
    assert links[0] == "a-seed0" and len(links) == 30
    assert (folder / "runs" / "a-seed0" / "result.json").is_file()
    assert not Path((folder / "runs" / "a-seed0").readlink()).is_absolute()


def test_results_can_be_read_by_strict_json(tmp_path: Path) -> None:
    results = answer(tmp_path, make(tmp_path, "{id: x, says: y, ordering: [a, b]}"), {})
    json.loads(json.dumps(to_plain(results), allow_nan=False))


def test_tuning_compares_each_cell_at_its_best_rate_and_shows_all(tmp_path: Path) -> None:
    file = small.write_study(tmp_path, HEAD + "tune: {lr: [0.001, 0.003, 0.01]}\n")
    study = expand(read_study(str(file)), seeds=(0, 1, 2))
    assert len(study.runs()) == 6 * 3 * 3
    store = Store(tmp_path / "out")
    plant(study, store, {})
    best = {"a": 0.003, "b": 0.01}
    for run in study.runs():
        folder = store.find(run)
        assert folder is not None and run.learning_rate is not None
        result = folder.read_result()
        assert result is not None and result.val_loss is not None
        shift = abs(math.log(run.learning_rate / best.get(run.cell, 0.001)))
        np.save(folder.validation_loss, np.load(folder.validation_loss) + shift)
        folder.write_result(replace(result, val_loss=result.val_loss + shift))
    results = answer_of(study, store)
    assert {cell.name: cell.learning_rate for cell in results.cells} == {
        "a": 0.003,
        "b": 0.01,
        **dict.fromkeys("cdef", 0.001),
    }
    assert len(results.runs) == 54
    assert sum(bool(run.chosen) for run in results.runs) == 18
    assert all(abs(row.difference or 0) < 0.02 for row in results.comparisons)
    assert "best learning rate" in " ".join(results.notes)
    assert "try more: b, c, d, e, f" in " ".join(results.notes)
    text = as_text(results)
    line = next(line for line in text.splitlines() if line.startswith("a ") and "*" in line)
    assert line.split()[3] == "*" and len(line.split()) == 5
    assert "## Learning rates" in as_markdown(results)
