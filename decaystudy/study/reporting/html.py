"""A study's report as one page that needs nothing beside it. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from decaystudy.formatting import count, hours
from decaystudy.study.analysis.results import ClaimResult, StudyResults
from decaystudy.study.planning.plan_schema import Plan
from decaystudy.study.reporting import figures
from decaystudy.study.reporting.tables import (
    effect,
    lengths_table,
    rates_table,
    signed,
    span,
    summary_table,
    tasks_table,
)

LOG_LINES = 20
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1f2937; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid #d1d5db; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: 1rem 0; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #e5e7eb; vertical-align: top; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
code, pre { font: 12px/1.4 ui-monospace, monospace; } pre { background: #f3f4f6; padding: .7rem; overflow-x: auto; }
.supported { color: #15803d; } .refuted { color: #b91c1c; } .undecided, .note { color: #6b7280; }
.failed { color: #b91c1c; } figure { margin: 1rem 0; overflow-x: auto; } figcaption { color: #6b7280; font-size: 13px; }
.wide { overflow-x: auto; }
"""


def as_html(results: StudyResults, plan: Plan, out: Path) -> str:
    """The report.

    Args:
        out: the folder of all runs, where their logs are.
    """
    title = escape(results.title)
    total = len(results.runs)
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{escape(results.question)}</p>",
        f"<p class=note>Study <b>{escape(results.study)}</b> at scale <b>{escape(results.scale)}</b>, seeds "
        f"{', '.join(map(str, results.seeds))}; {total - len(results.failures)} of {total} runs finished.</p>",
        *(f"<p class=note>{escape(note)}</p>" for note in results.notes),
        "<h2>Cells</h2>",
        _summary(results),
        *_rates(results),
        *_figure(figures.losses(results), "Validation loss of each cell."),
        "<h2>Comparisons</h2>",
        "<p class=note>Paired by validation sequence and seed; intervals of 95 %, Holm-corrected over the table.</p>",
        _comparisons(results),
        *_figure(figures.differences(results), "Paired differences; grey where the interval holds zero."),
        *_answers(results),
        "<h2>Claims</h2>",
        _claims(results),
        "<h2>Where the decays went</h2>",
        *_figure(figures.decays(results), "Median λ of each layer over validation text, mean over seeds."),
        *_figure(figures.loss_by_decay(results), "Loss against the median λ of each cell."),
        "<h2>Runs that did not finish</h2>",
        _failures(results, out),
        "<h2>Runs and cost</h2>",
        f"<p class=note>Planned hours: {escape(plan.hours_from)}.</p>",
        _runs(results, plan),
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n<style>{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</html>\n"
    )


def table(heading: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = ()) -> str:
    """An HTML table of cells that are HTML already; ``text`` are the columns to align left."""
    head = "".join(f"<th{' class=text' if i in text else ''}>{name}</th>" for i, name in enumerate(heading))
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=text' if i in text else ''}>{cell}</td>" for i, cell in enumerate(row))
        + "</tr>\n"
        for row in rows
    )
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"


def _summary(results: StudyResults) -> str:
    heading, rows = summary_table(results)
    runs: dict[str, list[str]] = {}
    for run in results.runs:
        runs.setdefault(run.cell, []).append(f"<code>{run.id}</code>")
    marked = [[escape(cell) for cell in row] + [" ".join(runs[row[0]])] for row in rows]
    entropy = results.unigram_entropy
    below = "" if entropy is None else f"<p>Held-out unigram entropy: {entropy:.4f} nats per token.</p>"
    last = len(heading)
    return table([*(escape(h) for h in heading), "runs"], marked, (last - 1, last)) + below


def _rates(results: StudyResults) -> list[str]:
    found = rates_table(results)
    if found is None:
        return []
    heading, rows = found
    return [
        "<p>At each learning rate, the chosen one marked:</p>",
        table(heading, [list(map(escape, r)) for r in rows]),
    ]


def _comparisons(results: StudyResults) -> str:
    rows = []
    for row in results.comparisons:
        facts = [f"{escape(row.a)} − {escape(row.b)}", escape(", ".join(row.axis)), f"{row.parameters:+,}"]
        if row.difference is None or row.low is None or row.high is None:
            rows.append([*facts, "–", "–", "–", escape(row.why or "")])
            continue
        interval = f"[{signed(row.low)}, {signed(row.high)}]"
        rows.append([*facts, signed(row.difference), interval, f"{row.p_holm:.3g}", row.verdict])
    heading = ["pair", "axis", "parameters", "difference", "interval", "p (Holm)", "the first is"]
    return table(heading, rows, (0, 1, 6)) if rows else "<p>None.</p>"


