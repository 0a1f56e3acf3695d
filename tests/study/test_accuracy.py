"""Accuracies of a study's cells: planted answers are found, paired, and never invented."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from decaystudy.plotting import svg
from decaystudy.runs.evaluation import EvaluationFolder, LengthLoss, PositionLoss, TaskResult
from decaystudy.serial import from_plain, to_plain
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.definition.claims.accuracy import MEAN
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.execution.tasks import tasks_of
from decaystudy.study.planning.hardware import choose_speed
from decaystudy.study.planning.plan import plan_study
from decaystudy.study.reporting.documents import as_markdown, as_tex, as_text
from decaystudy.study.reporting.figures import loss_by_position, recall_by_distance
from decaystudy.study.reporting.html import as_html
from decaystudy.study.reporting.tables import accuracies_table, claims_table, tasks_table
from tests.study.planted import QUESTIONS, answer_of, plant, write_answers
from tests.study.small import STUDY, results, run, write_study

CLAIMS = """  - {id: gla-knows-more, says: It is., accuracy: {cell: gla, minus: mamba2, task: piqa}, above: 0}
  - {id: above-chance, says: Mamba2 is above chance., accuracy: {cell: mamba2, task: [piqa, boolq]}, above: 0.3}
  - {id: far-above, says: Mamba2 is far above chance., accuracy: {cell: mamba2}, above: 0.9}
