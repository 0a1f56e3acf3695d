"""The comparisons of results.json, and the families whose intervals hold together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from decaystudy.study.definition.claims.result import Estimate

BITS = "bits per byte"


class ComparisonVerdict(StrEnum):
    """What the first cell of a comparison is, beside the second: a verdict of ``decaystudy.statistics``, or none."""

    ONE_SEED = "one seed"
    """The difference is that of two checkpoints."""
    EQUIVALENT = "equivalent"
    """Within the margin of the study's claims on the pair."""
    BETTER = "better"
    WORSE = "worse"
    NOT_RESOLVED = "not resolved"
    FEW_DOCUMENTS = "few documents"
    INCOMPLETE = "incomplete"
    """There is no difference to judge; ``why`` says why."""
    NOT_JUDGED = "not judged"
    """One of the cells has learned nothing, as ``why`` says."""


@dataclass(frozen=True, kw_only=True)
class JudgedDifference(Estimate):
    """What two cells differ by, and what is known of it."""

    verdict: ComparisonVerdict
    """By the interval alone."""
    difference: float | None = None
    """With one seed, of these two checkpoints."""
    margin: float | None = None
    """Differences below it are called equivalent; None where no claim on the pair has one."""
    degrees_of_freedom: float | None = None
    """None where the standard error is exact, or unknown."""
    critical: float | None = None
    """Of the family: the interval is difference ± critical · standard error."""
    unit: str | None = None
    documents: int | None = None
    """Held-out documents, or questions."""
    notes: tuple[str, ...] = ()
    """What a reader of this row should know."""


@dataclass(frozen=True, kw_only=True)
class SeedDifference:
    """What two cells differ by under one seed, in the unit of their comparison."""

    seed: int
    difference: float


@dataclass(frozen=True, kw_only=True)
class Comparison(JudgedDifference):
    """Validation loss of one cell minus that of another: nats per token, or bits per byte across tokenizers."""

    a: str
    b: str
    axis: tuple[str, ...]
    """Settings in which the two may differ."""
    differing: tuple[str, ...]
    """Settings in which they do."""
    parameters: int
    """Parameters of ``a`` minus those of ``b``."""
    bits_per_byte: float | None = None
    """The difference in bits per byte."""
    by_seed: tuple[SeedDifference, ...] = ()
    """Under each seed that both have finished."""


def in_bits(row: Comparison) -> Comparison:
    """A comparison of losses in bits per byte; as it is where it has no other unit, or no difference."""
    if row.unit == BITS or row.bits_per_byte is None or not row.difference:
        return row
    scale = row.bits_per_byte / row.difference
    ends = (row.low, row.high, row.standard_error, row.resolvable, row.margin)
    low, high, error, smallest, margin = (None if value is None else value * scale for value in ends)
    return replace(
        row,
        unit=BITS,
        difference=row.bits_per_byte,
        low=low,
        high=high,
        standard_error=error,
        resolvable=smallest,
        margin=margin,
    )


@dataclass(frozen=True, kw_only=True)
class AccuracyComparison(JudgedDifference):
    """Accuracy of one cell minus that of another on the same questions; more is better."""

    a: str
    b: str
    task: str
    """``mean`` for the mean over tasks."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """Effects whose intervals hold together, and what they can resolve."""

    unit: str
    level: float
    effects: int
    """Different pairs."""
    seeds: tuple[int, ...]
    """That all cells with an interval have; empty where none has one."""
    documents: int | None
    """Held-out documents or questions; None where they differ, or there are none."""
    critical: float | None
    """None where nothing has an interval."""
    resolvable: tuple[float, float] | None
    """Least and greatest over the effects."""
    margin: float | None
    """The smallest that a claim asks for."""
    seeds_for_margin: int | None
    """About how many seeds would resolve the margin; None where no number does, or nothing is known."""
    seed_sd: float | None = None
    """Standard deviation of one cell between seeds, without what a seed does to all cells alike; None where it is not
    known."""
    notes: tuple[str, ...] = ()
    """What a reader of all its rows should know."""