def _answers(results: StudyResults) -> list[str]:
    """Tasks, their paired differences, and longer texts; nothing for a study that is not evaluated."""
    parts = []
    tasks, lengths = tasks_table(results), lengths_table(results)
    if tasks is not None:
        heading, rows = tasks
        note = "<p class=note>Paired question by question; intervals of 95 %, Holm-corrected over the comparisons.</p>"
        marked = [[escape(cell) for cell in row] for row in rows]
        parts += ["<h2>Tasks</h2>", note, table([*map(escape, heading)], marked, (0, len(heading) - 1))]
        parts += _figure(figures.recall_by_distance(results), "Recall against distance; the line is chance.")
        differences = [
            [
                f"{escape(row.a)} − {escape(row.b)}",
                escape(row.task),
                escape(span(row.difference, row.low, row.high)),
                f"{row.p_holm:.3g}",
                "–" if row.p_mcnemar is None else f"{row.p_mcnemar:.3g}",
                row.verdict,
            ]
            for row in results.accuracy_comparisons
            if row.difference is not None
        ]
        if differences:
            names = ["pair", "task", "difference in accuracy", "p (Holm)", "p (McNemar)", "the first is"]
            parts.append(f"<details><summary>By task</summary>{table(names, differences, (0, 1, 5))}</details>")
    if lengths is not None:
        heading, rows = lengths
        marked = [[escape(cell) for cell in row] for row in rows]
        parts += ["<h2>Longer texts than in training</h2>", table([*map(escape, heading)], marked)]
        parts += _figure(figures.loss_by_position(results), "Loss against position; the line is the training length.")
    return parts


def _claims(results: StudyResults) -> str:
    rows = []
    for claim in results.claims:
        verdict = f"<b class={claim.verdict.split()[0]}>{claim.verdict}</b>"
        about = claim.about or claim.why or ""
        rows.append([escape(claim.text), verdict, escape(effect(claim)), escape(about), wanted(claim)])
    heading = ["claim", "verdict", "effect", "measured as", "holds if"]
    return table(heading, rows, (0, 1, 3, 4)) if rows else "<p>None.</p>"


def wanted(claim: ClaimResult) -> str:
    """Where a claim's effect must lie: ``above 0 and below 0.1``."""
    low, high = claim.wanted or (None, None)
    bounds = [f"above {low:g}"] if low is not None else []
    bounds += [f"below {high:g}"] if high is not None else []
    return " and ".join(bounds)


def _failures(results: StudyResults, out: Path) -> str:
    parts = []
    for run in results.failures:
        at = "" if run.step is None else f" at step {run.step}"
        message = f": {escape(run.message)}" if run.message else ""
        parts.append(
            f"<p><b class=failed>{escape(run.cell)} seed {run.seed}</b> {run.status}{at}{message} "
            f"(run <code>{run.id}</code>, <code>{escape(run.log or 'no log')}</code>)</p>"
        )
        if run.last_finite:
            last = ", ".join(f"{key} {value:g}" for key, value in run.last_finite.items())
            parts.append(f"<p class=note>last finite: {escape(last)}</p>")
        if run.run:
            parts.append(_tail(out / run.run / "log.txt"))
    return "\n".join(parts) if parts else "<p>None: every run finished.</p>"


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return ""
    return f"<pre>{escape(chr(10).join(lines))}</pre>" if lines else ""


def _runs(results: StudyResults, plan: Plan) -> str:
    hoped = {run.id: run.hours for run in plan.runs}
    rows, took, meant = [], [], []
    for run in results.runs:
        planned = hoped.get(run.id)
        actual = run.cost.seconds / 3600 if run.cost.seconds else None
        if planned and actual:
            took.append(actual)
            meant.append(planned)
        rows.append(
            [
                escape(run.cell) + (f" lr {run.learning_rate:g}" if run.learning_rate else ""),
                str(run.seed),
                str(run.status),
                "–" if run.val_loss is None else f"{run.val_loss:.4f}",
                count(run.parameters),
                "–" if run.tokens is None else count(run.tokens),
                "–" if planned is None else hours(planned),
                "–" if actual is None else hours(actual),
                f"{run.cost.tokens_per_second:,.0f}" if run.cost.tokens_per_second else "–",
                escape(run.cost.host or "–"),
                f"<code>{run.id}</code>",
            ]
        )
    heading = ["cell", "seed", "status", "loss", "parameters", "tokens", "planned", "took", "tokens/s", "host", "run"]
    text = table(heading, rows, (0, 2, 9, 10))
    if took:
        text += f"<p>The runs took {hours(math.fsum(took))}; planned were {hours(math.fsum(meant))}.</p>"
    return text


def _figure(svg: str | None, caption: str) -> list[str]:
    return [] if svg is None else [f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"]
