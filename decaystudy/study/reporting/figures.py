"""The figures of a study as SVG text. Needs no torch."""

from __future__ import annotations

import io
from typing import Any

from decaystudy.evaluation.tasks.catalog import NEEDLE_DISTANCES
from decaystudy.evaluation.tasks.recall import chance
from decaystudy.study.analysis.results import ComparisonVerdict, StudyResults

INK, ACCENT, MUTED = "#1f2937", "#b45309", "#9ca3af"
LINES = ("-", "--", ":", "-.")


def differences(results: StudyResults) -> str | None:
    """Paired differences with their intervals, those that hold zero in grey."""
    rows = [row for row in results.comparisons if row.difference is not None]
    if not rows:
        return None
    figure, axes = _figure(8.0, 0.32 * len(rows) + 1.0)
    for y, row in enumerate(reversed(rows)):
        colour = MUTED if row.verdict == ComparisonVerdict.INDISTINGUISHABLE else ACCENT
        axes.plot([row.low, row.high], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot(row.difference, y, "o", color=colour, markersize=5)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{row.a} − {row.b}" for row in reversed(rows)])
    axes.set_xlabel("difference in validation loss, nats a token (below zero: the first is better)")
    return _svg(figure)


def losses(results: StudyResults) -> str | None:
    """Each cell's validation loss with its interval."""
    rows = [cell for cell in results.cells if cell.val_loss is not None]
    if not rows:
        return None
    figure, axes = _figure(8.0, 0.32 * len(rows) + 1.0)
    for y, row in enumerate(reversed(rows)):
        axes.plot([row.low, row.high], [y, y], color=INK, linewidth=2, solid_capstyle="butt")
        axes.plot(row.val_loss, y, "o", color=INK, markersize=5)
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    axes.set_xlabel("validation loss, nats a token")
    return _svg(figure)


def decays(results: StudyResults) -> str | None:
    """Median λ against the layer, one line a cell (the mean over its seeds)."""
    series: dict[str, list[list[float]]] = {}
    for run in results.runs:
        if run.decay and run.chosen is not False:
            series.setdefault(run.cell, []).append([layer.median for layer in run.decay])
    if not series:
        return None
    figure, axes = _figure(8.0, 4.5)
    colours = _colours(len(series))
    for i, (name, seeds) in enumerate(series.items()):
        mean = [sum(layer) / len(layer) for layer in zip(*seeds, strict=True)]
        axes.plot(range(len(mean)), mean, LINES[i % 4], marker="o", markersize=3, color=colours[i], label=name)
    axes.axhline(0.8, color=MUTED, linewidth=0.8)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("layer")
    axes.set_ylabel("median λ")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return _svg(figure)


def loss_by_position(results: StudyResults) -> str | None:
    """Loss against the position in the sequence, one line a cell, over the lengths that were measured."""
    rows = [cell for cell in results.cells if cell.positions]
    if not rows:
        return None
    figure, axes = _figure(8.0, 4.5)
    colours = _colours(len(rows))
    for i, row in enumerate(rows):
        middles = [(at.first + at.last) / 2 + 1 for at in row.positions]
        losses = [at.loss for at in row.positions]
        axes.plot(middles, losses, LINES[i % 4], marker="o", markersize=3, color=colours[i], label=row.name)
    for length in {row.lengths[0].length for row in rows}:
        axes.axvline(length, color=MUTED, linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("position")
    axes.set_ylabel("loss, nats a token")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return _svg(figure)


def recall_by_distance(results: StudyResults) -> str | None:
    """Accuracy at recalling a needle against its distance, one line a cell, with intervals and the level of chance."""
    tasks = {distance: f"recall_needle_{distance}" for distance in NEEDLE_DISTANCES}
    rows = [cell for cell in results.cells if any(task in cell.tasks for task in tasks.values())]
    if not rows:
        return None
    figure, axes = _figure(8.0, 4.5)
    colours = _colours(len(rows))
    for i, row in enumerate(rows):
        known = {at: row.tasks[task] for at, task in tasks.items() if task in row.tasks}
        known = {at: answer for at, answer in known.items() if answer.accuracy is not None}
        distances, answers = list(known), list(known.values())
        values = [answer.accuracy for answer in answers]
        low, high = [answer.low for answer in answers], [answer.high for answer in answers]
        axes.plot(distances, values, LINES[i % 4], marker="o", markersize=3, color=colours[i], label=row.name)
        axes.fill_between(distances, low, high, color=colours[i], alpha=0.15, linewidth=0)
    axes.axhline(chance(tasks[NEEDLE_DISTANCES[0]]), color=MUTED, linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("distance, tokens")
    axes.set_ylabel("accuracy")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return _svg(figure)


def loss_by_decay(results: StudyResults) -> str | None:
    """Validation loss against median λ, one point a cell."""
    rows = [cell for cell in results.cells if cell.median_decay is not None]
    if len(rows) < 2:
        return None
    figure, axes = _figure(8.0, 4.0)
    for row in rows:
        axes.plot(row.median_decay, row.val_loss, "o", color=ACCENT, markersize=5)
        at = (row.median_decay, row.val_loss)
        axes.annotate(row.name, at, xytext=(5, 3), textcoords="offset points", fontsize=7, color=INK)
    axes.set_xlabel("median λ over layers")
    axes.set_ylabel("validation loss")
    return _svg(figure)


def _figure(width: float, height: float) -> Any:
    import matplotlib
    from matplotlib.figure import Figure

    # Text stays text, and the same numbers give the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "decaystudy", "font.size": 9})
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _colours(count: int) -> list[Any]:
    import matplotlib

    chart = matplotlib.colormaps["viridis"]
    return [chart(i / max(count - 1, 1) * 0.9) for i in range(count)]


def _svg(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
