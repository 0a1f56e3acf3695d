"""What is never a verdict: one seed, other documents, few documents, cells that have learned nothing."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decaystudy.metrics import bits_per_byte
from decaystudy.runs.result import RunResult
from decaystudy.serial import to_plain
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.execution.outcomes import read_documents
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting import figures
from decaystudy.study.reporting.documents import as_csv, as_markdown, as_text
from decaystudy.study.reporting.tables import comparisons_table
from tests.study.judged import HEAD, VERDICTS, answer, folder_of, make, outputs
from tests.study.planted import (
    answer_of,
    plant,
    read_losses,
    write_losses,
)

EVERY_KIND = """{id: x, says: y, difference: [b, a], above: 0}
  - {id: order, says: y, ordering: [a, b, c]}
  - {id: near, says: y, decay: {cell: b, layers: every}, above: 0.1}
  - {id: best, says: y, optimum: {at: 0.8}}
  - {id: either, says: y, difference: [[b, a], [c, a]], outside: 0.02, holds_for: any}
  - {id: higher, says: y, winner: [b, a]}
  - {id: always, says: y, difference: [b, a], above: 0, every_scale: true}"""


def test_one_seed_gives_no_verdict_in_any_form(tmp_path: Path) -> None:
    study = make(tmp_path, EVERY_KIND, seeds="0")
    results = answer(tmp_path, study, {"b": 0.5, "c": -0.5})
    assert {row.verdict for row in results.comparisons} == {"one seed"}
    for row in (*results.comparisons, *results.cells):
        assert row.low is None and row.high is None and row.standard_error is None
    assert results.comparisons[0].resolvable is None and results.comparisons[0].seeds == 1
    assert results.comparisons[0].difference == pytest.approx(0.5, abs=0.05), "that of the two checkpoints"
    assert {claim.words for claim in results.claims} == {"not judged (one seed)"}
    for form, text in outputs(results, study, tmp_path / "out").items():
        assert not VERDICTS.search(text), (form, VERDICTS.search(text))
        assert form in ("csv", "figures") or "one seed" in text.lower(), form
    assert figures.losses(results) is None and figures.differences(results) is None


def test_cells_judged_on_other_documents_are_never_paired(tmp_path: Path) -> None:
    words = "{id: x, says: y, difference: [b, a], above: 0}\n  - {id: best, says: y, optimum: {at: 0.8}}"
    study = make(tmp_path, words)
    results = answer(tmp_path, study, {"b": -0.65}, data={"b": {"validation_digest": "others"}})
    row = next(row for row in results.comparisons if row.a == "b")
    assert (row.verdict, row.why) == ("incomplete", "judged on other data")
    assert row.difference is None and row.low is None and row.bits_per_byte is None
    assert results.claims[0].words == "not judged (judged on other data)" == results.claims[1].words
    assert "incomplete: judged on other data" in comparisons_table(results).text()
    assert {row.verdict for row in results.comparisons if row.a != "b"} == {"not resolved"}
    other = answer(tmp_path / "text", make(tmp_path / "text"), {}, data={"b": {"revision": "2"}})
    row = next(row for row in other.comparisons if row.a == "b")
    assert (row.verdict, row.why, row.difference) == ("incomplete", "trained on other data", None)


def answer_where(tmp_path: Path, change: Callable[[RunResult], RunResult]) -> StudyResults:
    """The answer where the result of one seed of one cell is another."""
    study = make(tmp_path)
    store = Store(tmp_path / "out")
    plant(study, store, {})
    folder = folder_of(study, store, "b", 3)
    result = folder.read_result()
    assert result is not None
    folder.write_result(change(result))
    return answer_of(study, store)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -1.0, None])
def test_a_result_whose_loss_is_none_is_a_failed_run(tmp_path: Path, loss: float | None) -> None:
    results = answer_where(tmp_path, lambda result: replace(result, val_loss=loss))
    (run,) = (run for run in results.runs if (run.cell, run.seed) == ("b", 3))
    assert run.status == "failed" and run.val_loss is None
    assert "remove its result.json and run the study again" in str(run.message) and "validation loss" in str(
        run.message
    )
    assert [row.seeds for row in results.comparisons if row.a == "b"] == [4]


def test_losses_that_are_not_those_of_the_result_are_a_failed_run(tmp_path: Path) -> None:
    """As where a file of another run was copied into the folder."""
    study = make(tmp_path)
    store = Store(tmp_path / "out")
    plant(study, store, {})
    for cell in "ab":
        folder = folder_of(study, store, cell, 3)
        found, result = read_documents(folder), folder.read_result()
        assert found is not None and result is not None
        folder.write_result(replace(result, val_bits_per_byte=bits_per_byte(found.nll, found.bytes)))
    assert all(run.status == "finished" for run in answer_of(study, store).runs)
    other = folder_of(study, store, "a", 3).validation_documents.read_bytes()
    folder_of(study, store, "b", 3).validation_documents.write_bytes(other)
    results = answer_of(study, store)
    (run,) = (run for run in results.runs if run.status != "finished")
    assert (run.cell, run.seed, run.status) == ("b", 3, "failed")
    assert "validation_documents.npz holds other losses than its result" in str(run.message)
    assert [row.seeds for row in results.comparisons if row.a == "b"] == [4]


def bomb(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("nll", "tokens", "bytes"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                for _ in range(200):
                    member.write(bytes(2**20))
    assert file.stat().st_size < 2**20


def link_to_itself(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (bomb, "holds more than any losses by document: remove its result.json"),
        (lambda file: file.write_bytes(file.read_bytes()[:-40]), "is damaged: remove its result.json"),
        (lambda file: np.savez(file, nll=np.ones(3), tokens=np.ones(2), bytes=np.ones(3)), "holds no losses: remove"),
        (lambda file: np.savez(file, nll=np.ones(3)), "is damaged: remove its result.json"),
        (link_to_itself, "cannot be read (too many levels of symbolic links): mend that"),
    ],
)
def test_losses_that_cannot_be_read_are_a_failed_run(
    tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    study = make(tmp_path)
    store = Store(tmp_path / "out")
    plant(study, store, {})
    spoil(folder_of(study, store, "b", 3).validation_documents)
    results = answer_of(study, store)
    (run,) = (run for run in results.runs if run.status != "finished")
    assert (run.cell, run.seed, run.status) == ("b", 3, "failed")
    assert f"its validation_documents.npz {says}" in str(run.message)
    assert f"its validation_documents.npz {says[:12]}" in as_markdown(results)
    assert [row.seeds for row in results.comparisons if row.a == "b"] == [4]


def test_titles_from_elsewhere_do_not_lead_the_terminal(tmp_path: Path) -> None:
    results = answer(tmp_path, make(tmp_path), {})
    text = as_text(replace(results, title="a\x1b[31mred\x9b0m", question="b\x07\tc\u200d"))
    assert "a\ufffd[31mred\ufffd0m" in text and "b\ufffd\tc\u200d" in text


def test_a_cell_whose_seeds_were_judged_on_different_documents_is_not_compared(tmp_path: Path) -> None:
    results = answer_where(
        tmp_path, lambda result: replace(result, data={**result.data, "validation_digest": "others"})
    )
    row = next(row for row in results.comparisons if row.a == "b")
    assert (row.verdict, row.why) == ("incomplete", "judged on other data")
    assert next(cell for cell in results.cells if cell.name == "b").val_loss is None


def test_runs_of_earlier_versions_have_no_losses_by_document(tmp_path: Path) -> None:
    study = make(tmp_path)
    store = Store(tmp_path / "out")
    plant(study, store, {"b": 0.5})
    for run in study.runs():
        if run.cell == "b":
            folder_of(study, store, "b", run.seed).validation_documents.unlink()
    results = answer_of(study, store)
    row = next(row for row in results.comparisons if row.a == "b")
    assert (row.verdict, row.difference) == ("incomplete", None)
    assert row.why == "b-seed0 has no losses by document; train it again"
    cell = next(cell for cell in results.cells if cell.name == "b")
    assert cell.val_loss == pytest.approx(3.5, abs=0.2) and cell.low is None


def test_seeds_that_not_all_cells_have_are_dropped_and_named(tmp_path: Path) -> None:
    study = make(tmp_path, "{id: x, says: y, difference: [c, a], above: 0}")
    store = Store(tmp_path / "out")
    plant(study, store, {})
    folder = folder_of(study, store, "b", 3)
    folder.result.unlink()
    folder.write_status("killed", step=7)
    results = answer_of(study, store)
    assert results.loss_family.seeds == (0, 1, 2, 4) and {row.seeds for row in results.comparisons} == {4}
    for text in (as_text(results), as_markdown(results), outputs(results, study, store.out)["html"]):
        assert "Seed 3 does not count" in text and "b-seed3 was killed" in text
    losses = {name: [read_losses(folder_of(study, store, name, seed)) for seed in (0, 1, 2, 4)] for name in "abc"}
    for name in "bc":
        row = next(row for row in results.comparisons if row.a == name)
        assert row.difference == pytest.approx(np.mean(losses[name]) - np.mean(losses["a"]), abs=1e-12)
    assert next(cell for cell in results.cells if cell.name == "a").judged == (0, 1, 2, 4)


def test_a_cell_with_one_finished_seed_is_apart(tmp_path: Path) -> None:
    study = make(tmp_path, "{id: x, says: y, difference: [b, a], above: 0}")
    store = Store(tmp_path / "out")
    plant(study, store, {"b": 0.5})
    for seed in (0, 1, 3, 4):
        folder = folder_of(study, store, "b", seed)
        folder.result.unlink()
        folder.write_status("killed", step=7)
    results = answer_of(study, store)
    rows = {row.a: row for row in results.comparisons}
    assert (rows["b"].verdict, rows["b"].low, rows["b"].seeds) == ("one seed", None, 1)
    both = [read_losses(folder_of(study, store, name, 2)).mean() for name in "ba"]
    assert rows["b"].difference == pytest.approx(both[0] - both[1], abs=1e-12), "of the seed that both have"
    assert {rows[name].seeds for name in "cdef"} == {5}, "the other cells keep their seeds"
    assert results.claims[0].words == "not judged (one seed)"
    assert "b is compared under one seed only" in as_text(results)


def test_a_cell_that_has_learned_nothing_has_no_verdict(tmp_path: Path) -> None:
    words = EVERY_KIND.replace("[a, b, c]", "[a, c, b]")
    results = answer(tmp_path, make(tmp_path, words), {"b": 2.5})
    row = next(row for row in results.comparisons if row.a == "b")
    assert row.verdict == "not judged" and row.difference is None
    assert row.why == "b has learned nothing"
    for claim in results.claims:
        assert claim.verdict == "not judged" and "learned nothing" in (claim.why or ""), claim
    cell = next(cell for cell in results.cells if cell.name == "b")
    assert cell.val_loss == pytest.approx(5.5, abs=0.2) and cell.learned is False
    text = as_text(results)
    assert "No verdict on b, which has learned nothing: its loss 5.5" in text
    assert text.count("unigram entropy 5.00") == 1, "too long for the fields of tables"


def test_few_documents_give_no_verdict(tmp_path: Path) -> None:
    study = make(tmp_path, "{id: x, says: y, difference: [b, a], above: 0}")
    store = Store(tmp_path / "out")
    plant(study, store, {"b": 0.5})
    for run in study.runs():
        folder = folder_of(study, store, run.cell, run.seed)
        write_losses(folder, read_losses(folder)[:19])
    results = answer_of(study, store)
    assert {row.verdict for row in results.comparisons} == {"few documents"}
    assert results.claims[0].words == "not judged (few documents)"


def test_two_seeds_of_few_cells_bound_nothing(tmp_path: Path) -> None:
    head = HEAD[: HEAD.index("  - {name: c")]
    study = make(tmp_path, "{id: x, says: y, difference: [b, a], above: 0}", seeds="0,1", head=head)
    results = answer(tmp_path, study, {"b": 0.5})
    (row,) = results.comparisons
    assert (row.verdict, row.low, row.high, row.resolvable) == ("not resolved", None, None, None)
    assert "add a seed" in " ".join(row.notes) and "add a seed" in comparisons_table(results).text()
    assert results.claims[0].verdict == "not resolved"
    json.loads(json.dumps(to_plain(results), allow_nan=False))


def test_one_and_two_seeds_carry_a_warning(tmp_path: Path) -> None:
    one = answer(tmp_path / "one", make(tmp_path / "one", seeds="0"), {"b": 0.05})
    two = answer(tmp_path / "two", make(tmp_path / "two", seeds="0,1"), {"b": 0.05})
    five = answer(tmp_path / "five", make(tmp_path / "five"), {"b": 0.05})
    assert "One seed" in one.notes[0] and "checkpoints" in one.notes[0]
    assert "Two seeds" in two.notes[0]
    assert not five.notes
    for results in (one, two, five):
        text = as_text(results)
        assert all(note in text for note in results.notes)
        assert "tokens per run (0.15 per parameter)" in text


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
    assert results.claims[0].words == "not judged (b-seed3 diverged)"
    assert {row.seeds for row in results.comparisons if row.a != "b"} == {5}
    assert not results.complete
    assert len(results.runs) == 30
    assert [(run.cell, run.seed, run.status, run.message) for run in results.failures] == [
        ("b", 3, "diverged", "the loss was nan")
    ]
    for text in (as_text(results), as_markdown(results), as_csv(results)):
        assert "diverged" in text
    assert next(cell for cell in results.cells if cell.name == "c").val_loss == pytest.approx(3, abs=0.2)


def test_a_run_whose_result_was_removed_has_not_finished(tmp_path: Path) -> None:
    """So that the study finishes it again from its last checkpoint."""
    study = make(tmp_path)
    store = Store(tmp_path / "out")
    plant(study, store, {})
    folder = folder_of(study, store, "b", 3)
    folder.write_status("finished", step=7)
    folder.result.unlink()
    (run,) = (run for run in answer_of(study, store).runs if (run.cell, run.seed) == ("b", 3))
    assert run.status == "killed"
