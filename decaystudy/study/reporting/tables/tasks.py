"""Accuracies by task, and perplexities of longer texts."""

from __future__ import annotations

from decaystudy.evaluation.tasks.chance import chance, chance_text, mean_chance
from decaystudy.formatting import MISSING
from decaystudy.statistics.digits import rounded
from decaystudy.study.analysis.results import CellResult, StudyResults
from decaystudy.study.reporting.families import accuracy_notes
from decaystudy.study.reporting.tables.fields import AVERAGE, CELL, TO_BASELINE, difference_fields, span
from decaystudy.table import Column, Kind, Table

ACCURACY = "accuracy"
BESIDE_ACCURACY = ("word_perplexity", "perplexity")
"""Metrics of tasks that stand beside the accuracy."""


def tasks_table(results: StudyResults) -> Table | None:
    """Accuracy (or perplexity) of each cell on each task, the mean of accuracies, its difference to the baseline's, and
    what guessing gives; None for a study that is not evaluated."""
    if not results.tasks:
        return None
    shown: list[tuple[str, str]] = []
    for task in results.tasks:
        known = next((cell.tasks[task] for cell in results.cells if task in cell.tasks), None)
        if known is not None:
            shown += [(task, name) for name in BESIDE_ACCURACY if name in known.metrics]
            shown += [(task, ACCURACY)] if known.accuracy is not None else []
    names = [task if name == ACCURACY else f"{task} ppl" for task, name in shown]
    rows = []
    for cell in results.cells:
        mean = cell.accuracy
        whole = MISSING if mean is None else span(mean.mean, mean.low, mean.high, mean.standard_error, signed=False)
        fields = [task_field(cell, task, name) for task, name in shown]
        rows.append((cell.name, *fields, whole, *difference_fields(cell.accuracy_difference)))
    counted = [task for task, name in shown if name == ACCURACY]
    guessed = [chance_text(chance(task) if name == ACCURACY else None, MISSING) for task, name in shown]
    rows.append(("(chance)", *guessed, chance_text(mean_chance(counted), MISSING), "", "", ""))
    columns = (CELL, *(Column(name) for name in names), Column(AVERAGE), *TO_BASELINE)
    return Table(columns, tuple(rows), title="Tasks", notes=accuracy_notes(results))


def task_field(cell: CellResult, task: str, name: str) -> str:
    """A cell's accuracy or another metric on a task."""
    known = cell.tasks.get(task)
    if known is None:
        return MISSING
    if name == ACCURACY:
        return MISSING if known.accuracy is None else rounded(known.accuracy, known.standard_error)
    return f"{known.metrics[name]:.4g}" if name in known.metrics else MISSING


def lengths_table(results: StudyResults) -> Table | None:
    """Perplexity of each cell at multiples of the training length; None where it was not measured, and across
    tokenizers, whose perplexities are of different tokens."""
    measured = [cell for cell in results.cells if cell.lengths and results.tokenizers < 2]
    if not measured:
        return None
    longest = max((cell.lengths for cell in measured), key=len)
    rows = []
    for cell in measured:
        values = {at.multiple: f"{at.perplexity:.2f}" for at in cell.lengths}
        rows.append((cell.name, *(values.get(at.multiple, MISSING) for at in longest)))
    columns = (Column("perplexity at", Kind.WORDS), *(Column(f"{at.length} ({at.multiple} ×)") for at in longest))
    return Table(columns, tuple(rows), title="Longer texts")
