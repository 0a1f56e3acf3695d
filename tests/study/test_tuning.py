"""Settings chosen on seeds and documents that are not reported: the choice, its price, its curve, and its reuse."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decaystudy.errors import UserError
from decaystudy.plotting import svg
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.definition.expand import Run, Study, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.searching import with_proposals
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.hardware import choose_speed
from decaystudy.study.planning.plan import plan_study
from decaystudy.study.reporting.documents import as_csv, as_markdown, as_text
from decaystudy.study.reporting.figures import tuning
from decaystudy.study.reporting.html import as_html
from decaystudy.study.reporting.report import read_results, write_results
from tests.study import small
from tests.study.planted import BYTES_PER_TOKEN, DOCUMENTS, answer_of, plant

RATES = (0.001, 0.003, 0.01)
CELLS = "cells:\n" + "".join(f"  - {{name: {name}, decay: simple, p: 0.{p}}}\n" for p, name in enumerate("abcd", 3))
HEAD = "title: T\nquestion: Q?\nscale: tiny\naxis: p\nbaseline: a\n" + CELLS
BEST = {"a": 0.003, "b": 0.01}


def make(folder: Path, tune: str = "{lr: [0.001, 0.003, 0.01]}", **more: Any) -> Study:
    return expand(read_study(str(small.write_study(folder, HEAD + f"tune: {tune}\n"))), seeds=(0, 1, 2), **more)


def off(run: Run) -> float:
    """How far a run's learning rate is from the best of its cell."""
    return abs(math.log((run.learning_rate or math.nan) / BEST.get(run.cell, 0.001)))


def planted(study: Study, store: Store, at_trial: Any = off, **noise: float) -> Study:
    """The study with its trials planted, then what they choose."""
    plant(study, store, {}, at_trial=at_trial, runs=[run for run in study.runs() if run.tuning], **noise)
    chosen = with_proposals(study, store)
    plant(chosen, store, {}, at_trial=at_trial, runs=[run for run in chosen.runs() if not run.tuning], **noise)
    return chosen


def tuned(folder: Path, at_trial: Any = off, **noise: float) -> StudyResults:
    store = Store(folder / "out")
    return answer_of(planted(make(folder), store, at_trial, **noise), store)


def test_each_cell_is_compared_at_its_own_best_on_other_seeds_and_documents(tmp_path: Path) -> None:
    study, store = make(tmp_path), Store(tmp_path / "out")
    assert {run.seed for run in study.runs()} == {1000} and len(study.runs()) == 4 * 3
    results = answer_of(planted(study, store), store)
    assert {cell.name: cell.learning_rate for cell in results.cells} == {"a": 0.003, "b": 0.01, "c": 0.001, "d": 0.001}
    reported = [run for run in results.runs if not run.tuning]
    assert {run.seed for run in reported} == {0, 1, 2} and len(reported) == 12 and len(results.runs) == 24
    assert all(run.chosen for run in reported)
    assert sum(bool(run.chosen) for run in results.runs if run.tuning) == 4
    assert not {run.documents for run in reported} & {run.documents for run in results.runs if run.tuning}
    assert all(row.seeds == 3 and abs(row.difference or 0) < 0.02 for row in results.comparisons)
    assert results.complete and results.unigram_entropy is not None


def test_the_curve_and_its_errors_are_those_of_the_documents(tmp_path: Path) -> None:
    results = tuned(tmp_path)
    assert results.tuning is not None and results.tuning.documents == DOCUMENTS
    cell = results.tuning.cells[0]
    assert [one.settings for one in cell.curve] == [{"learning_rate": rate} for rate in RATES]
    rows = {run.learning_rate: run.val_loss for run in results.runs if run.cell == "a" and run.tuning}
    for one in cell.curve:
        assert one.loss == rows[one.settings["learning_rate"]] and one.loss is not None
        # The loss of a document has a standard deviation of 0.5; all are of one length.
        assert one.standard_error == pytest.approx(0.5 / math.sqrt(DOCUMENTS), rel=0.3)
        assert one.bits_per_byte == pytest.approx(one.loss / BYTES_PER_TOKEN / math.log(2))
        assert one.above == pytest.approx(one.loss - min(rows.values()))
    assert cell.curve[1].above == 0
    # What documents share does not count in the difference between two trials, but the rest and the seeds do.
    rest = 0.02**2 / DOCUMENTS
    assert cell.curve[0].above_error == pytest.approx(math.sqrt(2 * rest + 2 * (0.002**2 + rest)), rel=0.3)


