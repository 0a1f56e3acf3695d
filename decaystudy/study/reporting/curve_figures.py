"""The figure of a study on how the losses of its runs fell; and the curves of its runs, of losses and of λ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from decaystudy.plotting import LineStyle, add_legend, draw_line, new_figure
from decaystudy.runs.curves import Curve, read_curves
from decaystudy.runs.state import RunState
from decaystudy.study.analysis.results import RunRow, StudyResults
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting.styles import cell_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VALIDATION, TRAINING = "validation/loss", "train/loss"
Curves = Mapping[str, Mapping[str, Curve]]
"""By run (its id) and TensorBoard's name."""
WINDOW = 0.05
"""Share of the run over which a training loss is averaged."""
BEGINNING = 0.05
"""Share of the run whose losses do not decide the height of the figure: every run falls from the same height."""


def curves_of(results: StudyResults, store: Store) -> Curves:
    """Losses and λ over training of a study's finished runs; none of a run whose curves went elsewhere."""
    places = {run.id: store.out / run.run for run in results.runs if run.run is not None and is_drawn(run)}
    return {id: read_curves(place) for id, place in places.items()}


def is_drawn(run: RunRow) -> bool:
    """Whether a run counts: it serves a comparison, and has finished."""
    return run.status == RunState.FINISHED and not run.tuning


def loss_curves(results: StudyResults, curves: Curves) -> Figure | None:
    """Loss of finished runs against the tokens trained on: validation with its points, and the training loss beside it
    as a thin line; None where no run has a curve, and for different tokenizers, whose losses are of different things.
    """
    if results.tokenizers > 1:
        return None
    drawn = [run for run in results.runs if is_drawn(run) and {VALIDATION, TRAINING} & curves.get(run.id, {}).keys()]
    found = {cell.name: runs for cell in results.cells if (runs := [run for run in drawn if run.cell == cell.name])}
    if not found:
        return None
    figure, axes = new_figure()
    styles = cell_styles(results)
    highest: list[float] = []
    for name, runs in found.items():
        training = together([smoothed(over_tokens(run, curves, TRAINING)) for run in runs])
        validation = together([over_tokens(run, curves, VALIDATION) for run in runs])
        highest += draw(axes, styles[name], name, training, validation)
    if highest:
        axes.set_ylim(top=max(highest))
    axes.set_xlim(left=0)
    axes.set_xlabel("tokens trained on, millions")
    axes.set_ylabel("loss, nats per token")
    add_legend(axes)
    return figure


def over_tokens(run: RunRow, curves: Curves, name: str) -> Curve:
    """One curve of a run against millions of tokens; without points where it has none."""
    curve = curves[run.id].get(name)
    if curve is None or not run.step or not run.tokens:
        return Curve(np.empty(0), np.empty(0))
    return Curve(curve.steps * (run.tokens / run.step / 1e6), curve.values)


def smoothed(curve: Curve) -> Curve:
    """Each value as the mean over a window that ends there."""
    if not len(curve.steps):
        return curve
    begins = np.searchsorted(curve.steps, curve.steps - WINDOW * curve.steps[-1], side="left")
    sums = np.concatenate([[0.0], np.cumsum(curve.values)])
    ends = np.arange(1, len(curve.values) + 1)
    return Curve(curve.steps, (sums[ends] - sums[begins]) / (ends - begins))


def together(curves: Sequence[Curve]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The places that all curves have a value at, and (curves, places) values."""
    if not curves:
        return np.empty(0), np.empty((0, 0))
    common = curves[0].steps
    for curve in curves[1:]:
        common = common[np.isin(common, curve.steps)]
    rows = [curve.values[np.searchsorted(curve.steps, common)] for curve in curves]
    return common, np.stack(rows)


def draw(
    axes: Axes,
    style: LineStyle,
    name: str,
    training: tuple[NDArray[np.float64], NDArray[np.float64]],
    validation: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> list[float]:
    """Draw the curves of a cell; returns the losses that the figure must show."""
    shown: list[float] = []
    label = name
    for (tokens, losses), thin in ((validation, False), (training, True)):
        if not len(tokens):
            continue
        middle = losses.mean(axis=0)
        if thin:
            axes.plot(tokens, middle, style.dash, color=style.colour, linewidth=0.7, alpha=0.6, label=label or None)
        else:
            draw_line(axes, style, list(tokens), list(middle), label)
            axes.fill_between(
                tokens, losses.min(axis=0), losses.max(axis=0), color=style.colour, alpha=0.15, linewidth=0
            )
        label = ""
        shown += list(losses[:, tokens > BEGINNING * tokens[-1]].max(axis=0))
    return shown