"""


def answer(folder, accuracy, key, *, questions="q", tasks=("piqa", "boolq"), lengths=False):
    """Write an evaluation whose answers are right with probability ``accuracy``, the same luck for every cell."""
    found = write_answers(folder, dict.fromkeys(tasks, accuracy), key, questions=questions)
    ppl = TaskResult(5, version=2, metrics={"word_perplexity": 30.0, "word_perplexity_stderr": None})
    found = replace(found, tasks={**found.tasks, "wikitext": ppl})
    if lengths:
        rows = [LengthLoss(m, 64 * m, loss=3.0, perplexity=20.1, last_loss=3.1, last_perplexity=22.2) for m in (1, 2)]
        found = replace(found, lengths=tuple(rows), positions=(PositionLoss(0, 15, 3.2), PositionLoss(16, 63, 3.0)))
    EvaluationFolder(folder.path).write(found)


@pytest.fixture
def planted(tmp_path):
    """A finished study of three cells and four seeds, without evaluations."""
    file = write_study(tmp_path, STUDY.replace("seeds: [0]", "seeds: [0, 1, 2, 3]") + CLAIMS)
    study = expand(read_study(str(file)), seeds=(0, 1, 2, 3))
    store = Store(tmp_path / "runs")
    plant(study, store, {})
    return study, store


def a_plan(study):
    speed = choose_speed("tiny", gpu="h100", devices=1, jobs=1, on_cpu=False)
    return plan_study(study, Store("nowhere"), speed, 1)


def evaluated(study, store, accuracies, **how):
    for number, one in enumerate(study.runs()):
        if one.cell in accuracies:
            answer(store.find(one), accuracies[one.cell], number, **how)
    return answer_of(study, store)


def test_a_study_without_evaluations_has_no_accuracies(planted):
    found = answer_of(*planted)
    assert found.tasks == () and found.accuracy_comparisons == ()
    assert found.cells[0].accuracy is None and "accuracy" not in as_text(found)
    claim = next(c for c in found.claims if c.id == "gla-knows-more")
    assert claim.verdict == "not judged" and "not been evaluated" in claim.why


def test_planted_answers_are_found(planted):
    found = evaluated(*planted, {"mamba2": 0.4, "gla": 0.6, "hgrn2": 0.41}, lengths=True)
    assert found.tasks == ("wikitext", "boolq", "piqa")
    by_name = {cell.name: cell for cell in found.cells}
    assert by_name["mamba2"].accuracy.mean == pytest.approx(0.4, abs=0.05)
    assert by_name["mamba2"].accuracy.low < 0.4 < by_name["mamba2"].accuracy.high
    rows = {(row.a, row.b, row.task): row for row in found.accuracy_comparisons}
    assert rows["gla", "mamba2", MEAN].verdict == "better"
    assert rows["gla", "mamba2", "piqa"].verdict == "better"
    assert rows["hgrn2", "mamba2", MEAN].verdict == "not resolved"
    assert {(row.seeds, row.unit) for row in rows.values()} == {(4, "accuracy")}
    assert {row.documents for row in rows.values()} == {QUESTIONS, 2 * QUESTIONS}
    assert len({row.critical for row in rows.values()}) == 1, "one family"
    assert found.accuracy_family.effects == 2 * 3 + 3, "claims on a cell alone count too"
    assert rows["gla", "mamba2", MEAN].low < 0.2 < rows["gla", "mamba2", MEAN].high
    claims = {claim.id: claim.verdict for claim in found.claims}
    assert claims["gla-knows-more"] == claims["above-chance"] == "supported" and claims["far-above"] == "refuted"
    for text in (as_text(found), as_markdown(found), as_tex(found)):
        assert "piqa" in text and "mean over tasks" in text and "mean accuracy" not in text
    page = as_html(found, a_plan(planted[0]), planted[1].out)
    assert "wikitext ppl" in page and "Longer texts" in page and loss_by_position(found) is not None
    assert by_name["gla"].lengths[1].perplexity == pytest.approx(np.exp(3.0))
    assert by_name["gla"].tasks["wikitext"].metrics == {"word_perplexity": 30.0}
    assert from_plain(StudyResults, json.loads(json.dumps(to_plain(found)))) == found


def test_the_pairing_is_what_makes_small_differences_visible(planted):
    found = evaluated(*planted, {"mamba2": 0.5, "gla": 0.5})
    mean = next(cell for cell in found.cells if cell.name == "gla").accuracy
    pair = next(row for row in found.accuracy_comparisons if row.a == "gla" and row.task == MEAN)
    assert pair.standard_error < mean.standard_error


def test_a_row_and_a_claim_on_the_same_pair_and_task_show_the_same_interval(planted):
    found = evaluated(*planted, {"mamba2": 0.5, "gla": 0.5})
    row = next(row for row in found.accuracy_comparisons if (row.a, row.task) == ("gla", "piqa"))
    (part,) = next(claim for claim in found.claims if claim.id == "gla-knows-more").parts
    assert (row.difference, row.low, row.high) == (part.effect, part.low, part.high)


def test_one_seed_judges_no_accuracy(tmp_path):
    study = expand(read_study(str(write_study(tmp_path, STUDY + CLAIMS))))
    store = Store(tmp_path / "runs")
    plant(study, store, {})
    found = evaluated(study, store, {"mamba2": 0.1, "gla": 0.9, "hgrn2": 0.5})
    assert {row.verdict for row in found.accuracy_comparisons} == {"one seed"}
    for row in (*found.accuracy_comparisons, *(cell.accuracy for cell in found.cells)):
        assert row.low is None and row.high is None and row.standard_error is None
    assert {claim.words for claim in found.claims} == {"not judged (one seed)"}
    page = as_html(found, a_plan(study), store.out)
    for text in (as_text(found), as_markdown(found), as_tex(found), page):
        assert "one seed" in text and "piqa" in text
        assert not any(word in text for word in ("supported</b>", "refuted</b>", "better than", "not resolved"))


def test_other_questions_are_not_compared(planted):
    study, store = planted
    evaluated(study, store, {"mamba2": 0.5})
    found = evaluated(study, store, {"gla": 0.5}, questions="other")
    row = next(row for row in found.accuracy_comparisons if row.a == "gla")
    assert row.difference is None and row.verdict == "incomplete" and "different questions" in row.why


def test_a_cell_with_one_evaluated_seed_is_of_one_seed(planted):
    study, store = planted
    evaluated(study, store, {"mamba2": 0.5, "hgrn2": 0.5})
    first = next(one for one in study.runs() if one.cell == "gla")
    answer(store.find(first), 0.9, 0)
    found = answer_of(study, store)
    rows = {row.a: row for row in found.accuracy_comparisons if row.task == MEAN}
    assert (rows["gla"].verdict, rows["gla"].low) == ("one seed", None)
    assert (rows["hgrn2"].verdict, rows["hgrn2"].seeds) == ("not resolved", 4)
    assert next(cell for cell in found.cells if cell.name == "gla").accuracy.low is None
    assert as_text(found)


def test_weights_that_changed_have_no_answers(planted):
    study, store = planted
    evaluated(study, store, {"mamba2": 0.4, "gla": 0.6, "hgrn2": 0.4})
    for one in study.runs():
        store.find(one).weights.write_bytes(b"others")
    assert answer_of(study, store).tasks == ()


def test_tasks_that_fit_a_study(tmp_path):
    assert tasks_of(expand(read_study(str(write_study(tmp_path))))) == "offline"
    named = write_study(tmp_path, STUDY + "evaluate: [piqa, boolq]\n", "named")
    assert tasks_of(expand(read_study(str(named)))) == "piqa,boolq"
    assert tasks_of(expand(read_study("sharing"), scale="160m")) == "paper"


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ("accuracy: {cell: gla, tsk: piqa}, above: 0", "did you mean 'task'"),
        ("accuracy: {task: piqa}, above: 0", "needs the name of its cell"),
        ("accuracy: {cell: gla, task: []}, above: 0", "name a task"),
        ("accuracy: gla, above: 0", "accuracy takes"),
        ("accuracy: {cell: glaa}, above: 0", "did you mean 'gla'"),
    ],
)
def test_claims_that_make_no_sense(claim, says, tmp_path):
    from decaystudy.errors import UserError

    file = write_study(tmp_path, STUDY + f"  - {{id: new, says: It is so., {claim}}}\n")
    with pytest.raises(UserError, match=says):
        expand(read_study(str(file)))


@pytest.mark.slow
def test_a_study_is_trained_evaluated_and_found_again(tmp_path):
    file, out = write_study(tmp_path), tmp_path / "runs"
    settings = ["--data.sequence_length", "128", "--data.validation_tokens", "2000"]
    study = file.read_text().replace("  sequence_length: 64\n", "").replace("  data.validation_tokens: 2000\n", "")
    file.write_text(study)
    first = run(str(file), "--out", str(out), "--evaluate", *settings)
    assert first.count("evaluated in") == 3 and "mean over its tasks 0." in first and "mean accuracy" not in first
    found = results(out)
    assert found["tasks"] == ["offline_last_word", "offline_continuation"]
    assert len(found["accuracy_comparisons"]) == 3 * len(found["comparisons"])
    again = run(str(file), "--out", str(out), "--evaluate", *settings)
    assert "evaluated in" not in again and results(out) == found
    done = subprocess.run(
        [sys.executable, "-m", "decaystudy", "report", "--out", str(out)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "offline_last_word" in (out / "small" / "report.html").read_text()


def test_recall_is_drawn_against_its_distance(planted):
    study, store = planted
    for run_ in study.runs():
        answer(store.find(run_), 0.7, run_.seed, tasks=("recall_needle_2", "recall_needle_128"))
    found = answer_of(study, store)
    figure = recall_by_distance(found)
    assert figure is not None
    drawn = svg(figure)
    assert "distance, tokens" in drawn and all(cell.name in drawn for cell in study.cells)
    page = as_html(found, a_plan(study), store.path, {"recall_by_distance": drawn})
    assert "distance, tokens" in page and "the grey line is chance" in page
    without = tuple(replace(cell, tasks={"wikitext": cell.tasks["wikitext"]}) for cell in found.cells)
    assert recall_by_distance(replace(found, cells=without)) is None


def test_all_answers_right_is_no_proof(planted):
    found = evaluated(*planted, {"mamba2": 1.1, "gla": 1.1, "hgrn2": -0.1})
    perfect, nothing = found.cells[0].tasks["piqa"], found.cells[2].tasks["piqa"]
    assert (perfect.accuracy, perfect.high, nothing.accuracy, nothing.low) == (1, 1, 0, 0)
    assert 0.98 < perfect.low < 0.999 and 0.001 < nothing.high < 0.02
    assert perfect.standard_error == pytest.approx(1 / QUESTIONS), "that of one question"


def test_a_claim_about_a_perfect_cell_shows_a_possible_interval(planted):
    found = evaluated(*planted, {"mamba2": 1.1, "gla": 1.1})
    by_id = {claim.id: claim for claim in found.claims}
    (far,) = by_id["far-above"].parts
    assert by_id["far-above"].verdict == "supported" and 0.98 < far.low < 1 == far.high
    (same,) = by_id["gla-knows-more"].parts
    assert by_id["gla-knows-more"].verdict == "not resolved" and same.low < 0 < same.high


def test_a_metric_that_counts_nothing_is_no_accuracy(planted):
    study, store = planted
    evaluated(study, store, {"mamba2": 0.5, "gla": 0.5, "hgrn2": 0.5})
    for run_ in study.runs():
        EvaluationFolder(store.find(run_).path).write_outcomes("piqa", {"acc": [0.5, 100.0] * (QUESTIONS // 2)})
    found = answer_of(study, store)
    assert {row.task for row in found.accuracy_comparisons} == {MEAN, "boolq"}


def test_accuracies_stand_beside_chance(planted):
    found = evaluated(*planted, {"mamba2": 0.4, "gla": 0.6, "hgrn2": 0.41}, tasks=("piqa", "recall_needle_2"))
    page = as_html(found, a_plan(planted[0]), planted[1].out)
    for text in (as_text(found), as_markdown(found), as_tex(found), page):
        assert "Guessing gives 0.312 in the mean over tasks." in text
    line = next(line for line in as_text(found).splitlines() if line.startswith("(chance)"))
    assert line.split()[1:4] == ["–", "0.5", "0.125"] and line.split()[-1] == "0.312", "wikitext has none"
    parts = {part.about for claim in found.claims for part in claim.parts}
    assert "accuracy of mamba2 on piqa (chance 0.5)" in parts and "accuracy of gla minus mamba2 on piqa" in parts
    assert "mean over the tasks of mamba2 (chance 0.312)" in parts
    unknown = evaluated(*planted, {"mamba2": 0.4, "gla": 0.6, "hgrn2": 0.41}, tasks=("piqa", "sciq"))
    line = next(line for line in as_text(unknown).splitlines() if line.startswith("(chance)"))
    assert line.split()[-1] == "–" and "Guessing gives" not in as_text(unknown)


def test_verdicts_by_task_stand_beside_scale_seeds_and_tokens_per_parameter(planted):
    found = evaluated(*planted, {"mamba2": 0.4, "gla": 0.6, "hgrn2": 0.41})
    for table in (accuracies_table(found), tasks_table(found), claims_table(found)):
        assert "Scale tiny, " in table.notes[0] and " per parameter)" in table.notes[0]
        assert "4 seeds (0, 1, 2, 3)" in table.notes[0]
