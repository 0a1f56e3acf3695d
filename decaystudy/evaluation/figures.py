"""Figures of λ by layer and of loss by position, for single models and for the cells of a study."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from decaystudy.plotting import MUTED, LineStyle, add_legend, draw_line, line_style, new_figure, whole_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Position(Protocol):
    """Loss at the positions from ``first`` to ``last``, both counted."""

    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def loss(self) -> float: ...


def median_by_layer(models: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """The paper's figure: median λ against the layer, one line per model, with quartiles where there is one model.

    Args:
        models: by name, a mapping per layer with ``median``, ``q25`` and ``q75``.
    """
    figure, axes = new_figure()
    for number, (name, rows) in enumerate(models.items()):
        draw_line(axes, line_style(number), range(len(rows)), [row["median"] for row in rows], name)
    if len(models) == 1:
        (rows,) = models.values()
        low, high = [row["q25"] for row in rows], [row["q75"] for row in rows]
        axes.fill_between(range(len(rows)), low, high, color=line_style(0).colour, alpha=0.2)
    axes.axhline(0.8, color=MUTED, linewidth=0.8)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("layer")
    axes.set_ylabel("median λ")
    whole_numbers(axes)
    add_legend(axes)
    return figure


def loss_by_position(
    models: Mapping[str, Sequence[Position]],
    training_lengths: Collection[int],
    styles: Mapping[str, LineStyle] = {},
    bands: Mapping[str, Sequence[tuple[float, float]]] = {},
) -> Figure:
    """Loss against the position in the sequence, one line per model.

    Args:
        training_lengths: marked by grey lines.
        styles: by name; one colour each unless given.
        bands: by name, the interval at each position, of those models that have them.
    """
    figure, axes = new_figure()
    for i, (name, positions) in enumerate(models.items()):
        style = styles.get(name, line_style(i))
        middles = [(at.first + at.last) / 2 + 1 for at in positions]
        draw_line(axes, style, middles, [at.loss for at in positions], name)
        if name in bands:
            low, high = zip(*bands[name], strict=True)
            axes.fill_between(middles, low, high, color=style.colour, alpha=0.15, linewidth=0)
    for length in sorted(training_lengths):
        axes.axvline(length, color=MUTED, linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("position (the grey line: training length)")
    axes.set_ylabel("loss, nats per token")
    add_legend(axes)
    return figure