def test_a_choice_at_the_edge_and_one_that_is_unstable_are_named(tmp_path: Path) -> None:
    def near(run: Run) -> float:
        return 0.0005 if run.cell == "a" and run.learning_rate == 0.01 else off(run)

    results = tuned(tmp_path, near, seed_noise=0.005)
    assert results.tuning is not None
    found = {cell.cell: (cell.at_edge, cell.unstable) for cell in results.tuning.cells}
    assert found["a"][1] and not found["b"][1] and found["b"][0] and found["c"][0]
    notes = " ".join(results.notes)
    assert "edge of the grid" in notes and "Choice unstable" in notes and "conditional on the chosen settings" in notes
    for text in (as_text(results), as_markdown(results)):
        line = next(line for line in text.splitlines() if "± " in line and line.lstrip("| ").startswith("b "))
        assert "at the edge of the grid" in line and "lr0.01" in line
        assert all(note in text for note in results.notes)


def test_the_report_has_the_curve(tmp_path: Path) -> None:
    study, store = make(tmp_path), Store(tmp_path / "out")
    study = planted(study, store)
    results = write_results(study, store, {})
    plan = plan_study(study, store, choose_speed("tiny", gpu=None, devices=1, jobs=1, on_cpu=True), 1)
    figure = tuning(results)
    assert figure is not None
    page = as_html(results, plan, store.out, {"tuning": svg(figure)})
    assert "How settings were chosen" in page and "loss on tuning documents" in page
    assert "conditional on the chosen settings" in page
    assert read_results(tmp_path / "out" / "small" / "results.json") == results
    assert {line.split(",")[5] for line in as_csv(results).splitlines()[1:]} == {"True", "False"}


def test_a_diverged_or_failed_try_counts_and_is_never_chosen(tmp_path: Path) -> None:
    study, store = make(tmp_path), Store(tmp_path / "out")
    plant(study, store, {}, at_trial=off)
    ends = {("a", 0.003): "diverged", ("b", 0.01): "failed", ("b", 0.003): "out-of-memory", ("c", 0.01): "killed"}
    ends |= {("d", rate): "diverged" for rate in RATES}
    for run in study.runs():
        state = ends.get((run.cell, run.learning_rate or 0))
        if state:
            folder = store.find(run)
            assert folder is not None
            folder.result.unlink()
            folder.write_status(state, step=7)
    assert not with_proposals(study, store).chosen, "a try that was killed goes on, and nothing is chosen before"
    (killed,) = [run for run in study.runs() if ends.get((run.cell, run.learning_rate or 0)) == "killed"]
    plant(study, store, {}, at_trial=off, runs=[killed])
    assert not with_proposals(study, store, retried=True).chosen, "failed tries are about to be trained again"
    chosen = with_proposals(study, store)
    assert {name: trial.as_dict()["learning_rate"] for name, trial in chosen.chosen.items()} == {
        "a": 0.001,
        "b": 0.001,
        "c": 0.001,
    }
    results = answer_of(chosen, store)
    assert results.tuning is not None and {cell.tries for cell in results.tuning.cells} == {3}
    last = results.tuning.cells[-1]
    assert last.chosen is None and last.why == "none of its 3 tries finished"
    assert [run.status for run in results.runs if run.cell == "d" and not run.tuning] == ["planned"] * 3
    assert "No setting could be chosen for d" in " ".join(results.notes) and not results.complete


