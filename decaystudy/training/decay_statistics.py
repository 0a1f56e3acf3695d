"""Quantiles of λ per layer, over real text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decaystudy.metrics import half_life
from decaystudy.model import DecayTransformer

# λ below the first or above the second counts as saturated.
NEAR_ZERO, NEAR_ONE = 0.01, 0.999

ROWS = 4
"""Sequences that are measured at once."""
BINS, MOST_BINNED = 64, 2**18
"""Of a histogram: its bins, and the values that are counted, evenly spread over all."""

NARROW = 0.005
"""Room on both sides of values that are all the same."""


@dataclass(frozen=True)
class Histogram:
    """How often values lie where."""

    counts: NDArray[np.int64]
    """(BINS,)"""
    edges: NDArray[np.float64]
    """(BINS + 1,) rising"""
    total: float
    """Sum of the values."""
    squares: float
    """Sum of their squares."""


def first_inputs(blocks: NDArray[Any], tokens: int = 8192) -> Tensor:
    """The inputs of the first held-out blocks (n, T + 1), as many as have ``tokens`` tokens: (rows, T) int64."""
    rows = max(1, tokens // (blocks.shape[1] - 1))
    return torch.from_numpy(blocks[:rows, :-1].astype(np.int64))


def spread(blocks: NDArray[Any], tokens: int) -> NDArray[Any]:
    """Of blocks (n, T) as many as have ``tokens`` tokens, at least one, evenly spread."""
    rows = max(1, tokens // blocks.shape[1])
    return blocks[:: max(1, -(-len(blocks) // rows))]


def decay_statistics(model: DecayTransformer, batches: Iterable[tuple[Tensor, Tensor | None]]) -> list[dict[str, Any]]:
    """Per layer: median, quartiles and mean of λ over all given tokens, heads and dimensions, and the half-life.

    Args:
        batches: pairs of input_ids (B, T) and resets (B, T) or None.

    Returns:
        One dictionary per layer: layer, median, q25, q75, mean, half_life (in tokens, ln ½ / ln median; None where the
        median is 1), near_zero and near_one (shares of λ below 0.01 and above 0.999). Empty for softmax attention.
    """
    device = next(model.parameters()).device
    # One layer at a time: all of a large model's at once would take gigabytes of a GPU.
    return [summary(layer, values.to(device)) for layer, values in enumerate(gather(model, batches))]


@torch.no_grad()
def gather(model: DecayTransformer, batches: Iterable[tuple[Tensor, Tensor | None]]) -> list[Tensor]:
    """All λ of each layer, (N,) float64 on the CPU; empty for softmax attention. Batches as above."""
    if model.config.mixer != "decay":
        return []
    gathered: list[list[Tensor]] = [[] for _ in range(model.config.layers)]
    training = model.training
    model.eval()
    try:
        for input_ids, resets in batches:
            for layer, log_decay in enumerate(model.log_decays(input_ids, resets=resets)):
                gathered[layer].append(log_decay.double().exp().flatten().cpu())
    finally:
        model.train(training)
    return [torch.cat(values) for values in gathered]


def summary(layer: int, values: Tensor) -> dict[str, Any]:
    """The statistics of one layer, from its λ, (N,) float64."""
    q25, median, q75 = _quantiles(values, (0.25, 0.5, 0.75))
    return {
        "layer": layer,
        "median": median,
        "q25": q25,
        "q75": q75,
        "mean": float(values.mean()),
        "half_life": half_life(median),
        "near_zero": float((values < NEAR_ZERO).double().mean()),
        "near_one": float((values > NEAR_ONE).double().mean()),
    }


def _quantiles(values: Tensor, shares: Sequence[float]) -> list[float]:
    """Quantiles by linear interpolation; torch.quantile refuses more than 16 M values.

    A GPU sorts the values in a millisecond; a CPU only puts those in place that are asked for.
    """
    last = len(values) - 1
    positions = [share * last for share in shares]
    lows = [math.floor(position) for position in positions]
    places = sorted({place for low in lows for place in (low, min(low + 1, last))})
    if values.device.type == "cpu":
        found = np.partition(values.numpy(), places)[places].tolist()
    else:
        found = values.sort().values[places].tolist()
    at = dict(zip(places, found, strict=True))
    return [
        at[low] + (at[min(low + 1, last)] - at[low]) * (position - low)
        for low, position in zip(lows, positions, strict=True)
    ]


def histogram(values: Tensor) -> Histogram:
    """The histogram of λ, (N,) float64, between the least and the greatest of them."""
    some = values[:: -(-len(values) // MOST_BINNED)].numpy()
    some = some[np.isfinite(some)]
    low, high = (float(some.min()), float(some.max())) if len(some) else (0.0, 1.0)
    counts, edges = np.histogram(some, BINS, (low, high) if low < high else (low - NARROW, high + NARROW))
    return Histogram(counts.astype(np.int64), edges, float(some.sum()), float((some**2).sum()))
