"""What an interval says: verdicts on comparisons, from the printed interval alone."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What a comparison of two cells came to; lower is better."""

    ONE_SEED = "one seed"
    EQUIVALENT = "equivalent"
    BETTER = "better"
    WORSE = "worse"
    NOT_RESOLVED = "not resolved"
    FEW_DOCUMENTS = "few documents"


def verdict(low: float, high: float, margin: float | None = None, *, higher_is_better: bool = False) -> Verdict:
    """The first that fits: equivalent within the margin, better, worse, not resolved.

    Args:
        low: lower end of the interval of cell minus baseline.
        high: upper end.
        margin: differences smaller than this don't matter; without it nothing is equivalent.
        higher_is_better: for accuracies rather than losses.
    """
    if margin is not None and -margin < low and high < margin:
        return Verdict.EQUIVALENT
    if high < 0:
        return Verdict.WORSE if higher_is_better else Verdict.BETTER
    if low > 0:
        return Verdict.BETTER if higher_is_better else Verdict.WORSE
    return Verdict.NOT_RESOLVED
