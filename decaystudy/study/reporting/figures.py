"""The figures of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from decaystudy.evaluation import figures
from decaystudy.evaluation.tasks.catalog import NEEDLE_DISTANCES
from decaystudy.evaluation.tasks.chance import chance
from decaystudy.plotting import BETTER, INK, MUTED, WORSE, add_legend, draw_interval, draw_line, line_style, new_figure
from decaystudy.study.analysis.answer import share_text, tokens_text
from decaystudy.study.analysis.results import ComparisonVerdict, StudyResults, in_bits
from decaystudy.study.definition.tuning import Tried
from decaystudy.study.reporting.curve_figures import Curves, loss_curves
from decaystudy.study.reporting.decay_curve_figures import decay_curves
from decaystudy.study.reporting.decay_figures import decays, loss_by_decay
from decaystudy.study.reporting.styles import cell_styles
from decaystudy.study.reporting.tables.fields import seeds_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def all_figures(results: StudyResults, curves: Curves) -> dict[str, Figure]:
    """By name, those that this study has.

    Args:
        curves: of its runs, as far as they are known.
    """
    drawn = {
        "losses": losses(results),
        "differences": differences(results),
        "loss_curves": loss_curves(results, curves),
        "tuning": tuning(results),
        "recall_by_distance": recall_by_distance(results),
        "loss_by_position": loss_by_position(results),
        "decays": decays(results),
        "decay_curves": decay_curves(results, curves),
        "loss_by_decay": loss_by_decay(results),
    }
    found = {name: figure for name, figure in drawn.items() if figure is not None}
    for figure in found.values():
        if figure.get_supxlabel():  # one of panels
            figure.suptitle(about(results), x=0.02, ha="left", fontsize=7, color=INK)
        else:
            figure.axes[0].set_title(about(results), loc="left", fontsize=7, color=INK)
    return found


def about(results: StudyResults) -> str:
    """What stands above each figure, wherever it is shown: study, scale, seeds, tokens."""
    tokens = tokens_text(results)
    trained = [f"{tokens} ({share_text(results)} per parameter)"] if tokens else []
    seeds = f"seed{'' if len(results.seeds) == 1 else 's'} {seeds_text(results.seeds)}"
    return ", ".join([f"{results.study} at {results.scale}", seeds, *trained])


def differences(results: StudyResults) -> Figure | None:
    """Differences with their intervals, coloured where one cell is better, and the margins within which they count as
    none; None with one seed, which has no intervals."""
    rows, margins = [], []
    colours = {ComparisonVerdict.BETTER: BETTER, ComparisonVerdict.WORSE: WORSE}
    for row in map(in_bits, results.comparisons) if results.tokenizers > 1 else results.comparisons:
        if row.difference is not None and row.low is not None and row.high is not None and row.unit == results.unit:
            colour = colours.get(row.verdict, MUTED)
            rows.append((f"{row.a} − {row.b}", row.low, row.difference, row.high, colour))
            margins.append(row.margin)
    label = f"difference in validation loss, {results.unit} (below zero: the first is better)"
    return intervals(rows, label, zero=True, margins=margins)


def losses(results: StudyResults) -> Figure | None:
    """Each cell's validation loss with its interval; None with one seed, and for different tokenizers."""
    rows = [
        (cell.name, cell.low, cell.val_loss, cell.high, INK)
        for cell in results.cells
        if results.tokenizers < 2 and cell.val_loss is not None and cell.low is not None and cell.high is not None
    ]
    return intervals(rows, "validation loss, nats per token")


def intervals(
    rows: Sequence[tuple[str, float, float, float, str]],
    label: str,
    *,
    zero: bool = False,
    margins: Sequence[float | None] = (),
) -> Figure | None:
    """Values with their intervals, from above; None where there are none.

    Args:
        rows: name, low, value, high and colour of each.
        zero: mark zero by a line.
        margins: of each row, shaded on both sides of zero; None for a row that has none.
    """
    if not rows:
        return None
    figure, axes = new_figure(0.32 * len(rows) + 1.0)
    upward = list(reversed(rows))
    for y, (_, low, value, high, colour) in enumerate(upward):
        draw_interval(axes, y, low, value, high, colour)
    for y, margin in enumerate(reversed(margins)):
        if margin is not None:
            axes.barh(y, 2 * margin, left=-margin, height=0.8, color=MUTED, alpha=0.25, linewidth=0, zorder=0)
    if zero:
        axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [name for name, *_ in upward])
    axes.set_xlabel(label)
    return figure