def test_all_cells_choose_from_as_many_tries(tmp_path: Path) -> None:
    """A search that goes on longer for one cell gives it no better chance."""
    (tmp_path / "longer.py").write_text(
        "from decaystudy.study.definition.search import Search\n\n\n"
        "class Longer(Search):\n"
        "    def propose(self, results):\n"
        "        if not results:\n"
        "            return [{'learning_rate': 0.1}, {'learning_rate': 0.2}]\n"
        "        most = 4 if results[0].loss > 3.5 else 2\n"
        "        return [{'learning_rate': 0.1 * (len(results) + 1)}] if len(results) < most else []\n"
    )
    study, store = make(tmp_path, "{search: longer.Longer}"), Store(tmp_path / "out")

    def falling(run: Run) -> float:
        return 2 - (run.learning_rate or 0) if run.cell == "a" else run.learning_rate or 0

    for _ in range(3):
        plant(study, store, {}, at_trial=falling)
        study = with_proposals(study, store)
    assert {name: len(trials) for name, trials in study.trials.items()} == {"a": 4, "b": 2, "c": 2, "d": 2}
    assert study.chosen["a"].as_dict() == {"learning_rate": 0.2}
    results = answer_of(study, store)
    assert results.tuning is not None and [cell.tries for cell in results.tuning.cells] == [2] * 4
    assert [len(cell.curve) for cell in results.tuning.cells] == [4, 2, 2, 2]


def test_tuning_seeds_are_never_reported(tmp_path: Path) -> None:
    assert {run.seed for run in make(tmp_path, tuning_seeds=(7, 8)).runs()} == {7, 8}
    with pytest.raises(UserError, match="seed 2 of small serves to choose settings and is reported"):
        make(tmp_path, tuning_seeds=(2, 3))
    study = expand(read_study(str(tmp_path / "small.yaml")), seeds=(1000, 1001))
    assert study.tuning_seeds == (1002,)
    file = small.write_study(tmp_path, HEAD + "tuning_seeds: [7]\n")
    with pytest.raises(UserError, match="tunes nothing"):
        expand(read_study(str(file)))
    file.write_text(file.read_text() + "tune: lr\n")
    assert expand(read_study(str(file))).tuning_seeds == (7,)


def test_across_tokenizers_the_curve_is_in_bits_per_byte(tmp_path: Path) -> None:
    study, store = make(tmp_path), Store(tmp_path / "out")
    other = {"b": {"tokenizer_digest": "letters", "validation_digest": "letters"}}
    plant(study, store, {}, at_trial=off, data=other)
    study = with_proposals(study, store)
    plant(study, store, {}, at_trial=off, data=other, runs=[run for run in study.runs() if not run.tuning])
    results = answer_of(study, store)
    text = as_text(results)
    assert (
        results.tokenizers == 2 and "Loss on tuning documents, bits per byte" in text and "nats per token ±" not in text
    )


# -- reuse -------------------------------------------------------------------------------------------------------


def lender(folder: Path) -> Path:
    """The results of a study that has tuned."""
    study, store = make(folder), Store(folder / "out")
    write_results(planted(study, store), store, {})
    return folder / "out" / "small" / "results.json"


def borrower(folder: Path, text: str, source: Path, **more: Any) -> Study:
    file = small.write_study(folder, text, "taking")
    return expand(read_study(str(file)), rates_from=str(source), **more)


