"""Curves of a study, of losses and of λ: tokens on the axis, means over seeds, no run left out in silence."""

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
from decaystudy.study.reporting.decay_curve_figures import MEDIANS, decay_curves
from decaystudy.study.reporting.figures import all_figures
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


def decays(results: StudyResults) -> dict[str, dict[str, Curve]]:
    """λ of two layers: those of gla rise, each seed to its own, those of mamba2 in the second layer only, and those of
    hgrn2 stay."""
    steps = np.array([0.0, 20.0, 40.0])
    still = np.full(3, 0.5)
    rising = {"gla": (0, 1), "mamba2": (1,), "hgrn2": ()}
    return {
        run.id: {
            f"{MEDIANS[0]}layer_{layer:02d}": Curve(
                steps, 0.5 ** (1 / np.array([1.0, 2.0, (2.0, 8.0)[run.seed]])) if layer in rising[run.cell] else still
            )
            for layer in (0, 1)
        }
        for run in results.runs
    }


def test_half_lives_over_training_have_a_panel_for_each_cell_whose_decay_moved(results: StudyResults) -> None:
    figure = decay_curves(results, decays(results))
    assert figure is not None
    panels = {axes.texts[0].get_text(): axes for axes in figure.axes if axes.texts}
    assert set(panels) == {"mamba2", "gla"}
    tokens = results.runs[0].tokens
    assert tokens is not None
    for name, ends in (("gla", (4.0, 4.0)), ("mamba2", (1.0, 4.0))):
        lines = panels[name].lines
        assert [line.get_ydata()[-1] for line in lines] == pytest.approx(ends), "geometric mean of 2 and 8 tokens"
        assert list(lines[1].get_xdata()) == pytest.approx([0, tokens / 2e6, tokens / 1e6])
        assert list(lines[1].get_ydata()) == pytest.approx([1, 2, 4])


def test_decays_that_run_to_their_ends_are_drawn_at_the_edges(results: StudyResults) -> None:
    found = decays(results)
    for curves_of_run in found.values():
        for curve in curves_of_run.values():
            curve.values[:] = [0.0, 0.5, 1.0]
    figure = decay_curves(results, found)
    assert figure is not None
    assert list(figure.axes[0].lines[0].get_ydata()) == pytest.approx([0.1, 1, 1e4])


def test_a_run_that_has_not_finished_has_no_part_in_its_decays(results: StudyResults) -> None:
    runs = tuple(replace(run, status=RunState.KILLED) if run.seed else run for run in results.runs)
    figure = decay_curves(replace(results, runs=runs), decays(results))
    assert figure is not None
    assert figure.axes[0].lines[1].get_ydata()[-1] == pytest.approx(2)


def test_decays_that_stayed_or_are_not_known_are_not_drawn(results: StudyResults) -> None:
    still = {run.id: curve for run in results.runs for curve in [decays(results)[run.id]] if run.cell == "hgrn2"}
    assert decay_curves(results, still) is None
    assert decay_curves(results, {}) is None and decay_curves(results, curves(results)) is None
    assert "decay_curves" in all_figures(results, decays(results))


def test_runs_from_before_and_after_a_change_of_names_share_their_layers(results: StudyResults) -> None:
    """Of a run that has both, the later one counts."""
    found = decays(results)
    for run in results.runs:
        for layer in (0, 1) if run.cell == "gla" else ():
            curve = found[run.id][f"{MEDIANS[0]}layer_{layer:02d}"]
            found[run.id][f"{MEDIANS[1]}layer_{layer:02d}"] = (
                curve if run.seed == 0 else Curve(curve.steps, curve.values / 2)
            )
            if run.seed == 0:
                del found[run.id][f"{MEDIANS[0]}layer_{layer:02d}"]
    figure = decay_curves(results, found)
    assert figure is not None
    (panel,) = [axes for axes in figure.axes if axes.texts and axes.texts[0].get_text() == "gla"]
    assert [list(line.get_ydata()) for line in panel.lines] == [pytest.approx([1, 2, 4])] * 2
