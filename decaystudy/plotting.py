"""One style for all figures: colours, lines, legend, files. Imports matplotlib when it draws."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decaystudy.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, ACCENT, MUTED = "#1f2937", "#b45309", "#9ca3af"
WIDTH, HEIGHT = 8.0, 4.5
"""Of a figure, in inches, unless it says otherwise."""
_LINES = ("-", "--", ":", "-.")
# Text stays text, and the same numbers give the same file.
_SETTINGS: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "decaystudy", "font.size": 9}


def new_figure(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(_SETTINGS)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def colours(count: int) -> list[Any]:
    """Colours that tell ``count`` lines apart."""
    import matplotlib

    chart = matplotlib.colormaps["viridis"]
    return [chart(i / max(count - 1, 1) * 0.9) for i in range(count)]


def draw_line(axes: Axes, number: int, count: int, x: Sequence[float], y: Sequence[float], label: str) -> Any:
    """Draw line ``number`` of ``count``, and return its colour."""
    colour = colours(count)[number]
    axes.plot(x, y, _LINES[number % len(_LINES)], marker="o", markersize=3, color=colour, label=label)
    return colour


def draw_interval(axes: Axes, row: int, low: float, value: float, high: float, colour: str) -> None:
    """Draw a value with its interval at the height of ``row``."""
    axes.plot([low, high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot(value, row, "o", color=colour, markersize=5)


def whole_numbers(axes: Axes) -> None:
    """Mark the horizontal axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def add_legend(axes: Axes) -> None:
    """A legend to the right of the axes."""
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)


def svg(figure: Figure) -> str:
    """The figure as an svg element."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def save(figure: Figure, file: str | Path) -> Path:
    """Write a figure; the ending says as what (svg, pdf or png).

    Raises:
        UserError: it cannot be written, or not as that.
    """
    target = Path(file)
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    try:
        figure.savefig(target, metadata=undated.get(target.suffix), dpi=200)
    except OSError as error:
        raise UserError(f"cannot write {target}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise UserError(f"cannot draw {target}: name a file that ends in .svg, .pdf or .png") from error
    return target
