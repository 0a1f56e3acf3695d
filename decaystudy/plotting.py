"""One style for all figures: colours, lines, legend, files. Imports matplotlib when it draws."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decaystudy.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED = "#1f2937", "#9ca3af"
WIDTH, HEIGHT = 8.0, 4.5
"""Of a figure, in inches, unless it says otherwise."""
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999933", "#aa4499")
"""Colours that those who see few colours can tell apart too (of Okabe and Ito, and of Tol)."""
BETTER, WORSE = HUES[0], HUES[1]
ENDINGS = (".svg", ".pdf", ".png")
_DASHES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D")
# Text stays text, and the same numbers give the same file.
_SETTINGS: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "decaystudy", "font.size": 9, "pdf.fonttype": 42}


@dataclass(frozen=True)
class LineStyle:
    """How a line is drawn, as matplotlib has it."""

    colour: str
    dash: str
    marker: str


@contextmanager
def _undated() -> Iterator[None]:
    """Hide the variable that dates figures from matplotlib: here they have no date, and a wrong one would end it."""
    name = "SOURCE_DATE_EPOCH"
    held = os.environ.pop(name, None)
    try:
        yield
    finally:
        if held is not None:
            os.environ[name] = held


def new_figure(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(_SETTINGS)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def new_panels(rows: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """An empty figure of panels with common axes, row by row.

    Args:
        height: of a row, in inches.
    """
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(_SETTINGS)
    figure = Figure(figsize=(WIDTH, rows * height + 0.6), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def line_style(hue: int, level: int = 0) -> LineStyle:
    """A colour for what the line is of and a dash for its variant; markers tell more hues apart than colours can."""
    marker = _MARKERS[hue // len(HUES) % len(_MARKERS)]
    return LineStyle(HUES[hue % len(HUES)], _DASHES[level % len(_DASHES)], marker)


def draw_line(axes: Axes, style: LineStyle, x: Sequence[float], y: Sequence[float], label: str) -> None:
    """Draw a line through points."""
    axes.plot(x, y, style.dash, marker=style.marker, markersize=4, color=style.colour, label=label)


def draw_interval(axes: Axes, row: int, low: float, value: float, high: float, colour: str) -> None:
    """Draw a value with its interval at the height of ``row``."""
    axes.plot([low, high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot(value, row, "o", color=colour, markersize=5)


def whole_numbers(axes: Axes) -> None:
    """Mark the horizontal axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def add_legend(axes: Axes, at: float = 1.01) -> None:
    """A legend to the right of the axes.

    Args:
        at: where it begins, in widths of the axes.
    """
    axes.legend(loc="center left", bbox_to_anchor=(at, 0.5), handlelength=3.5, frameon=False, fontsize=8)


def svg(figure: Figure) -> str:
    """The figure as an svg element."""
    text = io.StringIO()
    with _undated():
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def check_target(file: str | Path) -> None:
    """Refuse what no figure can be written to, before the work whose result it shows.

    Raises:
        UserError: the ending is another, or there is no such folder.
    """
    target = Path(file).expanduser()
    if target.suffix.lower() not in ENDINGS or target.is_dir():
        raise UserError(f"cannot draw {target}: name a file that ends in .svg, .pdf or .png")
    if not target.parent.is_dir():
        raise UserError(
            f"cannot write {target}: no such file or directory; make the folder {target.parent}, or name another"
        )


def save(figure: Figure, file: str | Path) -> Path:
    """Write a figure; the ending says as what (svg, pdf or png).

    Raises:
        UserError: it cannot be written, or not as that.
    """
    check_target(file)
    target = Path(file).expanduser()
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every table that it leaves out of a font
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    try:
        with _undated():
            figure.savefig(target, metadata=undated.get(target.suffix), dpi=200)
    except OSError as error:
        raise UserError(f"cannot write {target}: {(error.strerror or str(error)).lower()}") from error
    return target
