"""The tables of a study, from its results. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

from decaystudy.formatting import MISSING, count, hours
from decaystudy.study.analysis.results import (
    CellResult,
    ClaimResult,
    ClaimVerdict,
    ComparisonVerdict,
    Difference,
    RunRow,
    StudyResults,
)
from decaystudy.study.planning.plan_schema import Plan
from decaystudy.table import Column, Kind, Table

BESIDE_ACCURACY = ("word_perplexity", "perplexity")
"""Metrics of tasks that stand beside the accuracy."""
WORDS = {
    ComparisonVerdict.BETTER: "better than",
    ComparisonVerdict.WORSE: "worse than",
    ComparisonVerdict.INDISTINGUISHABLE: "indistinguishable from",
    ComparisonVerdict.INCOMPLETE: "not compared with",
}
MARKS = {
    ClaimVerdict.SUPPORTED: "✔",
    ClaimVerdict.REFUTED: "✘",
    ClaimVerdict.UNDECIDED: "?",
    ClaimVerdict.NOT_TESTED: "–",
}
CELL = Column("cell", Kind.WORDS)
TO_BASELINE = (Column("difference to baseline"), Column("", Kind.WORDS))


# -- cells -------------------------------------------------------------------------------------------------------


def cells_table(results: StudyResults, *, with_runs: bool = False) -> Table:
    """One row per cell: loss, perplexity, λ, and the difference to its baseline.

    Args:
        with_runs: also the ids of the cell's runs.
    """
    answered = any(cell.accuracy for cell in results.cells)
    columns = [CELL, Column("seeds"), Column("validation loss"), Column("perplexity")]
    columns[2:2] = [Column("lr")] if results.tuned else []
    columns += [Column("accuracy")] if answered else []
    columns += [Column("median λ"), *TO_BASELINE]
    columns += [Column("runs", Kind.CODE)] if with_runs else []
    rows = []
    for cell in results.cells:
        loss, perplexity, median = loss_fields(cell)
        row = [cell.name, seeds_text(cell.seeds), loss, perplexity]
        row[2:2] = [f"{cell.learning_rate or 0:g}"] if results.tuned else []
        if answered:
            row.append(MISSING if cell.accuracy is None else f"{cell.accuracy.mean:.4f}")
        row += [median, *difference_fields(cell.difference)]
        row += [" ".join(run.id for run in results.runs if run.cell == cell.name)] if with_runs else []
        rows.append(tuple(row))
    entropy = results.unigram_entropy
    notes = () if entropy is None else (f"Held-out unigram entropy: {entropy:.4f} nats per token.",)
    return Table(tuple(columns), tuple(rows), notes=notes)


def loss_fields(cell: CellResult) -> tuple[str, str, str]:
    """Loss, perplexity and median λ of a cell, or its state."""
    if cell.val_loss is None:
        return cell.status, MISSING, MISSING
    return (
        f"{cell.val_loss:.4f} [{cell.low:.4f}, {cell.high:.4f}]",
        f"{cell.val_perplexity:.2f}",
        MISSING if cell.median_decay is None else f"{cell.median_decay:.3f}",
    )


def difference_fields(difference: Difference | None) -> tuple[str, str]:
    """Difference to the baseline with its interval, and what it means."""
    if difference is None:
        return "", ""
    interval = MISSING
    if difference.difference is not None:
        interval = span(difference.difference, difference.low, difference.high)
    return interval, f"{WORDS[difference.verdict]} {difference.b}"


def rates_table(results: StudyResults) -> Table | None:
    """Mean loss of each cell at each learning rate tried; None for a study that doesn't tune."""
    if not results.tuned:
        return None
    rates = sorted({run.learning_rate for run in results.runs if run.learning_rate is not None})
    rows = []
    for cell in results.cells:
        fields = [cell.name]
        for rate in rates:
            losses = [run.val_loss for run in results.runs if (run.cell, run.learning_rate) == (cell.name, rate)]
            known = [loss for loss in losses if loss is not None]
            mark = " *" if rate == cell.learning_rate else ""
            whole = known and len(known) == len(losses)
            fields.append(f"{sum(known) / len(known):.4f}{mark}" if whole else MISSING)
        rows.append(tuple(fields))
    columns = (CELL, *(Column(f"lr {rate:g}") for rate in rates))
    return Table(
        columns,
        tuple(rows),
        title="Learning rates",
        notes=("The rate marked * is the one at which the cell is compared.",),
    )


