"""The answer of a study in a sentence or two: what its verdicts say, no more, and in every output."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from decaystudy.cli import main
from decaystudy.formatting import count
from decaystudy.statistics.digits import rounded
from decaystudy.study.analysis.pairing import split_names
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.definition.expand import Study, expand
from decaystudy.study.definition.library import describe_studies
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting.documents import as_markdown, as_text
from decaystudy.study.reporting.report import read_results, write_results
from decaystudy.study.run import StudyRequest, run_study
from tests.study import planted, small
from tests.study.judged import HEAD, VERDICTS, folder_of, make, outputs
from tests.study.planted import answer_of, plant, write_answers

GRID = """title: T
question: Q?
scale: tiny
axis: sharing
baseline: independent
grid:
  decay: [mamba2, gla, hgrn2, lightnet]
  sharing: {independent: false, shared: true}
claims:
  - {id: same, says: y, difference: [hgrn2-shared, hgrn2-independent], within: 0.05}
"""
NEVER = ("no difference", "no effect", "the same", "nan", "None", "inf")


def answered(folder: Path, text: str, effects: Mapping[str, float], seeds: int = 3, **more: Any) -> StudyResults:
    study = expand(read_study(str(small.write_study(folder, text))), seeds=tuple(range(seeds)))
    plant(study, Store(folder / "out"), effects, **more)
    return answer_of(study, Store(folder / "out"))


def test_levels_are_told_together_with_effect_margin_and_what_is_not_resolved(tmp_path: Path) -> None:
    results = answered(tmp_path, GRID, {"gla-shared": 0.2, "lightnet-shared": 0.15, "mamba2-shared": -0.1})
    rows = {row.a: row for row in results.comparisons}
    size = {name: rounded(abs(row.difference or 0), row.standard_error) for name, row in rows.items()}
    run = results.runs[0]
    assert run.tokens is not None
    assert results.answer == (
        f"At tiny, 3 seeds, {count(run.tokens)} tokens per run (0.15 to 0.16 tokens per parameter): shared in place of "
        f"independent is worse by {size['gla-shared']} nats per token for gla and {size['lightnet-shared']} for "
        f"lightnet, better by {size['mamba2-shared']} for mamba2, and equivalent within ±0.05 for hgrn2. "
        "Of 1 claim, 1 is supported (same)."
    )
    noisy = answered(tmp_path / "noisy", GRID, {"gla-shared": 0.9}, seed_noise=0.1)
    assert {str(row.verdict) for row in noisy.comparisons} == {"worse", "not resolved"}
    assert re.search(
        r"for mamba2, hgrn2 and lightnet nothing is resolved at ±0\.\d\d( to ±0\.\d\d)?\. Of 1 claim, 1 is not "
        r"resolved \(same\)\.$",
        noisy.answer,
    ), noisy.answer
    smallest = min(row.resolvable or 0 for row in noisy.comparisons if row.verdict == "not resolved")
    assert f"±{smallest:.2g}" in noisy.answer


def test_cells_beside_one_baseline_and_those_that_stand_apart(tmp_path: Path) -> None:
    study = make(tmp_path, seeds="0,1,2")
    store = Store(tmp_path / "out")
    plant(study, store, {"b": 0.3, "c": -0.3})
    folder = folder_of(study, store, "d", 1)
    folder.result.unlink()
    folder.write_status("diverged", step=7, message="the loss was nan")
    found = answer_of(study, store).answer
    assert ", with 17 of 18 runs finished: beside a, b is worse by 0." in found
    assert " c is better by 0." in found and "for e and f nothing is resolved at ±0." in found
    assert "; not compared is d with a (d-seed1 diverged)." in found


def test_many_pairs_that_stand_apart_are_counted(tmp_path: Path) -> None:
    study = make(tmp_path, seeds="0,1,2")
    store = Store(tmp_path / "out")
    plant(study, store, {"b": 0.3})
    for cell in "cdef":
        folder = folder_of(study, store, cell, 1)
        folder.result.unlink()
        folder.write_status("diverged", step=7, message="the loss was nan")
    found = answer_of(study, store).answer
    assert "c with a (c-seed1 diverged); " in found and "; nor is 1 other pair." in found


@pytest.mark.parametrize("name", [name for name, _ in describe_studies()])
def test_every_study_of_the_package_has_an_answer_that_its_verdicts_bear_out(name: str, tmp_path: Path) -> None:
    study = expand(read_study(name), scale="tiny", seeds=(0, 1, 2))
    effects = {cell.name: (0.0, 0.2, -0.05, 0.0)[i % 4] for i, cell in enumerate(study.cells)}
    store = Store(tmp_path)
    plant(study, store, effects, starts={cell.name: [0.5] * 3 for cell in study.cells}, seed_noise=0.01)
    tasks = ["piqa", "boolq"] if name != "recall" else [f"recall_needle_{at}" for at in (1, 2, 4, 64, 128, 192)]
    for run in study.runs() if name in ("recall", "sharing") else []:
        found = store.find(run)
        assert found is not None
        write_answers(found, dict.fromkeys(tasks, 0.5 + effects[run.cell]), run.seed)
    results = answer_of(study, store)
    told, _, claims = results.answer.partition(". Of ")
    assert told.startswith("At tiny, 3 seeds, ") and re.search(
        r" tokens per run \([\d.]+( to [\d.]+)? tokens per", told
    )
    assert len(results.answer) < 1200 and not any(words in results.answer for words in NEVER)
    for verdict in ("worse", "better", "equivalent"):
        assert (f"{verdict} " in told) == any(row.verdict == verdict for row in results.comparisons), verdict
    assert ("nothing is resolved" in told) == any(row.verdict == "not resolved" for row in results.comparisons)
    for row in results.comparisons:
        if row.verdict in ("worse", "better"):
            assert rounded(abs(row.difference or 0), row.standard_error) in told or "others by" in told, row
    for verdict in ("supported", "refuted", "not resolved", "not judged"):
        number = sum(claim.verdict == verdict for claim in results.claims)
        text = f"{number} {'is' if number == 1 else 'are'} {verdict}"
        assert (text in claims) if number else (f" {verdict} (" not in claims), (verdict, claims)
    if name == "recall":
        assert re.search(r"half-remembers-near, accuracy of constant-0.5 on recall_needle_\d.*: 0\.\d", claims), claims


def test_claims_on_decays_are_told_where_nothing_is_compared(tmp_path: Path) -> None:
    claims = "claims:\n  - {id: slow, says: y, decay: {cell: b, layers: mean}, above: 0.6}\n"
    results = answered(tmp_path, HEAD.replace("axis: p\nbaseline: a\n", "") + claims, {})
    assert re.fullmatch(
        r"At tiny, 3 seeds, \S+ k tokens per run \(0\.15 tokens per parameter\): of 1 claim, 1 is supported "
        r"\(slow, median λ, layers: mean, of b: 0\.8\d*\)\.",
        results.answer,
    ), results.answer


def test_tasks_are_told_where_no_claim_is_about_them(tmp_path: Path) -> None:
    study = make(tmp_path, seeds="0,1,2")
    store = Store(tmp_path / "out")
    plant(study, store, {})
    for run in study.runs():
        found = store.find(run)
        assert found is not None
        write_answers(found, dict.fromkeys(("piqa", "boolq"), 0.8 if run.cell == "b" else 0.5), run.seed)
    told = answer_of(study, store).answer
    assert re.search(
        r"; in the mean over 2 tasks, beside a, b is better by 0\.\d+, and for c, d, e and f nothing is", told
    )
    assert "accuracy" not in told


# -- nothing can be said -----------------------------------------------------------------------------------------


def nothing(results: StudyResults) -> str:
    assert results.answer.startswith("Nothing can be said yet, because "), results.answer
    assert "scale tiny" in results.answer and "tokens per parameter" in results.answer
    assert not VERDICTS.search(results.answer)
    return results.answer


def test_one_seed_says_nothing(tmp_path: Path) -> None:
    results = answered(tmp_path, HEAD, {"b": 0.5}, seeds=1)
    assert "one seed tells nothing about cells" in nothing(results) and "seed 0, " in results.answer


def test_a_study_that_has_not_run_says_so(tmp_path: Path) -> None:
    study = make(tmp_path, seeds="0,1,2")
    results = answer_of(study, Store(tmp_path / "out"))
    assert "none of its 18 runs has finished (planned)" in nothing(results) and "seeds 0, 1, 2" in results.answer


def test_few_documents_say_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted, "DOCUMENTS", 12)
    results = answered(tmp_path, HEAD, {"b": 0.5})
    assert "12 held-out documents are too few: a verdict takes 20" in nothing(results)


def test_failed_cells_and_cells_that_learned_nothing_are_named(tmp_path: Path) -> None:
    study = make(tmp_path, seeds="0,1,2")
    store = Store(tmp_path / "out")
    plant(study, store, {})
    for cell in "bcdef":
        folder = folder_of(study, store, cell, 0)
        folder.result.unlink()
        folder.write_status("diverged", step=7, message="the loss was nan")
    assert "because b-seed0 diverged; and c-seed0 diverged; and d-seed0 diverged (and 2 more)." in nothing(
        answer_of(study, store)
    )
    results = answered(tmp_path / "dull", HEAD, {"a": 2.5})
    assert "because a has learned nothing." in nothing(results)


def test_a_study_that_compares_nothing_says_what_to_add(tmp_path: Path) -> None:
    results = answered(tmp_path, HEAD.replace("axis: p\nbaseline: a\n", ""), {})
    assert "it compares nothing: give its file a baseline, comparisons or claims" in nothing(results)


def test_two_seeds_of_few_cells_resolve_nothing_and_say_why(tmp_path: Path) -> None:
    text = HEAD[: HEAD.index("  - {name: d")]
    results = answered(tmp_path, text, {"b": 0.5}, seeds=2)
    assert "beside a, for b and c nothing is resolved, two seeds of so few cells being too few" in results.answer


# -- units, names, outputs ---------------------------------------------------------------------------------------


def test_other_tokenizers_are_told_in_bits_per_byte(tmp_path: Path) -> None:
    other = {"tokenizer_digest": "w", "validation_digest": "w"}
    claims = "claims:\n  - {id: x, says: y, difference: [c, a], within: 0.1}\n"
    results = answered(tmp_path, HEAD + claims, {"b": 0.9}, data={"b": other})
    assert results.tokenizers == 2 and "bits per byte" in results.answer and "nats" not in results.answer
    row = next(row for row in results.comparisons if row.a == "c")
    assert row.verdict == "equivalent" and "c is equivalent within ±0.036" in results.answer


def test_names_are_split_into_what_is_common_and_what_is_replaced() -> None:
    assert split_names("gla-inside-shared", "gla-inside-independent") == ("gla-inside", "shared", "independent")
    assert split_names("gla-start-0.9", "mamba2-start-0.9") == ("start-0.9", "gla", "mamba2")
    assert split_names("p-0.9-rate-0.1", "p-0.9-rate-0.2", ["recipe.rate"]) == ("p-0.9", "rate-0.1", "rate-0.2")
    assert split_names("gla", "mamba2") == ("", "gla", "mamba2")
    assert split_names("mamba2-no-a", "mamba2") == ("mamba2", "no-a", "")


def test_a_cell_named_none_is_not_read_as_no_cell(tmp_path: Path) -> None:
    results = answered(tmp_path, HEAD.replace("name: b", "name: none"), {"none": -0.3})
    assert "beside a, 'none' is better by 0." in results.answer


def test_every_output_opens_with_question_and_answer_then_claims_then_tables(tmp_path: Path) -> None:
    study = make(tmp_path, "{id: x, says: The claim., difference: [b, a], above: 0}", seeds="0,1,2")
    plant(study, Store(tmp_path / "out"), {"b": 0.1})
    results = answer_of(study, Store(tmp_path / "out"))
    for form in ("text", "markdown", "html"):
        text = outputs(results, study, tmp_path / "out")[form]
        places = [text.index(words) for words in ("Q?", "At tiny, 3 seeds", "The claim.", "bits per byte")]
        assert places == sorted(places), form
    assert f"\n% {results.answer}\n" in outputs(results, study, tmp_path / "out")["latex"]
    assert f'id="answer">{results.answer}<' in outputs(results, study, tmp_path / "out")["html"]
    assert as_text(results).split("\n")[2:4] == ["question: Q?", f"answer:   {results.answer}"]


def test_the_answer_is_kept_and_given_to_results_of_earlier_versions(tmp_path: Path) -> None:
    study = make(tmp_path, seeds="0,1,2")
    store = Store(tmp_path / "out")
    plant(study, store, {"b": 0.1})
    results = write_results(study, store, {})
    file = tmp_path / "out" / "small" / "results.json"
    plain = json.loads(file.read_text())
    assert plain["answer"] == results.answer
    del plain["answer"]
    file.write_text(json.dumps(plain))
    assert read_results(file) == results


@pytest.fixture
def without_question(tmp_path: Path) -> tuple[Study, Path]:
    """A finished study of a user's own that asks no question."""
    file = small.write_study(tmp_path / "file", small.STUDY.replace("question: Does the decay matter?\n", ""))
    study = expand(read_study(str(file)), seeds=(0, 1, 2))
    plant(study, Store(tmp_path / "out"), {"gla": 0.2})
    return study, tmp_path / "out"


@pytest.mark.slow
def test_a_study_without_a_question_has_an_answer_on_the_command_line(
    without_question: tuple[Study, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    study, out = without_question
    assert run_study(StudyRequest([str(study.spec.file)], out=str(out), seeds="0-2")) == 0
    first = capsys.readouterr().out
    assert main(["report", "small", "--out", str(out)]) == 0
    again = capsys.readouterr().out
    for printed in (first, again):
        lines = printed.strip().splitlines()
        assert lines[0] == "A small study" and lines[2].startswith("answer:   At tiny, 3 seeds, ")
        assert "question" not in printed and lines[4].split()[:2] == ["verdict", "id"]
    markdown = (out / "small" / "results.md").read_text()
    assert markdown.startswith("# A small study\n\n**Answer.** At tiny") and markdown == as_markdown(
        read_results(out / "small" / "results.json")
    )
