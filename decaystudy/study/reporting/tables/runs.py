"""One row per run."""

from __future__ import annotations

from decaystudy.formatting import MISSING, count, hours
from decaystudy.study.analysis.results import RunRow, StudyResults
from decaystudy.study.planning.plan_schema import Plan
from decaystudy.study.reporting.tables.fields import CELL, trial_text
from decaystudy.table import Column, Kind, Table


def runs_table(results: StudyResults, plan: Plan) -> Table:
    """One row per run: its loss, and its cost beside the planned one."""
    columns = (
        CELL,
        Column("seed"),
        Column("status", Kind.WORDS),
        Column("loss"),
        Column("bits per byte"),
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
            run.cell + (f" {trial_text(run.trial)}" if run.trial else "") + (" tuning" if run.tuning else ""),
            str(run.seed),
            str(run.status),
            MISSING if run.val_loss is None else f"{run.val_loss:.4f}",
            MISSING if run.bits_per_byte is None else f"{run.bits_per_byte:.4f}",
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
    names += ["val_perplexity", "bits_per_byte", "unigram_entropy", "median_decay", "run"]
    tried = list(dict.fromkeys(name for run in results.runs for name in run.trial or {}))
    names[5:5] = ["tuning", *tried] if results.tuned else []
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
