"""Accuracies of a study's cells: planted answers are found, paired, and never invented."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from decaystudy.runs.evaluation import EvaluationFolder, LengthLoss, PositionLoss, TaskResult
from decaystudy.serial import from_plain, to_plain
from decaystudy.study.analysis.accuracies import MEAN, joined, mcnemar, mean_answer, possible
from decaystudy.study.analysis.claims import Requirement
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.analysis.statistics import crossed_mean
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.execution.tasks import tasks_of
from decaystudy.study.planning.hardware import choose_speed
from decaystudy.study.planning.plan import plan_study
from decaystudy.study.reporting.documents import as_markdown, as_tex, as_text
from decaystudy.study.reporting.figures import loss_by_position, recall_by_distance
from decaystudy.study.reporting.html import as_html
from tests.study.planted import answer_of, plant
from tests.study.small import STUDY, results, run, write_study

QUESTIONS = 400
CLAIMS = """  - {id: gla-knows-more, says: It is., accuracy: {cell: gla, minus: mamba2, task: piqa}, above: 0}
  - {id: above-chance, says: Mamba2 is above chance., accuracy: {cell: mamba2, task: [piqa, boolq]}, above: 0.3}
  - {id: far-above, says: Mamba2 is far above chance., accuracy: {cell: mamba2}, above: 0.9}
