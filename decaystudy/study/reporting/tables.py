"""The tables of a study, from its results. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decaystudy.formatting import MISSING, count, hours
from decaystudy.statistics.claims import ClaimVerdict
from decaystudy.statistics.digits import interval_text, rounded
from decaystudy.study.analysis.results import (
    CellResult,
    ClaimPart,
    ClaimResult,
    Comparison,
    ComparisonVerdict,
    Difference,
    Judgement,
    RunRow,
    StudyResults,
)
from decaystudy.study.definition.search import Trial
from decaystudy.study.planning.plan_schema import Plan
from decaystudy.study.reporting.families import accuracy_notes, claim_notes, loss_notes
from decaystudy.table import Column, Kind, Table

BESIDE_ACCURACY = ("word_perplexity", "perplexity")
"""Metrics of tasks that stand beside the accuracy."""
MARKS = {
    ClaimVerdict.SUPPORTED: "✔",
    ClaimVerdict.REFUTED: "✘",
    ClaimVerdict.NOT_RESOLVED: "?",
    ClaimVerdict.NOT_JUDGED: "–",
}
CELL = Column("cell", Kind.WORDS)
TO_BASELINE = (Column("baseline", Kind.WORDS), Column("difference"), Column("verdict", Kind.VERDICT))


# -- cells -------------------------------------------------------------------------------------------------------


def cells_table(results: StudyResults, *, with_runs: bool = False) -> Table:
    """One row per cell: loss, perplexity, λ, and the difference to its baseline.

    Args:
        with_runs: also the ids of the cell's runs.
    """
    answered = any(cell.accuracy for cell in results.cells)
    tokenizers = results.tokenizers > 1
    loss_name = "bits per byte" if tokenizers else "validation loss"
    columns = [CELL, Column("seeds"), Column(loss_name), *([] if tokenizers else [Column("perplexity")])]
    columns[2:2] = [Column("tried")] if results.tuned else []
    columns += [Column("accuracy")] if answered else []
    columns += [Column("median λ"), *TO_BASELINE]
    columns += [Column("runs", Kind.CODE)] if with_runs else []
    rows = []
    for cell in results.cells:
        loss, perplexity, median = loss_fields(cell, in_bits=tokenizers)
        row = [cell.name, seeds_text(cell.judged or cell.seeds), loss, *([] if tokenizers else [perplexity])]
        row[2:2] = [trial_text(cell.trial)] if results.tuned else []
        if answered:
            mean = cell.accuracy
            row.append(MISSING if mean is None else rounded(mean.mean, mean.standard_error))
        row += [median, *difference_fields(cell.difference)]
        row += [" ".join(run.id for run in results.runs if run.cell == cell.name)] if with_runs else []
        rows.append(tuple(row))
    entropy = results.unigram_entropy
    notes = () if entropy is None else (f"Held-out unigram entropy: {entropy:.4f} nats per token.",)
    return Table(tuple(columns), tuple(rows), notes=(*loss_notes(results), *notes))


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


def difference_fields(difference: Difference | None) -> tuple[str, str, str]:
    """The baseline, the difference to it with its interval, and the verdict."""
    if difference is None:
        return "", "", ""
    shown = MISSING
    if difference.difference is not None:
        shown = span(difference.difference, difference.low, difference.high, difference.standard_error)
    return difference.b, shown, str(difference.verdict)


def trials_table(results: StudyResults) -> Table | None:
    """Mean loss of each cell at each trial of the search; None for a study that doesn't search."""
    if not results.tuned:
        return None
    trials = list(dict.fromkeys(Trial.of(run.trial) for run in results.runs if run.trial is not None))
    rows = []
    for cell in results.cells:
        fields = [cell.name]
        for trial in trials:
            losses = [run.val_loss for run in results.runs if (run.cell, run.trial) == (cell.name, trial.as_dict())]
            known = [loss for loss in losses if loss is not None]
            mark = " *" if trial.as_dict() == cell.trial else ""
            whole = known and len(known) == len(losses)
            fields.append(f"{sum(known) / len(known):.4f}{mark}" if whole else MISSING)
        rows.append(tuple(fields))
    columns = (CELL, *(Column(trial.label) for trial in trials))
    return Table(
        columns,
        tuple(rows),
        title="Trials of the search",
        notes=("The loss marked * is that of the trial at which the cell is compared.",),
    )


def trial_text(trial: Mapping[str, Any] | None) -> str:
    """The settings of a trial: ``lr0.003``."""
    return MISSING if trial is None else Trial.of(trial).label


