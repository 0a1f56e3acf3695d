"""Loss by position, and perplexity at multiples of the training length: does a model still work where it has never
been? (LightNet's λ depends on the absolute position, for one.)"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from decaystudy.errors import UserError
from decaystudy.evaluation.paired import mean_over_sequences
from decaystudy.evaluation.perplexity import held_out_blocks, token_losses
from decaystudy.metrics import perplexity
from decaystudy.runs.evaluation import LengthLoss, PositionLoss
from decaystudy.runs.loading import LoadedRun

MULTIPLES = (1, 2, 4, 8)
FIRST_BIN = 16


def measure(
    run: LoadedRun, *, tokens: int | None = None, validation: NDArray[np.float64] | None = None
) -> tuple[tuple[LengthLoss, ...], tuple[PositionLoss, ...]]:
    """Loss by length and by position.

    There is a length for each multiple of the training length that the held-out text has a sequence of. Positions are
    0–15, 16–31, 32–63, …, each from the shortest sequences that reach so far, since there are most of them.

    Args:
        tokens: about the maximum number of each length longer than in training; all there are unless given.
        validation: the losses at the training length, (N, T), where they are known.
    """
    trained = run.config.data.sequence_length
    losses: dict[int, NDArray[np.float64]] = {}
    if validation is not None:
        losses[1] = validation
    for multiple in MULTIPLES[len(losses) :]:
        try:
            blocks = held_out_blocks(run, multiple * trained)
        except UserError:  # the held-out text isn't that long
            break
        if tokens is not None and multiple > 1:
            blocks = blocks[: max(1, tokens // (multiple * trained))]
        losses[multiple] = token_losses(run.model, blocks, reset_after=run.eos_id)
    lengths = tuple(length_loss(multiple, trained, values) for multiple, values in losses.items())
    positions = tuple(
        position_loss(first, last, next(v for m, v in losses.items() if last < m * trained))
        for first, last in position_bins(max(losses) * trained)
    )
    return lengths, positions


def length_loss(multiple: int, trained: int, losses: NDArray[np.float64]) -> LengthLoss:
    """One multiple of the training length, from (N, multiple · trained) losses."""
    whole = mean_over_sequences(losses.mean(axis=1))
    last = mean_over_sequences(losses[:, -trained:].mean(axis=1))
    return LengthLoss(
        multiple=multiple,
        length=multiple * trained,
        sequences=len(losses),
        loss=whole.value,
        loss_stderr=finite(whole.error),
        perplexity=perplexity(whole.value),
        last_loss=last.value,
        last_loss_stderr=finite(last.error),
        last_perplexity=perplexity(last.value),
    )


def position_bins(length: int) -> list[tuple[int, int]]:
    """First and last position of each bin, doubling, up to ``length``."""
    bins, first, width = [], 0, min(FIRST_BIN, length)
    while first < length:
        last = min(first + width, length) - 1
        bins.append((first, last))
        first, width = last + 1, last + 1
    return bins


def position_loss(first: int, last: int, losses: NDArray[np.float64]) -> PositionLoss:
    """The loss of the positions from ``first`` to ``last``, both counted."""
    mean = mean_over_sequences(losses[:, first : last + 1].mean(axis=1))
    return PositionLoss(first, last, mean.value, finite(mean.error), len(losses))


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
