"""One row per comparison, of losses and of accuracies."""

from __future__ import annotations

from decaystudy.formatting import MISSING
from decaystudy.statistics.digits import interval_text, rounded
from decaystudy.study.analysis.results import Comparison, ComparisonVerdict, JudgedDifference, StudyResults, in_bits
from decaystudy.study.definition.claims.accuracy import MEAN
from decaystudy.study.reporting.families import accuracy_notes, loss_notes
from decaystudy.study.reporting.tables.fields import AVERAGE, span
from decaystudy.table import Column, Kind, Table


def comparisons_table(results: StudyResults) -> Table:
    """Every comparison on validation loss."""
    tokenizers = results.tokenizers > 1
    columns = (
        Column("pair", Kind.WORDS),
        Column("the first is", Kind.VERDICT),
        *([] if tokenizers else [Column("difference, nats per token"), Column("interval")]),
        Column("bits per byte"),
        Column("seeds"),
        Column("resolvable"),
        Column("axis", Kind.WORDS),
        Column("parameters"),
    )
    rows = []
    for row in results.comparisons:
        difference = MISSING if row.difference is None else rounded(row.difference, row.standard_error, signed=True)
        nats = [] if tokenizers else [difference, interval(row)]
        shown = in_bits(row) if tokenizers else row
        measured = (bits_field(row, tokenizers), str(row.seeds or MISSING), resolvable_field(shown))
        differ = (", ".join(row.axis), f"{row.parameters:+,}".replace("-", "−"))
        rows.append((f"{row.a} − {row.b}", verdict_text(shown), *nats, *measured, *differ))
    notes = [f"{row.a} − {row.b}: {note}." for row in results.comparisons for note in told(row)]
    return Table(columns, tuple(rows), title="Comparisons", notes=(*loss_notes(results), *notes))


def seeds_table(results: StudyResults) -> Table | None:
    """Every comparison under each seed; None where there is but one."""
    seeds = sorted({one.seed for row in results.comparisons for one in row.by_seed})
    if len(seeds) < 2:
        return None
    rows = []
    for row in results.comparisons:
        shown = in_bits(row) if results.tokenizers > 1 else row
        scale = (shown.difference or 1.0) / row.difference if row.difference else 1.0
        own = {one.seed: rounded(one.difference * scale, shown.standard_error, signed=True) for one in row.by_seed}
        rows.append((f"{row.a} − {row.b}", shown.unit or MISSING, *(own.get(seed, MISSING) for seed in seeds)))
    columns = (Column("pair", Kind.WORDS), Column("unit", Kind.WORDS), *(Column(f"seed {seed}") for seed in seeds))
    return Table(columns, tuple(rows), title="Differences by seed")


def accuracies_table(results: StudyResults) -> Table | None:
    """Every comparison of accuracies, by task; None where there is none."""
    columns = (
        Column("pair", Kind.WORDS),
        Column("task", Kind.WORDS),
        Column("difference in accuracy"),
        Column("seeds"),
        Column("resolvable"),
        Column("the first is", Kind.VERDICT),
    )
    rows = [
        (
            f"{row.a} − {row.b}",
            AVERAGE if row.task == MEAN else row.task,
            MISSING if row.difference is None else span(row.difference, row.low, row.high, row.standard_error),
            str(row.seeds or MISSING),
            resolvable_field(row),
            verdict_text(row),
        )
        for row in results.accuracy_comparisons
    ]
    notes = [f"{row.a} − {row.b}, {row.task}: {note}." for row in results.accuracy_comparisons for note in told(row)]
    below = (*accuracy_notes(results), *dict.fromkeys(notes))
    return Table(columns, tuple(rows), title="By task", notes=below) if rows else None


def interval(row: JudgedDifference) -> str:
    """The simultaneous interval of a comparison."""
    return MISSING if row.low is None or row.high is None else interval_text(row.low, row.high, row.standard_error)


def bits_field(row: Comparison, with_interval: bool) -> str:
    """A difference in bits per byte; with its interval where it has no other unit."""
    bits = in_bits(row)
    if row.bits_per_byte is None:
        return MISSING
    low, high = (bits.low, bits.high) if with_interval else (None, None)
    return span(row.bits_per_byte, low, high, bits.standard_error)


def resolvable_field(row: JudgedDifference) -> str:
    """The smallest difference that a comparison resolves."""
    return MISSING if row.resolvable is None else f"±{rounded(row.resolvable, row.standard_error)}"


def verdict_text(row: JudgedDifference) -> str:
    """The verdict, with what it needs to be understood: the margin, or why there is none."""
    if row.verdict == ComparisonVerdict.EQUIVALENT:
        return f"{row.verdict} (within {row.margin:.3g})"
    return f"{row.verdict}: {row.why}" if row.why else str(row.verdict)


def told(row: JudgedDifference) -> list[str]:
    """What a reader of a row should know beside its verdict, which itself says when there is one seed."""
    return [note for note in row.notes if not note.startswith(ComparisonVerdict.ONE_SEED)]