"""


def answer(folder, accuracy, key, *, questions="q", tasks=("piqa", "boolq"), lengths=False):
    """Write an evaluation whose answers are right with probability ``accuracy``, the same luck for every cell."""
    folder.weights.write_bytes(b"weights")
    place = EvaluationFolder(folder.path)
    results = {}
    for number, task in enumerate(tasks):
        luck = np.random.default_rng(number).random(QUESTIONS)
        own, shared = np.random.default_rng([key, number]).random((2, QUESTIONS))
        right = (np.where(shared < 0.8, luck, own) < accuracy).astype(float)
        place.write_outcomes(task, {"acc": right.tolist()})
        error = float(right.std(ddof=1) / np.sqrt(QUESTIONS))
        metrics = {"acc": float(right.mean()), "acc_stderr": error}
        results[task] = TaskResult(QUESTIONS, version=1.0, questions=questions, metrics=metrics)
    results["wikitext"] = TaskResult(5, version=2, metrics={"word_perplexity": 30.0, "word_perplexity_stderr": None})
    found = replace(place.start(), tasks=results)
    if lengths:
        rows = [LengthLoss(m, 64 * m, loss=3.0, perplexity=20.1, last_loss=3.1, last_perplexity=22.2) for m in (1, 2)]
        found = replace(found, lengths=tuple(rows), positions=(PositionLoss(0, 15, 3.2), PositionLoss(16, 63, 3.0)))
    place.write(found)


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
    assert claim.verdict == "not tested" and "not been evaluated" in claim.why


def test_planted_answers_are_found(planted):
    found = evaluated(*planted, {"mamba2": 0.4, "gla": 0.6, "hgrn2": 0.41}, lengths=True)
    assert found.tasks == ("wikitext", "boolq", "piqa")
    by_name = {cell.name: cell for cell in found.cells}
    assert by_name["mamba2"].accuracy.mean == pytest.approx(0.4, abs=0.05)
    assert by_name["mamba2"].accuracy.low < 0.4 < by_name["mamba2"].accuracy.high
    rows = {(row.a, row.b, row.task): row for row in found.accuracy_comparisons}
    assert rows["gla", "mamba2", MEAN].verdict == "better"
    assert rows["gla", "mamba2", "piqa"].verdict == "better"
    assert rows["hgrn2", "mamba2", MEAN].verdict == "indistinguishable"
    assert rows["gla", "mamba2", MEAN].low < 0.2 < rows["gla", "mamba2", MEAN].high
    claims = {claim.id: claim.verdict for claim in found.claims}
    assert claims["gla-knows-more"] == claims["above-chance"] == "supported" and claims["far-above"] == "refuted"
    for text in (as_text(found), as_markdown(found), as_tex(found)):
        assert "piqa" in text and "mean accuracy" in text
    page = as_html(found, a_plan(planted[0]), planted[1].out)
    assert "wikitext ppl" in page and "Longer texts" in page and loss_by_position(found) is not None
    assert by_name["gla"].lengths[1].perplexity == pytest.approx(np.exp(3.0))
    assert by_name["gla"].tasks["wikitext"].metrics == {"word_perplexity": 30.0}
    assert from_plain(StudyResults, json.loads(json.dumps(to_plain(found)))) == found


def test_the_pairing_is_what_makes_small_differences_visible(planted):
    found = evaluated(*planted, {"mamba2": 0.5, "gla": 0.5})
    mean = next(cell for cell in found.cells if cell.name == "gla").accuracy
    pair = next(row for row in found.accuracy_comparisons if row.a == "gla" and row.task == MEAN)
    assert pair.uncorrected[1] - pair.uncorrected[0] < mean.high - mean.low


def test_other_questions_are_not_compared(planted):
    study, store = planted
    evaluated(study, store, {"mamba2": 0.5})
    found = evaluated(study, store, {"gla": 0.5}, questions="other")
    row = next(row for row in found.accuracy_comparisons if row.a == "gla")
    assert row.difference is None and row.verdict == "incomplete" and "different questions" in row.why


def test_a_cell_with_a_seed_not_evaluated_has_no_accuracy(planted):
    study, store = planted
    first = next(one for one in study.runs() if one.cell == "gla")
    answer(store.find(first), 0.5, 0)
    found = answer_of(study, store)
    assert next(cell for cell in found.cells if cell.name == "gla").accuracy is None
    assert as_text(found)


def test_weights_that_changed_have_no_answers(planted):
    study, store = planted
    evaluated(study, store, {"mamba2": 0.4, "gla": 0.6, "hgrn2": 0.4})
    for one in study.runs():
        store.find(one).weights.write_bytes(b"others")
    assert answer_of(study, store).tasks == ()


def test_the_mean_over_tasks_has_the_error_of_its_tasks():
    rng = np.random.default_rng(2)
    tables = [(rng.random((1, n)) < p).astype(float) for n, p in ((80, 0.2), (500, 0.9))]
    whole = crossed_mean(joined(tables))
    parts = [crossed_mean(table) for table in tables]
    assert whole.value == pytest.approx((parts[0].value + parts[1].value) / 2)
    assert whole.error == pytest.approx(np.hypot(parts[0].error, parts[1].error) / 2, rel=0.02)
    seeds = [(rng.random((3, n)) < p).astype(float) for n, p in ((80, 0.2), (500, 0.9))]
    by_seed = np.mean([table.mean(axis=1) for table in seeds], axis=0)
    assert np.allclose(joined(seeds).mean(axis=1), by_seed)


def test_mcnemar_is_the_exact_binomial_test():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = (rng.random((2, 60)) < 0.4).astype(float)
        only_a, only_b = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
        assert mcnemar(a, b) == pytest.approx(binomtest(only_a, only_a + only_b).pvalue)
    assert mcnemar(a, a) == 1


def test_intervals_of_paired_answers_cover_the_truth():
    rng = np.random.default_rng(1)
    hit = 0
    for _ in range(600):
        luck = rng.random(250)
        a = luck < 0.42
        b = np.where(rng.random(250) < 0.7, luck, rng.random(250)) < 0.35
        low, high = crossed_mean((a.astype(float) - b)[None]).interval()
        hit += low <= 0.07 <= high
    assert 0.925 <= hit / 600 <= 0.975


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
    assert first.count("evaluated in") == 3 and "mean accuracy" in first
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
    assert figure is not None and "distance, tokens" in figure and all(cell.name in figure for cell in study.cells)
    assert figure in as_html(found, a_plan(study), store.path)
    without = tuple(replace(cell, tasks={"wikitext": cell.tasks["wikitext"]}) for cell in found.cells)
    assert recall_by_distance(replace(found, cells=without)) is None


@pytest.mark.parametrize("probability", [0.01, 0.02, 0.1, 0.5, 0.9, 0.98, 0.99])
@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_of_shares_cover_the_truth(seeds, probability):
    rng = np.random.default_rng(5)
    tables = (rng.random((2000, seeds, 256)) < probability).astype(float)
    intervals = [possible(mean_answer([table]), 0.0) for table in tables]
    assert all(0 <= low < high <= 1 for low, high in intervals)
    assert sum(low <= probability <= high for low, high in intervals) / len(intervals) >= 0.935


@pytest.mark.parametrize(("better", "worse"), [(0.01, 0.0), (0.01, 0.01), (0.03, 0.01), (0.2, 0.1), (0.0, 0.0)])
def test_intervals_of_differences_cover_the_truth(better, worse):
    luck = np.random.default_rng(6).random((2000, 1, 256))
    tables = (luck < better).astype(float) - (luck > 1 - worse)
    intervals = [mean_answer([table]).interval() for table in tables]
    assert sum(low <= better - worse <= high for low, high in intervals) / len(intervals) >= 0.935


def test_a_question_that_differs_never_narrows_the_interval():
    tables = [np.zeros((1, 300)) for _ in range(6)]
    for number, table in enumerate(tables):
        table[0, :number] = 1
    errors = [mean_answer([table]).error for table in tables]
    assert errors == sorted(errors) and errors[0] == pytest.approx(2**0.5 / 304)
    assert mean_answer([tables[4]]).p_value() > 0.05  # McNemar's exact p is 0.125
    assert mean_answer([tables[0]]).p_value() == 1.0


def test_a_perfect_small_task_makes_a_mean_uncertain():
    small, large = np.ones((1, 20)), (np.arange(10_000) % 2).astype(float)[None]
    mean = mean_answer([small, large])
    assert mean.value == pytest.approx(0.75)
    low, high = mean.interval()
    assert 0.05 < high - mean.value < 0.1 and mean.value - low == pytest.approx(high - mean.value)


@pytest.mark.parametrize("seeds", [1, 3])
def test_all_answers_right_is_no_proof(seeds):
    perfect = np.ones((seeds, 256))
    assert Requirement("", mean_answer([perfect]), 0.9, math.inf).p_inside() < 0.001
    assert Requirement("", mean_answer([perfect]), 0.999, math.inf).p_inside() > 0.05
    assert Requirement("", mean_answer([1 - perfect]), 0.001, math.inf).p_outside() > 0.05
    low, high = possible(mean_answer([perfect]), 0.0)
    assert 0.98 < low < 0.995 and high == 1.0


def test_a_claim_about_a_perfect_cell_shows_a_possible_interval(planted):
    found = evaluated(*planted, {"mamba2": 1.1, "gla": 1.1})
    by_id = {claim.id: claim for claim in found.claims}
    (far,) = by_id["far-above"].parts
    assert by_id["far-above"].verdict == "supported" and 0.98 < far.low < 1 == far.high
    (same,) = by_id["gla-knows-more"].parts
    assert by_id["gla-knows-more"].verdict == "undecided" and same.low < 0 < same.high


def test_a_metric_of_another_range_is_left_alone():
    low, high = possible(mean_answer([np.array([[0.0, 100.0, 100.0, 0.0]])]), 0.0)
    assert low < 0 and high > 100
