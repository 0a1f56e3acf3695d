"""The answer as text: aligned for a terminal, and as CSV and Markdown files. Needs no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from decaystudy.formatting import MISSING, aligned

SHOWN = ("word_perplexity", "perplexity")
"""Metrics of tasks that stand beside the accuracy."""


def summary_table(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heading and rows: one a cell."""
    tuned = any("learning_rate" in row for row in results["summary"])
    heading = ["cell", "seeds", "validation loss", "perplexity", "median λ", "difference to twin", ""]
    if tuned:
        heading.insert(2, "lr")
    answered = any("accuracy" in row for row in results["summary"])
    if answered:
        heading.insert(heading.index("median λ"), "accuracy")
    rows = []
    for row in results["summary"]:
        cells = [row["name"], seeds(row["seeds"]), *loss_cells(row), *difference_cells(row)]
        if tuned:
            cells.insert(2, f"{row.get('learning_rate', 0):g}")
        if answered:
            mean = row.get("accuracy")
            cells.insert(heading.index("accuracy"), MISSING if mean is None else f"{mean['mean']:.4f}")
        rows.append(cells)
    return heading, rows


def tasks_table(results: dict[str, Any]) -> tuple[list[str], list[list[str]]] | None:
    """Accuracy (or perplexity) of each cell on each task, the mean accuracy, and its difference to the twin's; None for
    a study that is not evaluated."""
    if not results.get("tasks"):
        return None
    columns: list[tuple[str, str]] = []
    for task in results["tasks"]:
        known: dict[str, Any] = next((r["tasks"][task] for r in results["summary"] if task in r.get("tasks", {})), {})
        columns += [(task, name) for name in (*SHOWN, "accuracy") if name in known]
    names = [task if name == "accuracy" else f"{task} ppl" for task, name in columns]
    rows = []
    for row in results["summary"]:
        cells = [row["name"]]
        for task, name in columns:
            value = row.get("tasks", {}).get(task, {}).get(name)
            cells.append(MISSING if value is None else f"{value:.4f}" if name == "accuracy" else f"{value:.4g}")
        mean = row.get("accuracy")
        cells.append(MISSING if mean is None else f"{mean['mean']:.4f} [{mean['low']:.4f}, {mean['high']:.4f}]")
        rows.append([*cells, *difference_cells({"difference": row.get("accuracy_difference")})])
    return ["cell", *names, "mean accuracy", "difference to twin", ""], rows


def lengths_table(results: dict[str, Any]) -> tuple[list[str], list[list[str]]] | None:
    """Perplexity of each cell at multiples of the training length; None where it was not measured."""
    measured = [row for row in results["summary"] if row.get("lengths")]
    if not measured:
        return None
    longest = max((row["lengths"] for row in measured), key=len)
    rows = []
    for row in measured:
        values = {at["multiple"]: f"{at['perplexity']:.2f}" for at in row["lengths"]}
        rows.append([row["name"], *(values.get(at["multiple"], MISSING) for at in longest)])
    return ["perplexity at", *(f"{at['length']} ({at['multiple']} ×)" for at in longest)], rows


def loss_cells(row: dict[str, Any]) -> list[str]:
    """Loss, perplexity and median λ of a cell, or its state."""
    if "val_loss" not in row:
        return [row["status"], MISSING, MISSING]
    median = row.get("median_decay")
    return [
        f"{row['val_loss']:.4f} [{row['low']:.4f}, {row['high']:.4f}]",
        f"{row['val_perplexity']:.2f}",
        MISSING if median is None else f"{median:.3f}",
    ]


def difference_cells(row: dict[str, Any]) -> list[str]:
    """Difference to the twin with interval, and what it means."""
    twin = row.get("difference")
    if twin is None:
        return ["", ""]
    if twin["difference"] is None:
        return [MISSING, f"not compared with {twin['b']}"]
    interval = span(twin["difference"], twin["low"], twin["high"])
    words = {"worse": "worse than", "better": "better than", "indistinguishable": "indistinguishable from"}
    return [interval, f"{words[twin['verdict']]} {twin['b']}"]


def rates_table(results: dict[str, Any]) -> tuple[list[str], list[list[str]]] | None:
    """Mean loss of each cell at each learning rate tried, the chosen one marked; None for a study that doesn't tune."""
    losses: dict[str, dict[float, list[float | None]]] = {}
    chosen: dict[str, float] = {}
    for cell in results["cells"]:
        if "learning_rate" not in cell:
            return None
        losses.setdefault(cell["name"], {}).setdefault(cell["learning_rate"], []).append(cell["val_loss"])
        if cell["chosen"]:
            chosen[cell["name"]] = cell["learning_rate"]
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


