"""From finished runs to comparisons and files, on studies with planted effects."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from decaystudy.serial import to_plain
from decaystudy.statistics import compare
from decaystudy.study.analysis.results import SCHEMA
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting.documents import as_markdown, as_tex, as_text
from decaystudy.study.reporting.report import read_results, write_results
from decaystudy.study.reporting.tables import comparisons_table
from tests.study.judged import answer, folder_of, make, outputs
from tests.study.planted import (
    BYTES_PER_TOKEN,
    DOCUMENTS,
    ENTROPY,
    TOKENS,
    answer_of,
    plant,
    read_losses,
)


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
        if run.cell in "de":
            unused = {"flash-linear-attention": "0.6.0", "triton": "3.6.0" if run.seed else "3.7.0"}
            backend = "chunked" if run.cell == "d" else "triton"
            changed = replace(result, versions={"torch": "2.13"} | unused, backend=backend)
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
    assert rows["d"] == (), "what a backend doesn't use can't change its numbers"
    assert rows["e"] == ("its runs used triton 3.6.0 and 3.7.0 and none",), "of a's runs the backend is not known"
    for text in (as_text(results), as_markdown(results), as_tex(results)):
        assert "its runs had micro-batches of 4 and 8" in text


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
