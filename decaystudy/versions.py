"""What the package's own code means, as numbers raised by hand.

A run is used again only under the numbers that it was trained under. Raise one in the commit that makes the same
settings give other numbers, and write the golden numbers anew (``python -m tests.golden``); tests/test_golden.py fails
when numbers change without a raise.
"""

from __future__ import annotations

MODEL = 1
"""The model: start values, every formula from tokens to losses, and their gradients."""
RECIPE = 1
"""Training: optimizer, schedule, clipping, and which sequences make a step."""
DATA = 2
"""Data: documents, tokens, the order of the training stream, and what is held out."""
STATISTICS = 2
"""The method by which runs are judged: intervals, verdicts, claims. Nothing is trained again for it."""


def semantics() -> dict[str, int]:
    """Those that a run is trained under by name, as it records them."""
    return {"model": MODEL, "recipe": RECIPE, "data": DATA}
