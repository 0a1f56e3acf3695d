"""From finished runs to comparisons, claims and tables, on studies with planted effects."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decaystudy.plotting import svg
from decaystudy.runs.folder import RunFolder
from decaystudy.serial import to_plain
from decaystudy.statistics import compare
from decaystudy.study.analysis.expected import expected_resolution
from decaystudy.study.analysis.results import SCHEMA, ClaimResult, StudyResults
from decaystudy.study.definition.expand import Study, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.hardware import choose_speed
from decaystudy.study.planning.plan import plan_study
from decaystudy.study.reporting import figures
from decaystudy.study.reporting.documents import as_csv, as_markdown, as_tex, as_text
from decaystudy.study.reporting.html import as_html
from decaystudy.study.reporting.report import read_results, write_results
from decaystudy.study.reporting.tables import comparisons_table
from tests.study import small
from tests.study.planted import (
    BYTES_PER_TOKEN,
    DOCUMENTS,
    ENTROPY,
    TOKENS,
    answer_of,
    plant,
    read_losses,
    write_losses,
)

CELLS = "cells:\n" + "".join(
    f"  - {{name: {name}, decay: simple, p: 0.{p}}}\n" for name, p in zip("abcdef", range(3, 9), strict=True)
)
HEAD = "title: T\nquestion: Q?\nscale: tiny\naxis: p\nbaseline: a\n" + CELLS


def make(folder: Path, claims: str = "", seeds: str = "0-4", head: str = HEAD) -> Study:
    file = small.write_study(folder, head + (f"claims:\n  - {claims}\n" if claims else ""))
    return expand(read_study(str(file)), seeds=tuple(range(5)) if seeds == "0-4" else tuple(map(int, seeds.split(","))))


def folder_of(study: Study, store: Store, cell: str, seed: int) -> RunFolder:
    folder = store.find(next(run for run in study.runs() if (run.cell, run.seed) == (cell, seed)))
    assert folder is not None
    return folder


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
    ("difference: [b, a], outside: 0.02", {"b": -0.1}, {"b": 0.0}, {"b": 0.02}),
    ("difference: [[b, a], [c, a]], above: 0", {"b": 0.1, "c": 0.1}, {"b": 0.1, "c": -0.1}, {"b": 0.1}),
    ("ordering: [a, b, c]", {"b": 0.1, "c": 0.2}, {"b": 0.2, "c": 0.1}, {"b": 0.1, "c": 0.1}),
]


@pytest.mark.parametrize(("words", "supporting", "refuting", "between"), KINDS)
def test_claims_about_losses(
    tmp_path: Path, words: str, supporting: dict[str, float], refuting: dict[str, float], between: dict[str, float]
) -> None:
    for i, (effects, verdict) in enumerate(
        [(supporting, "supported"), (refuting, "refuted"), (between, "not resolved"), (supporting, "not resolved")]
    ):
        noise = NOISY if i == 3 else {}
        found = claim(tmp_path / str(i), words, effects, **noise)
        assert (found.verdict, found.why) == (verdict, None), (effects, found)
        part = found.decisive
        assert part is not None and part.verdict == verdict
        assert part.low is not None and part.effect is not None and part.high is not None
        assert part.low < part.effect < part.high


@pytest.mark.parametrize(
    ("words", "supporting", "refuting", "between"),
    [
        ("decay: {cell: b, layers: every}, above: 0.6", [0.7, 0.9, 0.8], [0.7, 0.5, 0.8], [0.9, 0.6, 0.8]),
        ("decay: {cell: b, layers: every}, between: [0.6, 0.9]", [0.7, 0.8, 0.8], [0.7, 0.95, 0.8], [0.7, 0.9, 0.8]),
        ("decay: {cell: b, layers: some}, below: 0.3", [0.7, 0.2, 0.8], [0.7, 0.4, 0.8], [0.7, 0.3, 0.8]),
        ("decay: {cell: b, layers: mean}, between: [0.7, 0.9]", [0.8] * 3, [0.5] * 3, [0.9] * 3),
        ("decay: {cell: b, layers: 1}, above: 0.5", [0, 0.6, 0], [1, 0.4, 1], [1, 0.5, 1]),
        ("decay: {cell: b, layers: late-minus-early}, below: -0.1", [0.9, 0.5, 0.3], [0.5] * 3, [0.9, 0.1, 0.8901]),
        ("decay: {cell: b, minus: a, layers: every}, above: 0", [0.75, 0.85, 0.95], [0.8, 0.7, 1.0], [0.7, 0.9, 1.0]),
        ("decay: {cell: b, minus: a, statistic: mean}, above: 0", [0.9] * 3, [0.7] * 3, [0.7, 0.8, 0.9]),
        ("decay: {cell: b, minus: a, layers: count above 0.75}, below: 0", [0.7, 0.7, 0.9], [0.8, 0.8, 0.8], None),
    ],
)
def test_claims_about_decays(
    tmp_path: Path, words: str, supporting: list[float], refuting: list[float], between: list[float] | None
) -> None:
    planted = [(supporting, "supported"), (refuting, "refuted"), (between, "not resolved")]
    for i, (layers, verdict) in enumerate(planted):
        if layers is not None:
            found = claim(tmp_path / str(i), words, {}, decays={"b": layers}, starts={"b": [0.99, 0.1, 0.05]})
            assert (found.verdict, found.why) == (verdict, None), (layers, found)


def test_a_decay_is_shown_as_it_is_and_differences_as_half_lives(tmp_path: Path) -> None:
    one = claim(tmp_path / "one", "decay: {cell: b, layers: 1}, above: 0.6", {}, decays={"b": [0.7, 0.75, 0.9]})
    assert one.decisive is not None and one.decisive.effect == pytest.approx(0.75, abs=0.005)
    two = claim(tmp_path / "two", "decay: {cell: b, minus: a, layers: 1}, above: 0", {}, decays={"b": [0.7, 0.9, 0.9]})
    assert two.decisive is not None
    assert two.decisive.effect == pytest.approx(math.log(math.log(0.8) / math.log(0.9)), abs=0.05)
    assert "log half-life" in two.decisive.about


def test_a_count_is_not_resolved_where_seeds_disagree(tmp_path: Path) -> None:
    found = claim(tmp_path, "decay: {cell: b, layers: count above 0.8}, above: 1.5", {}, decays={"b": [0.7, 0.8, 0.9]})
    assert found.verdict == "not resolved"


def test_decays_that_have_not_left_their_start_decide_nothing(tmp_path: Path) -> None:
    planted = {"decays": {"b": [0.7, 0.9, 0.8]}, "starts": {"b": [0.7, 0.9, 0.8]}}
    stayed = claim(tmp_path / "stayed", "decay: {cell: b, layers: every}, above: 0.6", {}, **planted)
    assert (stayed.verdict, stayed.why) == ("not judged", "λ has not left its start")
    same = claim(tmp_path / "same", "decay: {cell: b, minus: a, layers: count above 0.5}, below: 0", {})
    assert (same.verdict, same.why) == ("not judged", "λ has not left its start")
    unknown = claim(tmp_path / "unknown", "decay: {cell: b, layers: every}, above: 0.6", {}, starts={"b": []})
    assert (unknown.verdict, unknown.why) == ("not judged", "no record of step 0")


CONSTANTS = "title: T\nquestion: Q?\nscale: tiny\naxis: c\nbaseline: a\ncells:\n" + "".join(
    f"  - {{name: {name}, decay: constant, c: 0.{c}}}\n" for name, c in zip("abcdef", range(3, 9), strict=True)
)


def test_claims_about_an_optimum(tmp_path: Path) -> None:
    half_lives = dict(zip("abcdef", (0.7, 1.5, 3, 6, 12, 24), strict=True))
    decays = {name: [0.5 ** (1 / half_life)] * 3 for name, half_life in half_lives.items()}
    for i, (best, verdict) in enumerate([(3.0, "supported"), (20.0, "refuted"), (None, "not resolved")]):
        planted = {name: 0.0 if best is None else 0.1 * math.log(h / best) ** 2 for name, h in half_lives.items()}
        study = make(tmp_path / str(i), "{id: x, says: y, optimum: {at: 0.8}}", head=CONSTANTS)
        found = answer(tmp_path / str(i), study, planted, decays=decays).claims[0]
        assert found.verdict == verdict, found
        if best is not None:
            assert found.decisive is not None
            assert found.decisive.effect == pytest.approx(0.5 ** (1 / best), abs=0.02)


# -- what is never a verdict -------------------------------------------------------------------------------------

EVERY_KIND = """{id: x, says: y, difference: [b, a], above: 0}
  - {id: order, says: y, ordering: [a, b, c]}
  - {id: near, says: y, decay: {cell: b, layers: every}, above: 0.1}
  - {id: best, says: y, optimum: {at: 0.8}}
  - {id: either, says: y, difference: [[b, a], [c, a]], outside: 0.02, holds_for: any}
  - {id: higher, says: y, winner: [b, a]}
  - {id: always, says: y, difference: [b, a], above: 0, every_scale: true}"""
VERDICTS = re.compile(r"\b(better|worse|equivalent|not resolved|supported|refuted)\b")


def outputs(results: StudyResults, study: Study, out: Path) -> dict[str, str]:
    """Everything that the answer of a study is written as."""
    speed = choose_speed("tiny", gpu="h100", devices=1, jobs=1, on_cpu=False)
    page = as_html(results, plan_study(study, Store(out), speed, 1), out)
    plain = to_plain(results)
    return {
        "text": as_text(results),
        "csv": as_csv(results),
        "markdown": as_markdown(results),
        "latex": as_tex(results),
        "html": re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL),
        "json": json.dumps([plain["comparisons"], plain["claims"], plain["every_scale"], plain["cells"]]),
        "figures": "".join(svg(figure) for figure in figures.all_figures(results).values()),
    }


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


def test_three_seeds_find_a_planted_effect_and_none_where_there_is_none(tmp_path: Path) -> None:
    study = make(tmp_path / "some", "{id: x, says: y, difference: [b, a], above: 0}", seeds="0,1,2")
    results = answer(tmp_path / "some", study, {"b": 0.05, "c": -0.05})
    assert {row.a: row.verdict for row in results.comparisons if row.a in "bc"} == {"b": "worse", "c": "better"}
    for form, text in outputs(results, study, tmp_path / "some" / "out").items():
        assert form in ("csv", "figures") or ("worse" in text and "better" in text) or form == "latex", form
    study = make(tmp_path / "none", "{id: x, says: y, difference: [b, a], above: 0}", seeds="0,1,2")
    results = answer(tmp_path / "none", study, {})
    assert {row.verdict for row in results.comparisons} == {"not resolved"}
    assert results.claims[0].verdict == "not resolved"
    assert "3 seeds resolve ±" in as_text(results) and "95%" in as_text(results)


def test_a_row_and_a_claim_on_the_same_pair_show_the_same_interval(tmp_path: Path) -> None:
    words = """{id: x, says: y, difference: [b, a], above: 0.02}
  - {id: mirror, says: y, difference: [a, b], below: 0}
  - {id: other, says: y, difference: [[c, d], [e, f]], above: 0}"""
    results = answer(tmp_path, make(tmp_path, words, seeds="0,1,2"), {"b": 0.01})
    row = next(row for row in results.comparisons if row.a == "b")
    part, mirror = results.claims[0].parts[0], results.claims[1].parts[0]
    assert (row.difference, row.low, row.high) == (part.effect, part.low, part.high)
    assert mirror.low is not None and mirror.high is not None
    assert (row.low, row.high) == (-mirror.high, -mirror.low)
    family = results.loss_family
    assert family.effects == 7 and family.critical == row.critical and family.seeds == (0, 1, 2)
    assert row.low == pytest.approx((row.difference or 0) - (row.critical or 0) * (row.standard_error or 0))
    assert (family.margin, row.margin) == (0.02, 0.02)
    alone = answer(tmp_path / "alone", make(tmp_path / "alone", seeds="0,1,2"), {"b": 0.01})
    fewer = next(row for row in alone.comparisons if row.a == "b")
    assert (fewer.critical or 0) < (row.critical or 0), "claims count in the family"


def test_a_margin_makes_cells_equivalent_and_its_lack_does_not(tmp_path: Path) -> None:
    words = "{id: x, says: y, difference: [b, a], within: 0.05}\n  - {id: z, says: y, difference: [a, c], above: -0.1}"
    results = answer(tmp_path, make(tmp_path, words), {"b": 0.02})
    rows = {row.a: row for row in results.comparisons}
    assert rows["b"].low is not None and rows["b"].low > 0
    assert (rows["b"].verdict, rows["b"].margin) == ("equivalent", 0.05), "also where zero is excluded"
    assert (rows["c"].verdict, rows["c"].margin) == ("equivalent", 0.1)
    assert (rows["d"].verdict, rows["d"].margin) == ("not resolved", None)
    assert "equivalent (within 0.05)" in comparisons_table(results).text()


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


def test_a_cell_whose_seeds_were_judged_on_different_documents_is_not_compared(tmp_path: Path) -> None:
    study = make(tmp_path)
    store = Store(tmp_path / "out")
    plant(study, store, {})
    folder = folder_of(study, store, "b", 3)
    result = folder.read_result()
    assert result is not None
    folder.write_result(replace(result, data={**result.data, "validation_digest": "others"}))
    results = answer_of(study, store)
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
    assert "b has learned nothing: its loss 5.5" in (row.why or "") and "unigram entropy 5.00" in (row.why or "")
    for claim in results.claims:
        assert claim.verdict == "not judged" and "learned nothing" in (claim.why or ""), claim
    cell = next(cell for cell in results.cells if cell.name == "b")
    assert cell.val_loss == pytest.approx(5.5, abs=0.2) and cell.learned is False
    assert "No verdict on b" in as_text(results)


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


def test_across_tokenizers_only_bits_per_byte_are_compared(tmp_path: Path) -> None:
    """Cell b has the same loss per byte as the others, and twice the loss per token."""
    study = make(tmp_path, "{id: x, says: y, difference: [b, a], within: 0.05}")
    store = Store(tmp_path / "out")
    plant(study, store, {})
    for run in study.runs():
        if run.cell == "b":
            folder = folder_of(study, store, "b", run.seed)
            loss = read_losses(folder)[:-5]
            tokens = np.full(len(loss), TOKENS // 2)
            np.savez(folder.validation_documents, nll=loss * TOKENS, tokens=tokens, bytes=2 * BYTES_PER_TOKEN * tokens)
            result = folder.read_result()
            assert result is not None
            folder.write_result(
                replace(result, data={**result.data, "tokenizer_digest": "w", "validation_digest": "w"})
            )
    results = answer_of(study, store)
    rows = {row.a: row for row in results.comparisons}
    assert (rows["b"].unit, rows["c"].unit) == ("bits per byte", "nats per token")
    assert abs(rows["b"].difference or 9) < 0.1 and rows["b"].verdict == "not resolved"
    assert rows["b"].difference == rows["b"].bits_per_byte and rows["b"].margin is None
    assert results.claims[0].verdict == "not judged" and "tokenizers" in (results.claims[0].why or "")
    text = as_text(results)
    assert "bits per byte" in text and "perplexity" not in text and "validation loss" not in text
    assert "nats" not in comparisons_table(results).headings
    # Whatever is printed of several tokenizers together is in bits per byte: the cells of one tokenizer too.
    plan = plan_study(study, store, choose_speed("tiny", gpu=None, devices=1, jobs=1, on_cpu=True), 1)
    for form in (text, as_markdown(results), as_tex(results), as_html(results, plan, store.out)):
        assert "nats per token" not in form.replace("its bound is in nats per token", "")
    assert results.loss_family.unit == "bits per byte" and results.loss_family.margin is None
    c = next(cell for cell in results.cells if cell.name == "c")
    line = next(line for line in text.splitlines() if line.startswith("c "))
    assert f"{rows['c'].bits_per_byte:+.4f}".replace("-", "−")[:6] in line and c.bits_per_byte is not None
    assert figures.loss_by_position(results) is None and "different tokenizers" in " ".join(results.notes)


def test_bits_per_byte_stand_beside_the_loss(tmp_path: Path) -> None:
    results = answer(tmp_path, make(tmp_path), {"b": 0.05})
    for cell in results.cells:
        assert cell.val_loss is not None
        assert cell.bits_per_byte == pytest.approx(cell.val_loss / math.log(2) / BYTES_PER_TOKEN)
    assert "bits per byte" in as_text(results) and "bits per byte" in as_tex(results)
    assert "bits_per_byte" in as_csv(results).splitlines()[0]


def test_a_dry_run_across_tokenizers_says_nothing_in_nats(tmp_path: Path) -> None:
    head = HEAD.replace("axis: p\nbaseline: a", "axis: tokenizer\nbaseline: t300")
    head = head[: head.index("cells:")] + "grid: {tokenizer: {t300: 'bpe:300', t400: 'bpe:400'}}\n"
    study = expand(read_study(str(small.write_study(tmp_path, head))), seeds=(0, 1, 2))
    said = expected_resolution(study, [])
    assert "bits per byte" in said and "nats" not in said


def test_what_runs_were_computed_with_is_named_where_it_differs(tmp_path: Path) -> None:
    study = make(tmp_path)
    store = Store(tmp_path / "out")
    plant(study, store, {})
    for run in study.runs():
        folder = folder_of(study, store, run.cell, run.seed)
        result = folder.read_result()
        assert result is not None
        torch = "2.12" if run.cell == "b" else "2.13"
        changed = replace(result, versions={"torch": torch}, device="cpu", micro_batch_size=8, world_size=1)
        if run.cell == "c":
            fla = {"flash-linear-attention": "0.6.0"}
            changed = replace(changed, versions=changed.versions | fla, micro_batch_size=4, world_size=2, device="H100")
        folder.write_result(changed)
    results = answer_of(study, store)
    rows = {row.a: row.notes for row in results.comparisons}
    assert rows["b"] == ("its runs used torch 2.12 and 2.13",)
    assert rows["c"] == (
        "its runs used flash-linear-attention 0.6.0 and none",
        "its runs used H100 and cpu",
        "its runs had micro-batches of 4 and 8",
        "its runs had numbers of processes: 1 and 2",
    )
    for text in (as_text(results), as_markdown(results), as_tex(results)):
        assert "its runs had micro-batches of 4 and 8" in text


# -- numbers -----------------------------------------------------------------------------------------------------


def test_comparisons_find_what_was_planted(tmp_path: Path) -> None:
    results = answer(tmp_path, make(tmp_path), {"b": 0.05, "c": -0.05})
    rows = {row.a: row for row in results.comparisons}
    assert {row.b for row in rows.values()} == {"a"}
    assert (rows["b"].verdict, rows["c"].verdict) == ("worse", "better")
    for row in rows.values():
        assert row.low is not None and row.difference is not None and row.high is not None
        assert (row.low <= 0 <= row.high) == (row.verdict == "not resolved")
        assert row.low < row.difference < row.high
        assert (row.parameters, row.unit, row.documents) == (0, "nats per token", DOCUMENTS)
        assert row.bits_per_byte == pytest.approx(row.difference / math.log(2) / BYTES_PER_TOKEN)


def test_comparisons_are_those_of_the_statistics(tmp_path: Path) -> None:
    study = make(tmp_path, seeds="0,1,2")
    results = answer(tmp_path, study, {"b": 0.01})
    store = Store(tmp_path / "out")
    nll = {
        name: [read_losses(folder_of(study, store, name, seed)) * TOKENS for seed in study.seeds] for name in "abcdef"
    }
    for row, same in zip(results.comparisons, compare(nll, [TOKENS] * DOCUMENTS, "a"), strict=True):
        assert (row.a, row.difference, row.low, row.high, row.resolvable) == pytest.approx(
            (same.cell, same.difference, same.low, same.high, same.resolvable), abs=1e-12
        )


def test_digits_are_those_that_the_error_allows(tmp_path: Path) -> None:
    results = answer(tmp_path, make(tmp_path, seeds="0,1,2"), {"b": 0.05}, seed_noise=0.02)
    row = next(row for row in results.comparisons if row.a == "b")
    assert row.standard_error is not None and 0.0095 < row.standard_error < 0.095
    line = next(line for line in as_text(results).splitlines() if line.startswith("b "))
    assert re.search(r"[+−]0\.\d{3} \[[+−]0\.\d{3}, [+−]0\.\d{3}\]", line), line


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
