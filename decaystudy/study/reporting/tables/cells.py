"""One row per cell."""

from __future__ import annotations

from dataclasses import replace

from decaystudy.evaluation.tasks.chance import chance_text, mean_chance
from decaystudy.formatting import MISSING
from decaystudy.statistics.digits import rounded
from decaystudy.study.analysis.results import CellResult, Difference, StudyResults, in_bits
from decaystudy.study.analysis.runs import MACHINES
from decaystudy.study.definition.claims.accuracy import MEAN
from decaystudy.study.reporting.families import loss_notes
from decaystudy.study.reporting.tables.fields import (
    AVERAGE,
    CELL,
    TO_BASELINE,
    difference_fields,
    seeds_text,
    span,
    trial_text,
)
from decaystudy.table import Column, Kind, Table

LOSS = "validation loss"
"""Heading of the column of losses in nats per token."""


def cells_table(results: StudyResults, *, with_runs: bool = False) -> Table:
    """One row per cell: loss, perplexity, λ, and the difference to its baseline.

    Args:
        with_runs: also the ids of the cell's runs.
    """
    answered = any(cell.accuracy for cell in results.cells)
    tokenizers = results.tokenizers > 1
    loss_name = "bits per byte" if tokenizers else LOSS
    beside = [] if tokenizers else [Column("bits per byte", drop=3), Column("perplexity", drop=4)]
    rows_of_one = all(len(cell.judged or cell.seeds) == 1 for cell in results.cells)
    columns = [CELL, Column("seed" if rows_of_one else "seeds", drop=2), Column(loss_name), *beside]
    columns[2:2] = [Column("chosen")] if results.tuned else []
    columns += [Column(AVERAGE)] if answered else []
    columns += [Column("median λ", drop=1), *TO_BASELINE]
    columns += [Column("runs", Kind.CODE)] if with_runs else []
    rows = []
    for cell in results.cells:
        loss, perplexity, median = loss_fields(cell, in_bits=tokenizers)
        beside_loss = [] if tokenizers else [bits_field(cell), perplexity]
        row = [cell.name, seeds_text(cell.judged or cell.seeds), loss, *beside_loss]
        row[2:2] = [trial_text(cell.trial)] if results.tuned else []
        if answered:
            mean = cell.accuracy
            row.append(MISSING if mean is None else rounded(mean.mean, mean.standard_error))
        row += [median, *difference_fields(difference_in_bits(cell, results) if tokenizers else cell.difference)]
        row += [" ".join(run.id for run in results.runs if run.cell == cell.name)] if with_runs else []
        rows.append(tuple(row))
    entropy = results.unigram_entropy
    notes = () if entropy is None or tokenizers else (f"Held-out unigram entropy: {entropy:.4f} nats per token.",)
    tasks = list(dict.fromkeys(row.task for row in results.accuracy_comparisons if row.task != MEAN))
    guessed = mean_chance(tasks) if answered else None
    guessing = () if guessed is None else (f"Guessing gives {chance_text(guessed)} in the mean over tasks.",)
    machines = [
        f"{row.a} − {row.b}: {note}." for row in results.comparisons for note in row.notes if note.startswith(MACHINES)
    ]
    return Table(tuple(columns), tuple(rows), notes=(*loss_notes(results), *notes, *guessing, *machines))


def loss_fields(cell: CellResult, *, in_bits: bool = False) -> tuple[str, str, str]:
    """Loss, perplexity and median λ of a cell, or its state.

    Args:
        in_bits: the loss in bits per byte, for cells with different tokenizers.
    """
    if cell.val_loss is None:
        return cell.status, MISSING, MISSING
    median = MISSING if cell.median_decay is None else f"{cell.median_decay:.3f}"
    if in_bits:
        if cell.bits_per_byte is None:
            return MISSING, MISSING, median
        scale = cell.bits_per_byte / cell.val_loss
        low, high, error = (None if x is None else x * scale for x in (cell.low, cell.high, cell.standard_error))
        return span(cell.bits_per_byte, low, high, error, signed=False), MISSING, median
    error = None if cell.standard_error is None else cell.standard_error * (cell.val_perplexity or 0.0)
    loss = span(cell.val_loss, cell.low, cell.high, cell.standard_error, signed=False)
    perplexity = cell.val_perplexity or 0.0
    return loss, f"{perplexity:.2f}" if error is None else rounded(perplexity, error), median


def bits_field(cell: CellResult) -> str:
    """The loss of a cell in bits per byte."""
    if cell.bits_per_byte is None or not cell.val_loss:
        return MISSING
    error = None if cell.standard_error is None else cell.standard_error * cell.bits_per_byte / cell.val_loss
    return rounded(cell.bits_per_byte, error)


def difference_in_bits(cell: CellResult, results: StudyResults) -> Difference | None:
    """The difference to the baseline in bits per byte."""
    found = [row for row in results.comparisons if cell.difference and (row.a, row.b) == (cell.name, cell.difference.b)]
    if cell.difference is None or not found:
        return cell.difference
    row = in_bits(found[0])
    return replace(
        cell.difference, difference=row.difference, low=row.low, high=row.high, standard_error=row.standard_error
    )
