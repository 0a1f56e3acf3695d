"""The figures of evaluations. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.runs.evaluation import Evaluation

INK, MUTED = "#1f2937", "#9ca3af"
LINES = ("-", "--", ":", "-.")


def median_by_layer(cells: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
    """The paper's figure: median λ against the layer, one line a cell, with the quartiles where there is one cell."""
    figure, axes, colours = _figure(len(cells))
    for i, (name, rows) in enumerate(cells.items()):
        layers = [row["layer"] for row in rows]
        axes.plot(layers, [row["median"] for row in rows], LINES[i % 4], marker="o", markersize=3, color=colours[i],
                  label=name)  # fmt: skip
        if len(cells) == 1:
            axes.fill_between(layers, [r["q25"] for r in rows], [r["q75"] for r in rows], color=colours[i], alpha=0.2)
    axes.axhline(0.8, color=MUTED, linewidth=0.8)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("layer")
    axes.set_ylabel("median λ")
    axes.xaxis.get_major_locator().set_params(integer=True)
    _legend(axes)
    return figure


def loss_by_position(cells: Mapping[str, Evaluation]) -> Any:
    """Loss against the position in the sequence, one line a cell; the training length is marked."""
    figure, axes, colours = _figure(len(cells))
    for i, (name, values) in enumerate(cells.items()):
        rows = values.positions or ()
        middles = [(row.first + row.last) / 2 + 1 for row in rows]
        axes.plot(middles, [row.loss for row in rows], LINES[i % 4], marker="o", markersize=3, color=colours[i],
                  label=name)  # fmt: skip
    for length in {values.lengths[0].length for values in cells.values() if values.lengths}:
        axes.axvline(length, color=MUTED, linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("position (the grey line: training length)")
    axes.set_ylabel("loss, nats per token")
    _legend(axes)
    return figure


def save(figure: Any, file: str | Path) -> Path:
    """Write a figure; the ending says as what (svg, pdf or png).

    Raises:
        UserError: it cannot be written, or not as that.
    """
    target = Path(file)
    try:
        figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None, dpi=200)
    except OSError as error:
        raise UserError(f"cannot write {target}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise UserError(f"cannot draw {target}: name a file that ends in .svg, .pdf or .png") from error
    return target


def _figure(cells: int) -> tuple[Any, Any, list[Any]]:
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "decaystudy", "font.size": 9})
    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    chart = matplotlib.colormaps["viridis"]
    return figure, axes, [chart(i / max(cells - 1, 1) * 0.9) for i in range(cells)]


def _legend(axes: Any) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
