"""The answer as text: aligned for a terminal, and as CSV and Markdown files. Needs no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from decaystudy.formatting import MISSING, aligned
from decaystudy.runs.state import RunState
from decaystudy.study.analysis.results import (
    CellResult,
    ClaimResult,
    ClaimVerdict,
    ComparisonVerdict,
    Difference,
    StudyResults,
)

SHOWN = ("word_perplexity", "perplexity")
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


def summary_table(results: StudyResults) -> tuple[list[str], list[list[str]]]:
    """Heading and rows: one a cell."""
    heading = ["cell", "seeds", "validation loss", "perplexity", "median λ", "difference to twin", ""]
    if results.tuned:
        heading.insert(2, "lr")
    answered = any(cell.accuracy for cell in results.cells)
    if answered:
        heading.insert(heading.index("median λ"), "accuracy")
    rows = []
    for cell in results.cells:
        row = [cell.name, seeds(cell.seeds), *loss_fields(cell), *difference_fields(cell.difference)]
        if results.tuned:
            row.insert(2, f"{cell.learning_rate or 0:g}")
        if answered:
            row.insert(heading.index("accuracy"), MISSING if cell.accuracy is None else f"{cell.accuracy.mean:.4f}")
        rows.append(row)
    return heading, rows


def tasks_table(results: StudyResults) -> tuple[list[str], list[list[str]]] | None:
    """Accuracy (or perplexity) of each cell on each task, the mean accuracy, and its difference to the twin's; None for
    a study that is not evaluated."""
    if not results.tasks:
        return None
    columns: list[tuple[str, str]] = []
    for task in results.tasks:
        known = next((cell.tasks[task] for cell in results.cells if task in cell.tasks), None)
        if known is not None:
            columns += [(task, name) for name in SHOWN if name in known.metrics]
            columns += [(task, "accuracy")] if known.accuracy is not None else []
    names = [task if name == "accuracy" else f"{task} ppl" for task, name in columns]
    rows = []
    for cell in results.cells:
        row = [cell.name, *(task_field(cell, task, name) for task, name in columns)]
        mean = cell.accuracy
        row.append(MISSING if mean is None else f"{mean.mean:.4f} [{mean.low:.4f}, {mean.high:.4f}]")
        rows.append([*row, *difference_fields(cell.accuracy_difference)])
    return ["cell", *names, "mean accuracy", "difference to twin", ""], rows


def task_field(cell: CellResult, task: str, name: str) -> str:
    """A cell's accuracy or another metric on a task."""
    known = cell.tasks.get(task)
    value = None if known is None else known.accuracy if name == "accuracy" else known.metrics.get(name)
    return MISSING if value is None else f"{value:.4f}" if name == "accuracy" else f"{value:.4g}"


def lengths_table(results: StudyResults) -> tuple[list[str], list[list[str]]] | None:
    """Perplexity of each cell at multiples of the training length; None where it was not measured."""
    measured = [cell for cell in results.cells if cell.lengths]
    if not measured:
        return None
    longest = max((cell.lengths for cell in measured), key=len)
    rows = []
    for cell in measured:
        values = {at.multiple: f"{at.perplexity:.2f}" for at in cell.lengths}
        rows.append([cell.name, *(values.get(at.multiple, MISSING) for at in longest)])
    return ["perplexity at", *(f"{at.length} ({at.multiple} ×)" for at in longest)], rows


def loss_fields(cell: CellResult) -> list[str]:
    """Loss, perplexity and median λ of a cell, or its state."""
    if cell.val_loss is None:
        return [cell.status, MISSING, MISSING]
    return [
        f"{cell.val_loss:.4f} [{cell.low:.4f}, {cell.high:.4f}]",
        f"{cell.val_perplexity:.2f}",
        MISSING if cell.median_decay is None else f"{cell.median_decay:.3f}",
    ]


def difference_fields(difference: Difference | None) -> list[str]:
    """Difference to the baseline with interval, and what it means."""
    if difference is None:
        return ["", ""]
    if difference.difference is None:
        return [MISSING, f"not compared with {difference.b}"]
    interval = span(difference.difference, difference.low, difference.high)
    return [interval, f"{WORDS[difference.verdict]} {difference.b}"]


def rates_table(results: StudyResults) -> tuple[list[str], list[list[str]]] | None:
    """Mean loss of each cell at each learning rate tried, the chosen one marked; None for a study that doesn't tune."""
    losses: dict[str, dict[float, list[float | None]]] = {}
    chosen: dict[str, float] = {}
    for run in results.runs:
        if run.learning_rate is None:
            return None
        losses.setdefault(run.cell, {}).setdefault(run.learning_rate, []).append(run.val_loss)
        if run.chosen:
            chosen[run.cell] = run.learning_rate
    rates = sorted({rate for by_rate in losses.values() for rate in by_rate})
    rows = []
    for name, by_rate in losses.items():
        row = [name]
        for rate in rates:
            values = [value for value in by_rate.get(rate, [None]) if value is not None]
            whole = len(values) == len(by_rate.get(rate, [None]))
            mark = " *" if chosen.get(name) == rate else ""
            row.append(f"{sum(values) / len(values):.4f}{mark}" if whole else MISSING)
        rows.append(row)
    return ["cell", *(f"lr {rate:g}" for rate in rates)], rows


