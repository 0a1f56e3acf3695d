"""Fields that several tables show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decaystudy.formatting import MISSING
from decaystudy.statistics.digits import interval_text, rounded
from decaystudy.study.analysis.results import Difference
from decaystudy.study.definition.search import Trial
from decaystudy.table import Column, Kind

CELL = Column("cell", Kind.WORDS)
AVERAGE = "mean over tasks"
"""Heading: a mean over unlike tasks is no accuracy."""
TO_BASELINE = (Column("baseline", Kind.WORDS), Column("difference"), Column("verdict", Kind.VERDICT))


def seeds_text(numbers: Sequence[int]) -> str:
    """0, 1, 2 as ``0-2``; others with commas."""
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(str(n) for n in numbers)


def trial_text(trial: Mapping[str, Any] | None) -> str:
    """The settings of a trial: ``lr0.003``."""
    return MISSING if trial is None else Trial.of(trial).label


def span(
    value: float, low: float | None, high: float | None, error: float | None = None, *, signed: bool = True
) -> str:
    """``+0.0268 [+0.0182, +0.0354]``; the value alone where it has no interval.

    Args:
        error: standard error, which decides the digits; that of the interval's half width unless given.
    """
    if low is None or high is None:
        return rounded(value, error, signed=signed)
    error = error or (high - low) / 4
    return f"{rounded(value, error, signed=signed)} {interval_text(low, high, error, signed=signed)}"


def difference_fields(difference: Difference | None) -> tuple[str, str, str]:
    """The baseline, the difference to it with its interval, and the verdict."""
    if difference is None:
        return "", "", ""
    shown = MISSING
    if difference.difference is not None:
        shown = span(difference.difference, difference.low, difference.high, difference.standard_error)
    return difference.b, shown, str(difference.verdict)
