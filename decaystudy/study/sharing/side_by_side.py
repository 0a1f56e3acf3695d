"""Two studies beside each other: every comparison and claim of both, and whether they agree.

Losses per token are compared where both have one and the same tokenizer; else they are shown in bits per byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from decaystudy.formatting import MISSING, count
from decaystudy.runs.state import RunState
from decaystudy.statistics.claims import ClaimVerdict
from decaystudy.study.analysis.answer import reported, share_text, tokens_text
from decaystudy.study.analysis.results import (
    AccuracyComparison,
    ClaimResult,
    Comparison,
    ComparisonVerdict,
    StudyResults,
    in_bits,
)
from decaystudy.study.analysis.results.comparisons import BITS
from decaystudy.study.definition.claims.accuracy import MEAN
from decaystudy.study.reporting.tables.claims import bounds, effect
from decaystudy.study.reporting.tables.fields import seeds_text, span
from decaystudy.table import Column, Kind, Table

Row = TypeVar("Row", Comparison, AccuracyComparison)
_DECIDED = {
    ComparisonVerdict.BETTER,
    ComparisonVerdict.WORSE,
    ComparisonVerdict.EQUIVALENT,
    ClaimVerdict.SUPPORTED,
    ClaimVerdict.REFUTED,
}
_MIRRORED = {
    ComparisonVerdict.BETTER: ComparisonVerdict.WORSE,
    ComparisonVerdict.WORSE: ComparisonVerdict.BETTER,
}
AGREE, DISAGREE, DIFFER, UNDECIDED = "agree", "disagree", "differ", "undecided"
APART = f"{AGREE}, but intervals are apart"


@dataclass(frozen=True)
class Side:
    """One of two studies."""

    label: str
    results: StudyResults


def facts_table(a: Side, b: Side) -> Table:
    """What the two are."""
    columns = (Column("", Kind.WORDS), Column(a.label, Kind.WORDS), Column(b.label, Kind.WORDS))
    rows: list[tuple[str, Callable[[StudyResults], str]]] = [
        ("study", lambda r: r.study),
        ("scale", lambda r: r.scale),
        ("seed" if len(a.results.seeds) == len(b.results.seeds) == 1 else "seeds", lambda r: seeds_text(r.seeds)),
        ("runs finished", lambda r: f"{len([x for x in r.runs if x.status == RunState.FINISHED])} of {len(r.runs)}"),
        ("parameters", lambda r: _range(run.parameters for run in reported(r))),
        ("training", lambda r: tokens_text(r) or MISSING),
        ("tokens per parameter", share_text),
        ("tokenizer", lambda r: _names(run.tokenizer for run in reported(r))),
        ("held-out documents", lambda r: _names(run.documents for run in reported(r))),
        ("device", lambda r: ", ".join(sorted({run.cost.device for run in r.runs if run.cost.device})) or MISSING),
    ]
    return Table(columns, tuple((name, of(a.results), of(b.results)) for name, of in rows))


def comparisons_table(a: Side, b: Side) -> Table | None:
    """Every comparison of losses that one of the two has; None where there is none."""
    in_nats = same_tokens(a.results, b.results)
    unit = "nats per token" if in_nats else BITS

    def shown(results: StudyResults) -> list[Comparison]:
        found = [row if in_nats else in_bits(row) for row in results.comparisons]
        return [row if row.unit == unit else _without_size(row) for row in found]

    notes = [f"Differences in {unit}."]
    if not in_nats:
        notes = ["Tokenizers differ or are not known: differences in bits per byte; verdicts are each study's own."]
    return _table("pair", a, b, shown(a.results), shown(b.results), lambda row: f"{row.a} − {row.b}", notes)


def accuracies_table(a: Side, b: Side) -> Table | None:
    """The comparisons of accuracies on the tasks that both have; None where there is none."""
    own, other = ({row.task for row in side.results.accuracy_comparisons} for side in (a, b))
    tasks = own & other if own == other else (own & other) - {MEAN}
    one, two = ([row for row in side.results.accuracy_comparisons if row.task in tasks] for side in (a, b))
    return _table("accuracy", a, b, one, two, lambda row: f"{row.a} − {row.b}, {row.task}", [])


def claims_table(a: Side, b: Side) -> Table | None:
    """Every claim that one of the two has; None where there is none."""
    own, other = ({claim.id: claim for claim in side.results.claims} for side in (a, b))
    in_nats, rows, notes = same_tokens(a.results, b.results), [], []

    def shown(claim: ClaimResult | None) -> tuple[str, str]:
        if claim is None:
            return MISSING, MISSING
        return effect(claim) if in_nats or not claim.of_losses else MISSING, claim.words

    for name in dict.fromkeys([*own, *other]):
        one, two = own.get(name), other.get(name)
        words = _agreement(a, b, None if one is None else one.verdict, None if two is None else two.verdict)
        rows.append((name, *shown(one), *shown(two), words))
        if one is not None and two is not None and (one.text != two.text or _wanted(one) != _wanted(two)):
            notes.append(f"{name} is not the same claim in both: {_words(one)}; {_words(two)}.")
    return Table(_columns("claim", a, b), tuple(rows), notes=tuple(notes)) if rows else None


def summary(tables: Iterable[Table | None]) -> str:
    """How many rows agree, in a sentence."""
    words = [row[-1] for table in tables if table is not None for row in table.rows]
    both = [word for word in words if not word.startswith("only in")]
    counts = {word: sum(one in (word, APART) if word == AGREE else one == word for one in both) for word in _ORDER}
    left = len(both) - sum(counts.values())
    told = [f"{number} {word}" for word, number in counts.items() if number or word in (AGREE, DISAGREE)]
    told += [f"{left} are decided by one of the two"] if left else []
    return f"of {len(both)} rows that both have, {', '.join(told)}"


_ORDER = (AGREE, DISAGREE, DIFFER, UNDECIDED)


def same_tokens(a: StudyResults, b: StudyResults) -> bool:
    """Whether losses per token of both are of the same tokens."""
    found = {run.tokenizer for results in (a, b) for run in results.runs if run.status == RunState.FINISHED}
    return len(found) == 1 and None not in found


def _table(
    heading: str,
    a: Side,
    b: Side,
    one: Sequence[Row],
    two: Sequence[Row],
    name: Callable[[Row], str],
    notes: Sequence[str],
) -> Table | None:
    own: dict[str, Row] = {name(row): row for row in one}
    turned: list[Row] = [_mirrored(row) if name(_mirrored(row)) in own else row for row in two]
    other: dict[str, Row] = {name(row): row for row in turned}
    rows: list[tuple[str, ...]] = []
    for key in dict.fromkeys([*own, *other]):
        left: Row | None = own.get(key)
        right: Row | None = other.get(key)
        words = _agreement(a, b, None if left is None else left.verdict, None if right is None else right.verdict)
        if words == AGREE and left is not None and right is not None and _apart(left, right):
            words = APART
        rows.append((key, *_shown(left), *_shown(right), words))
    return Table(_columns(heading, a, b), tuple(rows), notes=tuple(notes)) if rows else None


def _columns(heading: str, a: Side, b: Side) -> tuple[Column, ...]:
    sides = [column for side in (a, b) for column in (Column(side.label), Column("verdict", Kind.VERDICT))]
    return (Column(heading, Kind.WORDS), *sides, Column("together", Kind.WORDS))


def _shown(row: Comparison | AccuracyComparison | None) -> tuple[str, str]:
    if row is None:
        return MISSING, MISSING
    size = MISSING if row.difference is None else span(row.difference, row.low, row.high, row.standard_error)
    return size, str(row.verdict)


def _agreement(
    a: Side, b: Side, one: ComparisonVerdict | ClaimVerdict | None, two: ComparisonVerdict | ClaimVerdict | None
) -> str:
    """What two verdicts are together, in words."""
    if one is None or two is None:
        return f"only in {a.label if two is None else b.label}"
    if one in _DECIDED and two in _DECIDED:
        half = ComparisonVerdict.EQUIVALENT in (one, two)
        return AGREE if one == two else DIFFER if half else DISAGREE
    if one in _DECIDED or two in _DECIDED:
        return f"only {a.label if one in _DECIDED else b.label} decides"
    return UNDECIDED


def _mirrored(row: Row) -> Row:
    """The comparison the other way round."""
    turn = [None if value is None else -value for value in (row.difference, row.high, row.low)]
    return replace(
        row,
        a=row.b,
        b=row.a,
        difference=turn[0],
        low=turn[1],
        high=turn[2],
        verdict=_MIRRORED.get(row.verdict, row.verdict),
    )


def _apart(a: Comparison | AccuracyComparison, b: Comparison | AccuracyComparison) -> bool:
    """Whether two intervals have nothing in common."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low > b.high or b.low > a.high


def _without_size(row: Comparison) -> Comparison:
    return replace(row, difference=None, low=None, high=None)


def _wanted(claim: ClaimResult) -> list[tuple[float | None, float | None]]:
    return [part.wanted for part in claim.parts]


def _words(claim: ClaimResult) -> str:
    asked = "" if claim.decisive is None else bounds(claim.decisive)
    return f"{claim.text.rstrip('.')}" + (f" ({asked})" if asked else "")


def _range(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    if not found:
        return MISSING
    low, high = count(found[0]), count(found[-1])
    return low if low == high else f"{low} to {high}"


def _names(digests: Iterable[str | None]) -> str:
    """The beginnings of digests."""
    return ", ".join(sorted({digest[:8] for digest in digests if digest})) or MISSING
