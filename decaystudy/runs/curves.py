"""The curves of a run, read from its TensorBoard files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHOWN = ("train/loss", "validation/loss", "validation_decay_median/", "decay_median/")
"""Beginnings of the names of curves that tell of learning; the last is that of runs from before."""
MACHINE = ("train/tokens_per_second", "train/tflops_per_device", "train/mfu", "train/peak_memory_gib")
"""Curves that tell of the machine: those of a run that is trained again are others."""
MOST_POINTS = 200


@dataclass(frozen=True)
class Curve:
    """A number over the steps of a run."""

    steps: NDArray[np.float64]
    """(points,) optimizer steps, in their order."""
    values: NDArray[np.float64]
    """(points,)"""


def read_curves(folder: Path, names: Sequence[str] = SHOWN, *, most: int | None = MOST_POINTS) -> dict[str, Curve]:
    """The curves in a run's folder by name, as far as its files are whole; empty where there are none.

    Args:
        names: beginnings of those that are wanted.
        most: points that a curve is thinned to, evenly, its first and last among them; None for all.
    """
    points: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        try:
            for event in EventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    if value.tag.startswith(tuple(names)) and value.tensor.float_val:
                        points.setdefault(value.tag, {})[event.step] = value.tensor.float_val[0]
        except Exception:  # whatever TensorBoard makes of a broken file: what stands before it has been read
            continue
    return {name: _curve(points[name], most) for name in sorted(points)}


def _curve(points: dict[int, float], most: int | None) -> Curve:
    steps = sorted(points)
    if most is not None and len(steps) > most:
        steps = [steps[round(place)] for place in np.linspace(0, len(steps) - 1, most)]
    return Curve(np.array(steps, dtype=np.float64), np.array([points[step] for step in steps], dtype=np.float64))
