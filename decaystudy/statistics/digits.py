"""How many digits a number deserves: two significant digits of its standard error decide."""

from __future__ import annotations

import math

UNKNOWN_ERROR = 4
"""Decimals of a number whose error isn't known."""
MOST = 12


def decimals(error: float | None) -> int:
    """Decimals that show two significant digits of the error; negative for errors of 100 and more."""
    if error is None or not math.isfinite(error) or error <= 0:
        return UNKNOWN_ERROR
    # 0.0996 to two digits is 0.10: rounding comes first.
    exponent = int(f"{error:.1e}".split("e")[1])
    return min(1 - exponent, MOST)


def rounded(value: float, error: float | None, *, signed: bool = False) -> str:
    """The number with as many decimals as its error allows, and a true minus sign.

    Args:
        signed: a plus sign before positive numbers.
    """
    places = decimals(error)
    if math.isinf(value):
        text = "∞" if value > 0 else "-∞"
    else:
        text = f"{round(value, places) + 0.0:.{max(places, 0)}f}"
    if signed and not text.startswith("-") and value > 0:
        text = "+" + text
    return text.replace("-", "−")


def interval_text(low: float, high: float, error: float | None, *, signed: bool = True) -> str:
    """An interval as text: [−0.223, +0.013]."""
    return f"[{rounded(low, error, signed=signed)}, {rounded(high, error, signed=signed)}]"
