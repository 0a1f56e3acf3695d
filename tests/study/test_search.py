"""Searches: a sweep over any setting, and one of the user's own that proposes the next runs from results."""

import json
from pathlib import Path

import pytest

from decaystudy.errors import UserError
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.definition.search import Trial
from tests.study.test_own_decay import decaystudy

HEAD = """\
title: A search
question: Which rate?
scale: tiny
seeds: [0]
axis: decay
baseline: mamba2
settings:
  {layers: 2, d_model: 32, heads: 2, glu_width: 64, sequence_length: 32, global_batch_size: 2, micro_batch_size: 2,
   max_steps: 8, warmup_steps: 1, data.validation_tokens: 500}
"""
GRID = "grid: {decay: [mamba2, gla]}\n"
SEARCHES = """\
from decaystudy.study.definition.search import Search


class Walk(Search):
    \"\"\"From ``start`` by factors of two, as long as the loss falls.\"\"\"

    def __init__(self, start, most=4):
        self.start, self.most = start, most

    def propose(self, results):
        if not results:
            return [{"learning_rate": self.start}]
        falls = len(results) < 2 or results[-1].loss < results[-2].loss
        rate = 2 * results[-1].settings["learning_rate"]
        return [{"learning_rate": rate}] if falls and len(results) < self.most else []


class Endless(Search):
    def propose(self, results):
        return [{"warmup_steps": len(results)}]


class Empty(Search):
    def propose(self, results):
        return []


class Wrong(Search):
    def propose(self, results):
        return [{"learning_rat": 0.1}]
"""


def study(folder: Path, tune: str, cells: str = GRID) -> Path:
    (folder / "mine").mkdir(parents=True, exist_ok=True)
    (folder / "mine" / "searches.py").write_text(SEARCHES)
    file = folder / "walk.yaml"
    file.write_text(HEAD + cells + f"tune: {tune}\n")
    return file


@pytest.mark.long
def test_a_search_of_ones_own_proposes_from_results(tmp_path: Path) -> None:
    file, out = study(tmp_path / "file", "{search: mine.searches.Walk, start: 2e-4, most: 3}"), tmp_path / "out"
    done = decaystudy("run-study", str(file), "--out", str(out), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((out / "walk" / "results.json").read_text())
    for name in ("mamba2", "gla"):
        runs = [run for run in results["runs"] if run["cell"] == name and run["tuning"]]
        tried = {run["trial"]["learning_rate"]: run["val_loss"] for run in runs}
        assert list(tried) == [2e-4, 4e-4, 8e-4]  # so few steps always profit from a higher rate
        (cell,) = [cell for cell in results["cells"] if cell["name"] == name]
        assert cell["trial"] == {"learning_rate": min(tried, key=tried.get)}
        assert [run["chosen"] for run in runs] == [rate == cell["learning_rate"] for rate in tried]
        (reported,) = [run for run in results["runs"] if run["cell"] == name and not run["tuning"]]
        assert reported["trial"] == cell["trial"] and reported["val_loss"] == cell["val_loss"]
    assert "lr0.0008" in done.stdout and len({path.name for path in out.glob("store/*-lr0.0004-*")}) == 2
    # Other verbs find all runs, and the same command has nothing left to do.
    assert "8 runs: 8 finished" in decaystudy("status", "walk", "--out", str(out), cwd=tmp_path).stdout
    assert "nothing to remove" in decaystudy("clean", "--out", str(out), cwd=tmp_path).stdout
    again = decaystudy("run-study", str(file), "--out", str(out), cwd=tmp_path)
    assert again.returncode == 0 and "started" not in again.stderr
    assert json.loads((out / "walk" / "results.json").read_text()) == results


def test_a_sweep_tries_any_setting(tmp_path: Path) -> None:
    file = study(tmp_path, "{p: [0.9, 0.99]}", "cells: [{name: simple, decay: simple}, {name: mamba2}]\n")
    with pytest.raises(UserError, match=r"cell 'mamba2' under p0\.9: decay 'mamba2' has no option 'p'"):
        expand(read_study(str(file)))
    file.write_text(file.read_text().replace(", {name: mamba2}", "").replace("baseline: mamba2\n", ""))
    runs = expand(read_study(str(file))).runs()
    assert [run.config.model.decay_options["p"] for run in runs] == [0.9, 0.99]
    assert [run.name for run in runs] == ["simple-p0.9-tuning-seed1000", "simple-p0.99-tuning-seed1000"]
    swept = expand(read_study(str(file)), sweep="layers=1,2").runs()
    assert [run.trial for run in swept] == [Trial.of({"layers": 1}), Trial.of({"layers": 2})]
    assert [run.config.model.layers for run in swept] == [1, 2]


@pytest.mark.parametrize(
    ("tune", "told"),
    [
        ("{search: mine.searches.Missing}", "cannot import the search 'mine.searches.Missing'"),
        ("{search: mine.searches.Walk}", "takes other arguments than none"),
        ("{search: pathlib.Path}", "is not a search"),
        ("{search: mine.searches.Empty}", "proposes nothing to try"),
        ("{search: mine.searches.Wrong}", "unknown setting 'learning_rat': did you mean 'learning_rate'?"),
        ("{learning_rat: [0.1]}", "did you mean 'learning_rate'?"),
        ("{lr: []}", "give a list"),
        ("{sequence_length: [16, 32]}", "changes what losses are of"),
        ("{tokenizer: ['bpe:300', 'bpe:400']}", "changes what losses are of"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(tmp_path: Path, tune: str, told: str) -> None:
    done = decaystudy("run-study", str(study(tmp_path, tune)), "--dry-run", cwd=tmp_path)
    assert done.returncode == 2 and told in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_search_without_end_is_ended(tmp_path: Path) -> None:
    from decaystudy.imports import add_import_folder
    from decaystudy.study.definition.search import MOST_TRIALS, TrialResult, new_trials, open_search

    study(tmp_path, "lr")
    add_import_folder(tmp_path)
    search = open_search("mine.searches.Endless", {})
    known = [Trial.of({"warmup_steps": n}) for n in range(MOST_TRIALS)]
    with pytest.raises(UserError, match="more than 100 trials"):
        new_trials(search, [TrialResult(trial.as_dict(), (1.0,)) for trial in known], known)
