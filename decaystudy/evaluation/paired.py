"""Differences between losses of the same sequences."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit


@dataclass(frozen=True)
class Mean:
    """A mean over sequences with its 95 % interval (Student's t)."""

    value: float
    error: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def mean_over_sequences(values: NDArray[np.float64]) -> Mean:
    """The mean of one value per sequence, (N,); a single sequence has no interval."""
    mean = float(values.mean())
    if len(values) < 2:
        return Mean(mean, math.nan, math.nan, math.nan)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    reach = float(stdtrit(len(values) - 1, 0.975)) * error
    return Mean(mean, error, mean - reach, mean + reach)