def tuning(results: StudyResults) -> Figure | None:
    """Loss on tuning documents against the one number that was tried, a line per cell; None for other searches."""
    curves = [cell for cell in results.tuning.cells if cell.curve] if results.tuning is not None else []
    names = {name for cell in curves for one in cell.curve for name in one.settings}
    values = [value for cell in curves for one in cell.curve for value in one.settings.values()]
    if len(names) != 1 or not all(isinstance(value, (int, float)) and value > 0 for value in values):
        return None
    (name,) = names
    figure, axes = new_figure()
    styles = cell_styles(results)
    for i, cell in enumerate(curves):
        known = sorted((one for one in cell.curve if one.loss is not None), key=lambda one: float(one.settings[name]))
        x = [float(one.settings[name]) for one in known]
        y, errors = zip(*(curve_point(one, results) for one in known), strict=True) if known else ((), ())
        style = styles.get(cell.cell, line_style(i))
        colour = style.colour
        draw_line(axes, style, x, y, cell.cell)
        axes.errorbar(x, y, errors, fmt="none", ecolor=colour, elinewidth=0.8, capsize=2)
        for at, loss, one in zip(x, y, known, strict=True):
            if one.settings == cell.chosen:
                axes.plot(at, loss, "o", markersize=9, fillstyle="none", color=colour)
    axes.set_xscale("log")
    axes.set_xlabel(name.replace("_", " "))
    axes.set_ylabel(f"loss on tuning documents, {results.unit}")
    add_legend(axes)
    return figure


def curve_point(one: Tried, results: StudyResults) -> tuple[float, float]:
    """Loss of a trial and its standard error, in the unit of the results."""
    assert one.loss is not None
    loss = one.bits_per_byte if results.tokenizers > 1 else one.loss
    return (math.nan, 0.0) if loss is None else (loss, (one.standard_error or 0.0) * loss / one.loss)


def loss_by_position(results: StudyResults) -> Figure | None:
    """Loss against the position in the sequence, one line per cell, over the lengths that were measured. With several
    seeds there are intervals."""
    measured = [cell for cell in results.cells if cell.positions and results.tokenizers < 2]
    if not measured:
        return None
    lengths = {cell.lengths[0].length for cell in measured if cell.lengths}
    bands = {
        cell.name: [(at.low, at.high) for at in cell.positions if at.low is not None and at.high is not None]
        for cell in measured
        if all(at.low is not None for at in cell.positions)
    }
    by_cell = {cell.name: cell.positions for cell in measured}
    return figures.loss_by_position(by_cell, lengths, cell_styles(results), bands)


def recall_by_distance(results: StudyResults) -> Figure | None:
    """Accuracy at recalling a needle against its distance, one line per cell; a line marks chance. With several
    seeds there are intervals."""
    tasks = {distance: f"recall_needle_{distance}" for distance in NEEDLE_DISTANCES}
    asked = [cell for cell in results.cells if any(task in cell.tasks for task in tasks.values())]
    if not asked:
        return None
    figure, axes = new_figure()
    styles = cell_styles(results)
    for cell in asked:
        found = [(at, cell.tasks[task]) for at, task in tasks.items() if task in cell.tasks]
        known = [(at, task) for at, task in found if task.accuracy is not None]
        distances = [at for at, _ in known]
        values = [task.accuracy or 0.0 for _, task in known]
        draw_line(axes, styles[cell.name], distances, values, cell.name)
        bounded = [(at, task.low, task.high) for at, task in known if task.low is not None and task.high is not None]
        if bounded:
            places, low, high = zip(*bounded, strict=True)
            axes.fill_between(places, low, high, color=styles[cell.name].colour, alpha=0.15, linewidth=0)
    axes.axhline(chance(tasks[NEEDLE_DISTANCES[0]]) or 0.0, color=MUTED, linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("distance, tokens")
    axes.set_ylabel("accuracy")
    add_legend(axes)
    return figure
