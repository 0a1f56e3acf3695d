"""Quantities that several rooms report, in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def perplexity(loss: float) -> float:
    """e to the loss in nats per token; bounded, so that a loss far beyond any model's gives a number all the same."""
    return math.exp(min(loss, 700.0))


def half_life(decay: float) -> float | None:
    """Tokens after which half of a contribution is left: ln ½ / ln λ; None where nothing is ever forgotten."""
    if decay >= 1:
        return None
    return math.log(0.5) / math.log(decay) if decay > 0 else 0.0


def bits_per_byte(nll: Sequence[float] | NDArray[np.float64], sizes: Sequence[float] | NDArray[np.float64]) -> float:
    """Bits that a text of documents with summed losses ``nll`` (nats) costs per byte of its UTF-8 form ``sizes``.

    Unlike a loss per token it can be compared across tokenizers.
    """
    return math.fsum(nll) / (math.log(2) * math.fsum(sizes))
