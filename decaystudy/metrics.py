"""Quantities that several rooms report, in closed form."""

from __future__ import annotations

import math


def perplexity(loss: float) -> float:
    """e to the loss in nats per token; bounded, so that a loss far beyond any model's gives a number all the same."""
    return math.exp(min(loss, 700.0))


def half_life(decay: float) -> float | None:
    """Tokens after which half of a contribution is left: ln ½ / ln λ; None where nothing is ever forgotten."""
    if decay >= 1:
        return None
    return math.log(0.5) / math.log(decay) if decay > 0 else 0.0