def comparisons_table(results: StudyResults) -> Table:
    """Every comparison on validation loss."""
    tokenizers = results.tokenizers > 1
    columns = (
        Column("pair", Kind.WORDS),
        Column("axis", Kind.WORDS),
        Column("parameters"),
        *([] if tokenizers else [Column("difference, nats per token"), Column("interval")]),
        Column("bits per byte"),
        Column("seeds"),
        Column("resolvable"),
        Column("the first is", Kind.VERDICT),
    )
    rows = []
    for row in results.comparisons:
        difference = MISSING if row.difference is None else rounded(row.difference, row.standard_error, signed=True)
        nats = [] if tokenizers else [difference, interval(row)]
        bits = MISSING if row.bits_per_byte is None else bits_field(row, with_interval=tokenizers)
        judged = (bits, str(row.seeds or MISSING), resolvable_field(row), verdict_text(row))
        rows.append((f"{row.a} − {row.b}", ", ".join(row.axis), f"{row.parameters:+,}", *nats, *judged))
    notes = [f"{row.a} − {row.b}: {note}." for row in results.comparisons for note in told(row)]
    return Table(columns, tuple(rows), title="Comparisons", notes=(*loss_notes(results), *notes))


def interval(row: Judgement) -> str:
    """The simultaneous interval of a comparison."""
    return MISSING if row.low is None or row.high is None else interval_text(row.low, row.high, row.standard_error)


def bits_field(row: Comparison, *, with_interval: bool) -> str:
    """A difference in bits per byte; with its interval where it has no other unit."""
    assert row.bits_per_byte is not None
    scale = row.bits_per_byte / row.difference if row.difference else None
    ends = (row.low, row.high, row.standard_error)
    low, high, error = (None if x is None or scale is None else x * scale for x in ends)
    return span(row.bits_per_byte, low if with_interval else None, high if with_interval else None, error)


def resolvable_field(row: Judgement) -> str:
    """The smallest difference that a comparison resolves."""
    return MISSING if row.resolvable is None else f"±{rounded(row.resolvable, row.standard_error)}"


def verdict_text(row: Judgement) -> str:
    """The verdict, with what it needs to be understood: the margin, or why there is none."""
    if row.verdict == ComparisonVerdict.EQUIVALENT:
        return f"{row.verdict} (within {row.margin:g})"
    return f"{row.verdict}: {row.why}" if row.why else str(row.verdict)


def told(row: Judgement) -> list[str]:
    """What a reader of a row should know beside its verdict, which itself says when there is one seed."""
    return [note for note in row.notes if not note.startswith(ComparisonVerdict.ONE_SEED)]


def claims_table(results: StudyResults, *, marks: bool = False) -> Table:
    """Every claim with its verdict.

    Args:
        marks: a mark before each verdict, for forms without colour.
    """
    columns = (
        Column("verdict", Kind.VERDICT),
        Column("id", Kind.CODE),
        Column("effect"),
        Column("what is claimed", Kind.PROSE),
    )
    rows = [
        ((f"{MARKS[claim.verdict]} " if marks else "") + claim.words, claim.id, effect(claim), claim.text)
        for claim in results.claims
    ]
    return Table(columns, tuple(rows), title="Claims", notes=claim_notes(results))


def claim_details_table(results: StudyResults) -> Table:
    """Every claim with its verdict, what was measured, and what it takes to hold."""
    columns = (
        Column("claim", Kind.PROSE),
        Column("verdict", Kind.VERDICT),
        Column("effect"),
        Column("measured as", Kind.PROSE),
        Column("holds if", Kind.WORDS),
    )
    rows = [
        (
            claim.text,
            claim.words,
            effect(claim),
            "" if claim.decisive is None else claim.decisive.about,
            "" if claim.decisive is None else bounds(claim.decisive),
        )
        for claim in results.claims
    ]
    return Table(columns, tuple(rows), title="Claims", notes=claim_notes(results))


def effect(claim: ClaimResult) -> str:
    """Effect and interval of the part of a claim that decided."""
    part = claim.decisive
    if part is None or part.effect is None:
        return MISSING
    return span(part.effect, part.low, part.high, part.standard_error, signed=claim.kind != "optimum")


def bounds(part: ClaimPart) -> str:
    """Where a claim's effect must lie: ``above 0 and below 0.1``."""
    low, high = part.wanted
    if part.outside:
        return f"below {low:g} or above {high:g}"
    words = [f"above {low:g}"] if low is not None else []
    words += [f"below {high:g}"] if high is not None else []
    return " and ".join(words)


# -- tasks and lengths -------------------------------------------------------------------------------------------


