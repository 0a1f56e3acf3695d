"""Refuses input that means nothing, in one sentence that names it and its shape."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def numbers(name: str, values: ArrayLike | None) -> Floats:
    """An array of floats.

    Raises:
        ValueError: no numbers, or rows of different lengths.
    """
    try:
        return np.asarray(values, dtype=np.float64, order="C")
    except (TypeError, ValueError):
        raise ValueError(f"{name} is no array of numbers: give equally long rows of floats") from None


def by_seed(name: str, values: ArrayLike | None, columns: str) -> Floats:
    """A finite array (seeds, columns), at least one of each.

    Raises:
        ValueError: another shape, NaN or inf.
    """
    array = numbers(name, values)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}: give (seeds, {columns}), at least one of each")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}, shape {array.shape}, holds values that are not finite: leave out that seed")
    return array


def counts(name: str, values: ArrayLike | None, length: int) -> Floats:
    """Counts above 0, one per document.

    Raises:
        ValueError: another shape, or a count that is not above 0.
    """
    array = numbers(name, values)
    if array.shape != (length,):
        raise ValueError(f"{name} has shape {array.shape}, but the cells have {length} documents")
    if not np.isfinite(array).all() or (array <= 0).any():
        raise ValueError(f"{name}, shape {array.shape}, must be above 0 for each document: leave out empty documents")
    return array


def probability(name: str, value: float) -> None:
    """Refuses what isn't between 0 and 1, both excluded."""
    if not _is_number(value) or not 0 < value < 1:
        raise ValueError(f"{name} is {value!r}: give a number between 0 and 1, such as 0.95")


def positive(name: str, value: float) -> None:
    """Refuses what isn't a finite number above 0."""
    if not _is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{name} is {value!r}: give a number above 0")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