def test_settings_are_taken_over_by_cells_of_the_same_design(tmp_path: Path) -> None:
    source = lender(tmp_path / "lender")
    text = (
        HEAD.replace("axis: p\nbaseline: a\n", "axis: sharing\n")
        + "  - {name: e, decay: simple, p: 0.4, sharing: true}\n"
    )
    study = borrower(tmp_path, text, source, seeds=(0, 1, 2))
    rates = {run.cell: run.learning_rate for run in study.runs()}
    assert rates == {"a": 0.003, "b": 0.01, "c": 0.001, "d": 0.001, "e": 0.01} and not study.pending_runs()
    assert study.taken["e"].text == "b, which differs in model.sharing" and study.taken["b"].text == "b"
    store = Store(tmp_path / "out")
    plant(study, store, {})
    results = write_results(study, store, {})
    assert results.tuning is not None and results.tuning.cells[1].at_edge and not results.tuning.cells[1].curve
    shown = as_text(results)
    assert "chosen in small/results.json" in shown and "b, which differs in model.sharing" in shown
    assert "conditional on the chosen settings" in shown and "edge of the grid" in shown
    # The same runs as the lender's own.
    own = with_proposals(make(tmp_path / "lender"), Store(tmp_path / "lender" / "out"))
    assert {run.hash for run in own.runs() if not run.tuning} <= {run.hash for run in study.runs()}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("title: T", "title: T\nsettings: {d_model: 64}"), "differs in model.d_model"),
        (("title: T", "title: T\nsettings: {max_steps: 7}"), r"differs in .*trainer\.max_steps"),
        (("title: T", "title: T\nsettings: {validation_fraction: 0.1}"), "differs in data.validation_fraction"),
        (("simple, p: 0.5", "hgrn2"), "cell 'c' takes no settings from .*none of a, b, c, d has its decay"),
        (("p: 0.5", "p: 0.7"), "equally near"),
        (("title: T", "title: T\nseeds: [5, 1000]"), "seed 1000 of taking serves to choose settings and is reported"),
    ],
)
def test_cells_that_do_not_match_take_nothing(tmp_path: Path, changed: tuple[str, str], told: str) -> None:
    source = lender(tmp_path / "lender")
    text = HEAD.replace("axis: p\nbaseline: a\n", "").replace(*changed)
    with pytest.raises(UserError, match=told):
        borrower(tmp_path, text, source)


def test_cells_without_a_lender_are_tuned_where_the_study_tunes(tmp_path: Path) -> None:
    source = lender(tmp_path / "lender")
    text = HEAD.replace("axis: p\nbaseline: a\n", "").replace("simple, p: 0.5", "hgrn2")
    study = borrower(tmp_path, text, source, sweep="lr=0.1,0.2")
    assert {run.cell for run in study.runs() if run.tuning} == {"c"} == {run.cell for run in study.pending_runs()}


def test_results_without_a_choice_lend_nothing(tmp_path: Path) -> None:
    study, store = expand(read_study(str(small.write_study(tmp_path, HEAD)))), Store(tmp_path / "out")
    plant(study, store, {})
    write_results(study, store, {})
    with pytest.raises(UserError, match="has no chosen settings"):
        borrower(tmp_path, HEAD, tmp_path / "out" / "small")
    with pytest.raises(UserError, match="does not exist"):
        borrower(tmp_path, HEAD, tmp_path / "nowhere")


# -- through the command line ------------------------------------------------------------------------------------

