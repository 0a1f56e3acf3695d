"""The figure of a study on how λ moved in training, layer by layer, on the scale of half-lives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from decaystudy.plotting import INK, WIDTH, new_panels
from decaystudy.study.analysis.results import RunRow, StudyResults
from decaystudy.study.reporting.curve_figures import Curves, is_drawn, over_tokens, together
from decaystudy.study.reporting.decay_figures import half_life, log_half_lives

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEDIANS = ("validation_decay_median/", "decay_median/")
"""Beginnings of TensorBoard's names of the median λ of a layer; the last is that of runs from before."""
COLUMNS = 4
ROW = 1.7
"""Height of a row of panels, in inches."""
SEVERAL_DECADES = 100.0
"""An axis that spans more is marked at powers of ten only."""
STILL = 1e-4
"""A λ is constant if no log half-life moves by more."""

Layer = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Millions of tokens, and the half-life at each."""


def decay_curves(results: StudyResults, curves: Curves) -> Figure | None:
    """Half-life of the median λ of each layer over training, geometric mean over seeds, one panel per cell; None where
    no cell has a λ that moves, or none was recorded while it did."""
    from matplotlib.ticker import LogLocator

    found = {}
    for cell in results.cells:
        runs = [run for run in results.runs if run.cell == cell.name and is_drawn(run) and curves.get(run.id)]
        layers = layers_of(runs, curves)
        if any(len(tokens) > 1 and np.ptp(np.log(lives)) > STILL for tokens, lives in layers):
            found[cell.name] = layers
    if not found:
        return None
    columns = min(COLUMNS, len(found))
    figure, panels = new_panels(math.ceil(len(found) / columns), columns, ROW)
    deepest = max(len(layers) for layers in found.values()) - 1
    colours = layer_colours(deepest)
    for axes, (name, layers) in zip(panels, found.items(), strict=False):
        for layer, (tokens, lives) in enumerate(layers):
            axes.plot(tokens, lives, color=colours.to_rgba(layer), linewidth=1.2)
        axes.text(0.04, 0.96, name, transform=axes.transAxes, va="top", fontsize=7, color=INK)
        axes.set_xlim(left=0)
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    log_half_lives(panels[0])
    low, high = panels[0].get_ylim()
    if high / low > SEVERAL_DECADES:
        panels[0].yaxis.set_major_locator(LogLocator())
    figure.supxlabel("tokens trained on, millions", fontsize=9)
    figure.supylabel("half-life of the median λ, tokens", fontsize=9)
    bar = figure.colorbar(colours, ax=list(panels), label="layer", aspect=30, fraction=0.3 / WIDTH)
    bar.set_ticks([*range(0, deepest, max(1, math.ceil(deepest / 6))), deepest] if deepest else [0])
    return figure


def layers_of(runs: Sequence[RunRow], curves: Curves) -> list[Layer]:
    """Each layer of a cell, the first one first: the places that all its runs have a λ at, and its mean half-life."""
    names = [names_of_layers(curves[run.id]) for run in runs]
    layers = []
    for layer in sorted({layer for found in names for layer in found}, key=lambda layer: (len(layer), layer)):
        found = [over_tokens(run, curves, own.get(layer, "")) for run, own in zip(runs, names, strict=True)]
        tokens, medians = together(found)
        lives = np.log([[half_life(median) for median in row] for row in medians]).reshape(medians.shape)
        layers.append((tokens, np.exp(lives.mean(axis=0))))
    return layers


def names_of_layers(curves: Iterable[str]) -> dict[str, str]:
    """By layer, the name of the curve of its median λ; where a run was resumed with a later version, the later one."""
    named = sorted((name for name in curves if name.startswith(MEDIANS)), key=lambda name: name.startswith(MEDIANS[0]))
    return {name.partition("/")[2]: name for name in named}


def layer_colours(deepest: int) -> Any:
    """A colour for each layer from 0 to this one, dark to bright, to be told apart on white, on black and in grey."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    shades = ListedColormap(colormaps["viridis"](np.linspace(0.15, 0.9, 256)))
    return ScalarMappable(Normalize(0, max(deepest, 1)), shades)