def as_text(results: dict[str, Any]) -> str:
    """What run-study prints at its end."""
    heading, rows = summary_table(results)
    last = len(heading) - 1
    lines = [results["title"], "", aligned(rows, heading=heading, left=(0, last))]
    if results["unigram_entropy"] is not None:
        lines.append(f"\nheld-out unigram entropy: {results['unigram_entropy']:.4f} nats a token")
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
    lines += [f"note: {note}" for note in results["notes"]]
    return "\n".join(lines)


def claims_text(results: dict[str, Any]) -> list[str]:
    """The claims and their verdicts."""
    if not results["claims"]:
        return []
    marks = {"supported": "✔", "refuted": "✘", "undecided": "?", "not tested": "–"}
    rows = [
        [f"{marks[claim['verdict']]} {claim['verdict']}", claim["id"], effect(claim), claim["text"]]
        for claim in results["claims"]
    ]
    return ["", aligned(rows, heading=["claim", "id", "effect", "what is claimed"], left=(0, 1, 3)), ""]


def effect(claim: dict[str, Any]) -> str:
    """A claim's effect and interval."""
    if claim["effect"] is None:
        return MISSING
    return span(claim["effect"], claim["low"], claim["high"])


def span(value: float, low: float | None, high: float | None) -> str:
    """``+0.0268 [+0.0182, +0.0354]``; the value alone where it has no interval."""
    return signed(value) if low is None or high is None else f"{signed(value)} [{signed(low)}, {signed(high)}]"


def signed(value: float) -> str:
    """Four decimals and a sign, which zero has too, always the same."""
    return f"{round(value, 4) + 0.0:+.4f}"


def failures_text(results: dict[str, Any]) -> list[str]:
    """Runs that ended otherwise than well, with their logs."""
    lines = []
    for cell in results["cells"]:
        if cell["status"] in ("finished", "planned"):
            continue
        at = f" at step {cell['step']}" if cell.get("step") is not None else ""
        message = f": {cell['message']}" if cell.get("message") else ""
        log = f" (log: {cell['log']})" if cell.get("log") else ""
        lines.append(f"✘ {cell['name']} seed {cell['seed']} {cell['status']}{at}{message}{log}")
    return lines


def as_csv(results: dict[str, Any]) -> str:
    """One line a run."""
    keys = ["study", "scale", "id", "name", "seed", "status", "parameters", "tokens", "step", "train_loss", "val_loss"]
    keys += ["val_perplexity", "unigram_entropy", "median_decay", "run"]
    if any("learning_rate" in cell for cell in results["cells"]):
        keys.insert(5, "learning_rate")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(keys)
    for cell in results["cells"]:
        medians = sorted(layer["median"] for layer in cell["decay"] or [])
        middle = len(medians) // 2
        median = (medians[middle] + medians[~middle]) / 2 if medians else None
        values = {**cell, "study": results["study"], "scale": results["scale"], "median_decay": median}
        writer.writerow(["" if values.get(key) is None else values[key] for key in keys])
    return text.getvalue()


def as_markdown(results: dict[str, Any]) -> str:
    """The table, the claims and the notes."""
    heading, rows = summary_table(results)
    lines = [f"# {results['title']}", "", results["question"], "", *markdown_table(heading, rows), ""]
    if results["unigram_entropy"] is not None:
        lines += [f"Held-out unigram entropy: {results['unigram_entropy']:.4f} nats a token.", ""]
    rates = rates_table(results)
    if rates is not None:
        lines += ["## Learning rates", "", *markdown_table(*rates), ""]
    for title, table in (("Tasks", tasks_table(results)), ("Longer texts", lengths_table(results))):
        if table is not None:
            lines += [f"## {title}", "", *markdown_table(*table), ""]
    if results["claims"]:
        claims = [[c["verdict"], c["id"], effect(c), c["text"]] for c in results["claims"]]
        lines += ["## Claims", "", *markdown_table(["verdict", "id", "effect", "claim"], claims), ""]
    failures = failures_text(results)
    if failures:
        lines += ["## Runs that did not finish", "", *(f"- {line}" for line in failures), ""]
    lines += [f"- {note}" for note in results["notes"]]
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table's lines."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in [heading, *rows]]
    lines = ["| " + " | ".join(row) + " |" for row in escaped]
    lines.insert(1, "|" + "---|" * len(heading))
    return lines