def seeds(numbers: Sequence[int]) -> str:
    """0, 1, 2 as ``0-2``; others with commas."""
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(str(n) for n in numbers)


def as_text(results: StudyResults) -> str:
    """What run-study prints at its end."""
    heading, rows = summary_table(results)
    last = len(heading) - 1
    lines = [results.title, "", aligned(rows, heading=heading, left=(0, last))]
    if results.unigram_entropy is not None:
        lines.append(f"\nheld-out unigram entropy: {results.unigram_entropy:.4f} nats per token")
    rates = rates_table(results)
    if rates is not None:
        lines += ["", aligned(rates[1], heading=rates[0])]
    tasks = tasks_table(results)
    if tasks is not None:
        lines += ["", aligned(tasks[1], heading=tasks[0], left=(0, len(tasks[0]) - 1))]
    lengths = lengths_table(results)
    if lengths is not None:
        lines += ["", aligned(lengths[1], heading=lengths[0])]
    lines += claims_text(results)
    lines += failures_text(results)
    lines += [f"note: {note}" for note in results.notes]
    return "\n".join(lines)


def claims_text(results: StudyResults) -> list[str]:
    """The claims and their verdicts."""
    if not results.claims:
        return []
    rows = [
        [f"{MARKS[claim.verdict]} {claim.verdict}", claim.id, effect(claim), claim.text] for claim in results.claims
    ]
    return ["", aligned(rows, heading=["claim", "id", "effect", "what is claimed"], left=(0, 1, 3)), ""]


def effect(claim: ClaimResult) -> str:
    """A claim's effect and interval."""
    return MISSING if claim.effect is None else span(claim.effect, claim.low, claim.high)


def span(value: float, low: float | None, high: float | None) -> str:
    """``+0.0268 [+0.0182, +0.0354]``; the value alone where it has no interval."""
    return signed(value) if low is None or high is None else f"{signed(value)} [{signed(low)}, {signed(high)}]"


def signed(value: float) -> str:
    """Four decimals and a sign, which zero has too, always the same."""
    return f"{round(value, 4) + 0.0:+.4f}"


def failures_text(results: StudyResults) -> list[str]:
    """Runs that ended otherwise than well, with their logs."""
    lines = []
    for run in results.failures:
        if run.status == RunState.PLANNED:
            continue
        at = "" if run.step is None else f" at step {run.step}"
        message = f": {run.message}" if run.message else ""
        log = f" (log: {run.log})" if run.log else ""
        lines.append(f"✘ {run.cell} seed {run.seed} {run.status}{at}{message}{log}")
    return lines


def as_csv(results: StudyResults) -> str:
    """One line a run."""
    keys = ["study", "scale", "id", "name", "seed", "status", "parameters", "tokens", "step", "train_loss", "val_loss"]
    keys += ["val_perplexity", "unigram_entropy", "median_decay", "run"]
    if results.tuned:
        keys.insert(5, "learning_rate")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(keys)
    for run in results.runs:
        medians = sorted(layer.median for layer in run.decay or ())
        middle = len(medians) // 2
        median = (medians[middle] + medians[~middle]) / 2 if medians else None
        values = {**vars(run), "study": results.study, "scale": results.scale, "median_decay": median}
        writer.writerow(["" if values.get(key) is None else values[key] for key in keys])
    return text.getvalue()


def as_markdown(results: StudyResults) -> str:
    """The table, the claims and the notes."""
    heading, rows = summary_table(results)
    lines = [f"# {results.title}", "", results.question, "", *markdown_table(heading, rows), ""]
    if results.unigram_entropy is not None:
        lines += [f"Held-out unigram entropy: {results.unigram_entropy:.4f} nats per token.", ""]
    rates = rates_table(results)
    if rates is not None:
        lines += ["## Learning rates", "", *markdown_table(*rates), ""]
    for title, table in (("Tasks", tasks_table(results)), ("Longer texts", lengths_table(results))):
        if table is not None:
            lines += [f"## {title}", "", *markdown_table(*table), ""]
    if results.claims:
        claims = [[claim.verdict, claim.id, effect(claim), claim.text] for claim in results.claims]
        lines += ["## Claims", "", *markdown_table(["verdict", "id", "effect", "claim"], claims), ""]
    failures = failures_text(results)
    if failures:
        lines += ["## Runs that did not finish", "", *(f"- {line}" for line in failures), ""]
    lines += [f"- {note}" for note in results.notes]
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table's lines."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in [heading, *rows]]
    lines = ["| " + " | ".join(row) + " |" for row in escaped]
    lines.insert(1, "|" + "---|" * len(heading))
    return lines
