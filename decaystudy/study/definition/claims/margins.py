"""The margins of claims: each word that the package's study files use for a size, as one number with its reason.

A bound in a study file is a number, or one of these names, or its negative: ``above: matters``, ``below: -doubled``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

NATS = "nats per token"
ACCURACY = "accuracy"
HALF_LIFE = "log half-life"
DECAY = "λ"
LAYERS = "layers"


@dataclass(frozen=True)
class Margin:
    """A size that has a name."""

    value: float
    unit: str
    words: str
    """Of the paper's notes, which it stands for."""
    why: str


MARGINS = {
    "matters": Margin(
        0.02,
        NATS,
        "clearly worse, degrades, matters; and within it: little, level, keeps, matches, no benefit",
        "2 % of the perplexity. By the loss curve of Hoffmann et al. 2022 (arXiv 2203.15556), 406 N^-0.34 + 411 "
        "D^-0.28, it is what 9 % more parameters or 12 % more tokens would give at 160m, and 21 % or 12 % at 1.45b: "
        "less than that would not decide on a design",
    ),
    "close": Margin(
        0.05,
        NATS,
        "close, a slight gap",
        "5 % of the perplexity: more than matters, so not level; what a quarter more parameters would give at 160m",
    ),
    "points": Margin(
        0.02,
        ACCURACY,
        "the same words, of the mean over the tasks",
        "two points of a hundred. The nine tasks of the paper tell no less apart: where two models answer a quarter of "
        "the questions differently, the questions alone give their mean difference an error of 0.004, so that about "
        "0.016 is found with a probability of 80 %",
    ),
    "doubled": Margin(
        math.log(2),
        HALF_LIFE,
        "rises, markedly small",
        "twice or half the half-life. From 0.97 to 0.99, which is called a rise, is a factor of 3.0",
    ),
    "nearly-one": Margin(
        0.95,
        DECAY,
        "nearly 1",
        "a half-life of 13.5 tokens, four times that of 0.8; the notes call 0.97 nearly no decay",
    ),
}
NEAR = 2.0
"""Near a λ is less than this factor from its half-life: 0.64 to 0.89 for 0.8."""


def describe(value: float, unit: str) -> str:
    """A bound with its name, if it has one: ``0.02 (matters)``."""
    for name, margin in MARGINS.items():
        if margin.unit == unit and abs(value) == margin.value:
            return f"{value:.2g} ({'-' if value < 0 else ''}{name})"
    return f"{value:.3g}"
