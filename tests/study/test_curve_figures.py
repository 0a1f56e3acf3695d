"""Loss curves of a study: tokens on the axis, means over seeds, no run left out in silence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decaystudy.runs.curves import Curve
from decaystudy.runs.state import RunState
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting.curve_figures import TRAINING, VALIDATION, loss_curves, smoothed
from tests.study import small
from tests.study.planted import answer_of, plant


@pytest.fixture
def results(tmp_path: Path) -> StudyResults:
    study = expand(read_study(str(small.write_study(tmp_path / "file"))), seeds=(0, 1))
    plant(study, Store(tmp_path / "out"), {})
    return answer_of(study, Store(tmp_path / "out"))


def curves(results: StudyResults) -> dict[str, dict[str, Curve]]:
    """Validation losses that lie 0.2 apart between seeds, and a training loss that falls from a great height."""
    steps = np.arange(0.0, 41.0)
    return {
        run.id: {
            VALIDATION: Curve(steps[::20], np.array([9.0, 5.0, 4.0]) + 0.2 * run.seed),
            TRAINING: Curve(steps, 9 - steps / 10),
        }
        for run in results.runs
    }


def test_means_over_seeds_stand_over_tokens(results: StudyResults) -> None:
    figure = loss_curves(results, curves(results))
    assert figure is not None
    lines = {line.get_label(): line for line in figure.axes[0].lines if not line.get_label().startswith("_")}
    assert set(lines) == {"mamba2", "gla", "hgrn2"}
    tokens = results.runs[0].tokens
    assert tokens is not None
    assert list(lines["gla"].get_xdata()) == pytest.approx([0, tokens / 2e6, tokens / 1e6])
    assert list(lines["gla"].get_ydata()) == pytest.approx([9.1, 5.1, 4.1])
    assert figure.axes[0].get_ylim()[1] < 9, "the beginning decides nothing"


def test_seeds_of_unlike_length_meet_where_both_have_been(results: StudyResults) -> None:
    found = curves(results)
    first = next(run for run in results.runs if run.cell == "gla")
    found[first.id][VALIDATION] = Curve(np.array([0.0, 40.0]), np.array([9.0, 4.0]))
    figure = loss_curves(results, found)
    assert figure is not None
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "gla"]
    assert list(line.get_ydata()) == pytest.approx([9.1, 4.1])


def test_a_run_that_has_not_finished_is_in_no_mean(results: StudyResults) -> None:
    runs = tuple(
        replace(run, status=RunState.KILLED) if run.cell == "gla" and run.seed else run for run in results.runs
    )
    figure = loss_curves(replace(results, runs=runs), curves(results))
    assert figure is not None
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "gla"]
    assert list(line.get_ydata()) == pytest.approx([9.0, 5.0, 4.0])


def test_there_is_none_without_curves(results: StudyResults) -> None:
    assert loss_curves(results, {}) is None
    assert loss_curves(results, {run.id: {} for run in results.runs}) is None


def test_a_running_mean_ends_at_its_point() -> None:
    values = np.arange(100.0) ** 2
    got = smoothed(Curve(np.arange(1.0, 101.0), values)).values
    expected = [np.mean(values[max(0, i - 5) : i + 1]) for i in range(100)]
    assert got == pytest.approx(expected, rel=1e-12)
    assert smoothed(Curve(np.empty(0), np.empty(0))).values.size == 0
