"""The figures of a study on where λ went, on the scale of half-lives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from decaystudy.plotting import INK, MUTED, add_legend, draw_line, new_figure, whole_numbers
from decaystudy.runs.result import LayerDecay
from decaystudy.study.analysis.results import CellResult, StudyResults
from decaystudy.study.reporting.styles import cell_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHORTEST, LONGEST = 0.1, 1e4
"""Half-lives in tokens beyond these are drawn as these."""
MARKS = (0.01, 0.1, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999)
"""λ that an axis of half-lives names."""
MOST_BANDS = 4
"""Cells whose quartiles are shown; those of more would hide each other."""
LEAST_GAP = 0.05
"""Between labels, in heights of the axes."""


def half_life(decay: float) -> float:
    """ln ½ / ln λ in tokens, as it is drawn."""
    if decay <= 0 or decay >= 1:
        return SHORTEST if decay <= 0 else LONGEST
    return min(max(math.log(0.5) / math.log(decay), SHORTEST), LONGEST)


def decays(results: StudyResults) -> Figure | None:
    """Half-life of the median λ against the layer, one line per cell (geometric mean over its seeds)."""
    seeds = _by_cell((run.cell, run.decay) for run in results.runs if not run.tuning)
    starts = _by_cell((run.cell, run.decay_start) for run in results.runs if not run.tuning)
    if not seeds:
        return None
    figure, axes = new_figure()
    styles = cell_styles(results)
    for name, runs in seeds.items():
        layers = list(zip(*runs, strict=True))
        places = range(len(layers))
        draw_line(axes, styles[name], places, [_mean([one.median for one in layer]) for layer in layers], name)
        if len(seeds) <= MOST_BANDS:
            low, high = ([_mean([getattr(one, key) for one in layer]) for layer in layers] for key in ("q25", "q75"))
            axes.fill_between(places, low, high, color=styles[name].colour, alpha=0.15, linewidth=0)
    for name, runs in starts.items():
        medians = [_mean([one.median for one in layer]) for layer in zip(*runs, strict=True)]
        style = styles[name]
        axes.plot(medians, style.marker, markersize=6, fillstyle="none", color=style.colour, markeredgewidth=0.6)
    axes.axhline(half_life(0.8), color=MUTED, linewidth=0.8)
    log_half_lives(axes)
    axes.set_xlabel("layer")
    axes.set_ylabel("half-life of the median λ, tokens")
    whole_numbers(axes)
    _name_decays(axes)
    add_legend(axes, 1.12)
    return figure


def loss_by_decay(results: StudyResults) -> Figure | None:
    """Validation loss against median λ, one point per cell with its interval."""
    points = [
        (cell, loss, _interval(cell, loss))
        for cell in results.cells
        for loss in (cell.bits_per_byte if results.tokenizers > 1 else cell.val_loss,)
        if cell.median_decay is not None and loss is not None
    ]
    if len(points) < 2:
        return None
    figure, axes = new_figure(max(4.0, 0.2 * len(points) + 1.0))
    styles = cell_styles(results)
    for cell, loss, (below, above) in points:
        style, x = styles[cell.name], half_life(cell.median_decay or 0.0)
        axes.errorbar(
            [x], [loss], [[below], [above]], fmt=style.marker, color=style.colour, markersize=5, elinewidth=1, capsize=2
        )
    axes.set_xscale("log")
    axes.set_xlim(*_room([half_life(cell.median_decay or 0.0) for cell, _, _ in points]))
    low, high = axes.get_xlim()
    marks = [mark for mark in MARKS if low <= half_life(mark) <= high]
    axes.set_xticks([half_life(mark) for mark in marks], [f"{mark:g}" for mark in marks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("median λ over layers, on the scale of half-lives")
    axes.set_ylabel(f"validation loss, {results.unit}")
    bottom, top = axes.get_ylim()
    ordered = sorted(points, key=lambda point: point[1])
    heights = spread(
        [(loss - bottom) / (top - bottom) for _, loss, _ in ordered], LEAST_GAP * 4.0 / figure.get_figheight()
    )
    for (cell, loss, _), height in zip(ordered, heights, strict=True):
        axes.annotate(
            cell.name,
            (half_life(cell.median_decay or 0.0), loss),
            xytext=(1.02, height),
            textcoords="axes fraction",
            fontsize=7,
            color=INK,
            va="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": MUTED, "relpos": (0, 0.5)},
        )
    return figure


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Rising places of labels, moved apart by at least ``gap`` and together down where they pass the top."""
    found: list[float] = []
    for height in heights:
        found.append(max(height, found[-1] + gap) if found else height)
    highest = 1.0
    for i in range(len(found) - 1, -1, -1):
        found[i] = min(found[i], highest)
        highest = found[i] - gap
    return found


def log_half_lives(axes: Axes) -> None:
    """A vertical axis of half-lives, with numbers as people write them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _by_cell(
    found: Iterable[tuple[str, Sequence[LayerDecay] | None]],
) -> dict[str, list[Sequence[LayerDecay]]]:
    """The layers of each run by cell, of runs that have any."""
    cells: dict[str, list[Sequence[LayerDecay]]] = {}
    for cell, layers in found:
        if layers:
            cells.setdefault(cell, []).append(layers)
    return cells


def _interval(cell: CellResult, loss: float) -> tuple[float, float]:
    """What the interval of a loss has below and above it, in the unit of the loss; nothing with one seed."""
    if cell.low is None or cell.high is None or not cell.val_loss:
        return 0.0, 0.0
    scale = loss / cell.val_loss
    return (cell.val_loss - cell.low) * scale, (cell.high - cell.val_loss) * scale


def _mean(decays: Sequence[float]) -> float:
    """Geometric mean of half-lives."""
    return math.exp(math.fsum(math.log(half_life(decay)) for decay in decays) / len(decays))


def _room(values: Sequence[float]) -> tuple[float, float]:
    return min(values) / 1.5, max(values) * 1.5


def _name_decays(axes: Axes) -> None:
    """λ on the right of an axis of half-lives."""
    low, high = axes.get_ylim()
    marks = [mark for mark in MARKS if low <= half_life(mark) <= high]
    right = axes.twinx()
    right.set_yscale("log")
    right.set_ylim(low, high)
    right.set_yticks([half_life(mark) for mark in marks], [f"{mark:g}" for mark in marks])
    right.set_yticks([], minor=True)
    right.set_ylabel("λ")
    right.spines[["top", "left"]].set_visible(False)