# -- comparisons and claims --------------------------------------------------------------------------------------


def comparisons_table(results: StudyResults) -> Table:
    """Every comparison on validation loss."""
    columns = (
        Column("pair", Kind.WORDS),
        Column("axis", Kind.WORDS),
        Column("parameters"),
        Column("difference"),
        Column("interval"),
        Column("p (Holm)"),
        Column("the first is", Kind.WORDS),
    )
    rows = []
    for row in results.comparisons:
        facts = (f"{row.a} − {row.b}", ", ".join(row.axis), f"{row.parameters:+,}")
        if row.difference is None or row.low is None or row.high is None:
            rows.append((*facts, MISSING, MISSING, MISSING, row.why or ""))
        else:
            interval = f"[{signed(row.low)}, {signed(row.high)}]"
            rows.append((*facts, signed(row.difference), interval, f"{row.p_holm:.3g}", str(row.verdict)))
    return Table(columns, tuple(rows), title="Comparisons")


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
        ((f"{MARKS[claim.verdict]} " if marks else "") + claim.verdict, claim.id, effect(claim), claim.text)
        for claim in results.claims
    ]
    return Table(columns, tuple(rows), title="Claims")


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
        (claim.text, str(claim.verdict), effect(claim), claim.about or claim.why or "", bounds(claim))
        for claim in results.claims
    ]
    return Table(columns, tuple(rows), title="Claims")


def effect(claim: ClaimResult) -> str:
    """A claim's effect and interval."""
    return MISSING if claim.effect is None else span(claim.effect, claim.low, claim.high)


def bounds(claim: ClaimResult) -> str:
    """Where a claim's effect must lie: ``above 0 and below 0.1``."""
    low, high = claim.wanted or (None, None)
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
        whole = MISSING if mean is None else f"{mean.mean:.4f} [{mean.low:.4f}, {mean.high:.4f}]"
        fields = [task_field(cell, task, name) for task, name in shown]
        rows.append((cell.name, *fields, whole, *difference_fields(cell.accuracy_difference)))
    columns = (CELL, *(Column(name) for name in names), Column("mean accuracy"), *TO_BASELINE)
    return Table(columns, tuple(rows), title="Tasks")


def task_field(cell: CellResult, task: str, name: str) -> str:
    """A cell's accuracy or another metric on a task."""
    known = cell.tasks.get(task)
    value = None if known is None else known.accuracy if name == "accuracy" else known.metrics.get(name)
    return MISSING if value is None else f"{value:.4f}" if name == "accuracy" else f"{value:.4g}"


def accuracies_table(results: StudyResults) -> Table | None:
    """Every comparison of accuracies, by task; None where there is none."""
    columns = (
        Column("pair", Kind.WORDS),
        Column("task", Kind.WORDS),
        Column("difference in accuracy"),
        Column("p (Holm)"),
        Column("p (McNemar)"),
        Column("the first is", Kind.WORDS),
    )
    rows = [
        (
            f"{row.a} − {row.b}",
            row.task,
            span(row.difference, row.low, row.high),
            f"{row.p_holm:.3g}",
            MISSING if row.p_mcnemar is None else f"{row.p_mcnemar:.3g}",
            str(row.verdict),
        )
        for row in results.accuracy_comparisons
        if row.difference is not None
    ]
    return Table(columns, tuple(rows), title="By task") if rows else None


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
            run.cell + (f" lr {run.learning_rate:g}" if run.learning_rate else ""),
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
    names[5:5] = ["learning_rate"] if results.tuned else []
    rows = []
    for run in results.runs:
        values = {**vars(run), "study": results.study, "scale": results.scale, "median_decay": median_decay(run)}
        rows.append(tuple("" if values[name] is None else str(values[name]) for name in names))
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


def span(value: float, low: float | None, high: float | None) -> str:
    """``+0.0268 [+0.0182, +0.0354]``; the value alone where it has no interval."""
    return signed(value) if low is None or high is None else f"{signed(value)} [{signed(low)}, {signed(high)}]"


def signed(value: float) -> str:
    """Four decimals and a sign, which zero has too, always the same."""
    return f"{round(value, 4) + 0.0:+.4f}"