def tasks_table(results: StudyResults) -> Table | None:
    """Accuracy (or perplexity) of each cell on each task, the mean accuracy, and its difference to the baseline's; None
    for a study that is not evaluated."""
    if not results.tasks:
        return None
    shown: list[tuple[str, str]] = []
    for task in results.tasks:
        known = next((cell.tasks[task] for cell in results.cells if task in cell.tasks), None)
        if known is not None:
            shown += [(task, name) for name in BESIDE_ACCURACY if name in known.metrics]
            shown += [(task, "accuracy")] if known.accuracy is not None else []
    names = [task if name == "accuracy" else f"{task} ppl" for task, name in shown]
    rows = []
    for cell in results.cells:
        mean = cell.accuracy
        whole = MISSING if mean is None else span(mean.mean, mean.low, mean.high, mean.standard_error, signed=False)
        fields = [task_field(cell, task, name) for task, name in shown]
        rows.append((cell.name, *fields, whole, *difference_fields(cell.accuracy_difference)))
    columns = (CELL, *(Column(name) for name in names), Column("mean accuracy"), *TO_BASELINE)
    return Table(columns, tuple(rows), title="Tasks", notes=accuracy_notes(results))


def task_field(cell: CellResult, task: str, name: str) -> str:
    """A cell's accuracy or another metric on a task."""
    known = cell.tasks.get(task)
    if known is None:
        return MISSING
    if name == "accuracy":
        return MISSING if known.accuracy is None else rounded(known.accuracy, known.standard_error)
    return f"{known.metrics[name]:.4g}" if name in known.metrics else MISSING


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
            row.task,
            MISSING if row.difference is None else span(row.difference, row.low, row.high, row.standard_error),
            str(row.seeds or MISSING),
            resolvable_field(row),
            verdict_text(row),
        )
        for row in results.accuracy_comparisons
    ]
    notes = [f"{row.a} − {row.b}, {row.task}: {note}." for row in results.accuracy_comparisons for note in told(row)]
    return Table(columns, tuple(rows), title="By task", notes=tuple(dict.fromkeys(notes))) if rows else None


def lengths_table(results: StudyResults) -> Table | None:
    """Perplexity of each cell at multiples of the training length; None where it was not measured."""
    measured = [cell for cell in results.cells if cell.lengths]
    if not measured:
        return None
    longest = max((cell.lengths for cell in measured), key=len)
    rows = []
    for cell in measured:
        values = {at.multiple: f"{at.perplexity:.2f}" for at in cell.lengths}
        rows.append((cell.name, *(values.get(at.multiple, MISSING) for at in longest)))
    columns = (Column("perplexity at", Kind.WORDS), *(Column(f"{at.length} ({at.multiple} ×)") for at in longest))
    return Table(columns, tuple(rows), title="Longer texts")


# -- runs --------------------------------------------------------------------------------------------------------


def runs_table(results: StudyResults, plan: Plan) -> Table:
    """One row per run: its loss, and its cost beside the planned one."""
    columns = (
        CELL,
        Column("seed"),
        Column("status", Kind.WORDS),
        Column("loss"),
        Column("parameters"),
        Column("tokens"),
        Column("planned"),
        Column("took"),
        Column("tokens/s"),
        Column("host", Kind.WORDS),
        Column("run", Kind.CODE),
    )
    planned = {run.id: run.hours for run in plan.runs}
    rows = [
        (
            run.cell + (f" {trial_text(run.trial)}" if run.trial else ""),
            str(run.seed),
            str(run.status),
            MISSING if run.val_loss is None else f"{run.val_loss:.4f}",
            count(run.parameters),
            MISSING if run.tokens is None else count(run.tokens),
            hours(planned[run.id]) if run.id in planned else MISSING,
            hours(run.cost.seconds / 3600) if run.cost.seconds else MISSING,
            f"{run.cost.tokens_per_second:,.0f}" if run.cost.tokens_per_second else MISSING,
            run.cost.host or MISSING,
            run.id,
        )
        for run in results.runs
    ]
    return Table(columns, tuple(rows), title="Runs and cost")


def run_data(results: StudyResults) -> Table:
    """One row per run with unrounded numbers: the content of results.csv."""
    names = ["study", "scale", "id", "name", "seed", "status", "parameters", "tokens", "step", "train_loss", "val_loss"]
    names += ["val_perplexity", "unigram_entropy", "median_decay", "run"]
    names[5:5] = list(dict.fromkeys(name for run in results.runs for name in run.trial or {}))
    rows = []
    for run in results.runs:
        values = {
            **vars(run),
            **(run.trial or {}),
            "study": results.study,
            "scale": results.scale,
            "median_decay": median_decay(run),
        }
        rows.append(tuple("" if values.get(name) is None else str(values[name]) for name in names))
    return Table(tuple(Column(name) for name in names), tuple(rows))


def median_decay(run: RunRow) -> float | None:
    """The median over layers of the layers' median λ; None without a decay."""
    medians = sorted(layer.median for layer in run.decay or ())
    middle = len(medians) // 2
    return (medians[middle] + medians[~middle]) / 2 if medians else None


# -- fields ------------------------------------------------------------------------------------------------------


def seeds_text(numbers: Sequence[int]) -> str:
    """0, 1, 2 as ``0-2``; others with commas."""
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(str(n) for n in numbers)


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