REAL = """\
title: A search
question: Which rate?
scale: tiny
seeds: [0]
axis: decay
baseline: mamba2
settings:
  {layers: 2, d_model: 32, heads: 2, glu_width: 64, sequence_length: 32, global_batch_size: 2, micro_batch_size: 2,
   max_steps: 8, warmup_steps: 1, data.validation_tokens: 500}
grid: {decay: [mamba2, gla]}
tune: {lr: [1e-3, 1e4]}
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study that has tuned for real; at one of its rates every cell diverges."""
    folder = tmp_path_factory.mktemp("real")
    file = small.write_study(folder, REAL, "rates")
    planned = small.call("run-study", str(file), "--out", "out", "--dry-run", "--json", cwd=folder)
    (folder / "planned.json").write_text(planned.stdout)
    done = small.call("run-study", str(file), "--out", "out", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said").write_text(done.stdout + done.stderr)
    return folder


def losses_of(folder: Path, run: dict[str, Any]) -> dict[str, np.ndarray]:
    with np.load(folder / "out" / run["run"] / "validation_documents.npz") as arrays:
        return dict(arrays)


def test_a_study_that_tunes_runs_by_one_command(real: Path) -> None:
    results = json.loads((real / "out/rates/results.json").read_text())
    assert results["complete"]
    for cell in ("mamba2", "gla"):
        runs = [run for run in results["runs"] if run["cell"] == cell]
        assert [(run["seed"], run["tuning"], run["status"], run["learning_rate"]) for run in runs] == [
            (1000, True, "finished", 1e-3),
            (1000, True, "diverged", 1e4),
            (0, False, "finished", 1e-3),
        ]
        assert runs[0]["documents"] != runs[2]["documents"]
        assert not np.array_equal(losses_of(real, runs[0])["bytes"], losses_of(real, runs[2])["bytes"])
    said = (real / "said").read_text()
    assert "diverged" in said and "conditional on the chosen settings" in said and "tuning loss" in said


def test_the_plan_shows_what_tuning_costs(real: Path) -> None:
    plan = json.loads((real / "planned.json").read_text())
    tuning, runs = plan["tuning"], plan["runs"]
    own = [run for run in runs if run["tuning"]]
    assert (tuning["seeds"], tuning["tries"], tuning["runs"], len(runs)) == ([1000], 2, 4, 6)
    for key in ("tokens", "train_flops", "hours", "gpu_hours"):
        assert tuning[key] == pytest.approx(sum(run[key] for run in own))
    whole = sum(run["train_flops"] for run in runs)
    assert tuning["share"] == pytest.approx(tuning["train_flops"] / whole) and 0.6 < tuning["share"] < 0.7
    assert plan["total"]["train_flops"] == whole and len({run["id"] for run in runs}) == 6
    text = small.call("run-study", str(real / "rates.yaml"), "--dry-run", "--out", "new", cwd=real).stdout
    assert "tuning: 4 of 6 runs (2 tries of each cell on seed 1000" in text and "67% of the price of all" in text
    # Once it is done, what was chosen is known.
    after = small.call("run-study", str(real / "rates.yaml"), "--dry-run", "--json", "--out", "out", cwd=real)
    assert json.loads(after.stdout)["total"]["runs"] == 0


def test_finished_tries_stay_and_the_rest_is_trained_when_the_study_is_called_again(real: Path) -> None:
    lost = next((real / "out/store").glob("gla-lr0.001-tuning-*"))
    before = (lost / "validation_documents.npz").read_bytes()
    results = json.loads((real / "out/rates/results.json").read_text())
    for name in ("result.json", "status.json"):
        (lost / name).unlink()
    for path in (lost / "checkpoints").iterdir():
        path.unlink()
    done = small.call("run-study", str(real / "rates.yaml"), "--out", "out", cwd=real)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(" started") == 1 and "gla-lr0.001-tuning-seed1000 started" in done.stderr
    assert (lost / "validation_documents.npz").read_bytes() == before
    again = json.loads((real / "out/rates/results.json").read_text())
    assert [cell["trial"] for cell in again["cells"]] == [cell["trial"] for cell in results["cells"]]


def test_another_study_takes_the_rates_over_by_a_flag_and_by_its_file(real: Path) -> None:
    text = REAL.replace("grid: {decay: [mamba2, gla]}", "grid: {decay: [mamba2]}\ncells: [{name: two, decay: gla}]")
    text = text.replace("tune: {lr: [1e-3, 1e4]}\n", "").replace("baseline: mamba2\n", "")
    flag = small.write_study(real, text, "flag")
    key = small.write_study(real, text + "rates_from: out/rates\n", "key")
    for words in ([str(flag), "--rates-from", "out/rates/results.json"], [str(key)]):
        done = small.call("run-study", *words, "--out", "out", cwd=real)
        assert done.returncode == 0, done.stderr
        assert " started" not in done.stderr, "the runs are those of the study that chose"
        assert "lr0.001" in done.stdout and "Settings are those chosen in" in done.stdout
        assert small.call("report", Path(words[0]).stem, "--out", "out", cwd=real).returncode == 0
    flag.write_text(text.replace("d_model: 32", "d_model: 64"))
    done = small.call("run-study", str(flag), "--rates-from", "out/rates", "--dry-run", "--out", "out", cwd=real)
    assert done.returncode == 2 and "differs in model.d_model" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_run_alone_may_be_judged_on_tuning_documents_but_no_study_is_told_to(tmp_path: Path) -> None:
    done = small.call("run-study", "dplr", "--data.tuning", "true", "--dry-run", cwd=tmp_path)
    assert done.returncode == 2 and "use --tune" in done.stderr
