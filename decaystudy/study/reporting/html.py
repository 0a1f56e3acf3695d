"""A study's report as one page that needs nothing beside it. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from decaystudy.formatting import count, hours
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


def as_html(results: dict[str, Any], plan: dict[str, Any], out: Path) -> str:
    """The report; ``plan`` is the content of plan.json, ``out`` where the runs' logs are."""
    title = escape(results["title"])
    done = sum(cell["status"] == "finished" for cell in results["cells"])
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{escape(results['question'])}</p>",
        f"<p class=note>Study <b>{escape(results['study'])}</b> at scale <b>{escape(results['scale'])}</b>, seeds "
        f"{escape(', '.join(map(str, results['seeds'])))}; {done} of {len(results['cells'])} runs finished.</p>",
        *(f"<p class=note>{escape(note)}</p>" for note in results["notes"]),
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
        f"<p class=note>Planned hours: {escape(plan.get('hours_from', ''))}.</p>",
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


def _summary(results: dict[str, Any]) -> str:
    heading, rows = summary_table(results)
    runs: dict[str, list[str]] = {}
    for cell in results["cells"]:
        runs.setdefault(cell["name"], []).append(f"<code>{cell['id']}</code>")
    marked = [[escape(cell) for cell in row] + [" ".join(runs[row[0]])] for row in rows]
    entropy = results["unigram_entropy"]
    below = "" if entropy is None else f"<p>Held-out unigram entropy: {entropy:.4f} nats a token.</p>"
    last = len(heading)
    return table([*(escape(h) for h in heading), "runs"], marked, (last - 1, last)) + below


def _rates(results: dict[str, Any]) -> list[str]:
    found = rates_table(results)
    if found is None:
        return []
    heading, rows = found
    return [
        "<p>At each learning rate, the chosen one marked:</p>",
        table(heading, [list(map(escape, r)) for r in rows]),
    ]


def _comparisons(results: dict[str, Any]) -> str:
    rows = []
    for row in results["comparisons"]:
        pair = f"{escape(row['a'])} − {escape(row['b'])}"
        extra = f"{row['parameters']:+,}"
        if row["difference"] is None:
            rows.append([pair, escape(", ".join(row["axis"])), extra, "–", "–", "–", escape(row["why"])])
            continue
        rows.append(
            [
                pair,
                escape(", ".join(row["axis"])),
                extra,
                signed(row["difference"]),
                f"[{signed(row['low'])}, {signed(row['high'])}]",
                f"{row['p_holm']:.3g}",
                row["verdict"],
            ]
        )
    heading = ["pair", "axis", "parameters", "difference", "interval", "p (Holm)", "the first is"]
    return table(heading, rows, (0, 1, 6)) if rows else "<p>None.</p>"


def _answers(results: dict[str, Any]) -> list[str]:
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
                f"{escape(row['a'])} − {escape(row['b'])}",
                escape(row["task"]),
                escape(span(row["difference"], row["low"], row["high"])),
                f"{row['p_holm']:.3g}",
                f"{row['p_mcnemar']:.3g}" if "p_mcnemar" in row else "–",
                row["verdict"],
            ]
            for row in results["accuracy_comparisons"]
            if row["difference"] is not None
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


def _claims(results: dict[str, Any]) -> str:
    rows = []
    for claim in results["claims"]:
        about = claim.get("about") or claim.get("why") or ""
        low, high = (claim.get("wanted") or [None, None])[:2]
        bounds = [f"above {low:g}"] if low is not None else []
        bounds += [f"below {high:g}"] if high is not None else []
        wanted = " and ".join(bounds)
        verdict = f"<b class={claim['verdict'].split()[0]}>{claim['verdict']}</b>"
        rows.append([escape(claim["text"]), verdict, escape(effect(claim)), escape(about), wanted])
    heading = ["claim", "verdict", "effect", "measured as", "holds if"]
    return table(heading, rows, (0, 1, 3, 4)) if rows else "<p>None.</p>"


def _failures(results: dict[str, Any], out: Path) -> str:
    parts = []
    for cell in results["cells"]:
        if cell["status"] == "finished":
            continue
        at = f" at step {cell['step']}" if cell.get("step") is not None else ""
        message = f": {escape(cell['message'])}" if cell.get("message") else ""
        parts.append(
            f"<p><b class=failed>{escape(cell['name'])} seed {cell['seed']}</b> {escape(cell['status'])}{at}{message} "
            f"(run <code>{cell['id']}</code>, <code>{escape(str(cell.get('log') or 'no log'))}</code>)</p>"
        )
        if cell.get("last_finite"):
            last = ", ".join(f"{key} {value:g}" for key, value in cell["last_finite"].items())
            parts.append(f"<p class=note>last finite: {escape(last)}</p>")
        if cell.get("run"):
            parts.append(_tail(out / cell["run"] / "log.txt"))
    return "\n".join(parts) if parts else "<p>None: every run finished.</p>"


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return ""
    return f"<pre>{escape(chr(10).join(lines))}</pre>" if lines else ""


def _runs(results: dict[str, Any], plan: dict[str, Any]) -> str:
    planned = {cell["id"]: cell for cell in plan.get("cells", [])}
    rows, took, meant = [], [], []
    for cell in results["cells"]:
        cost = cell["cost"]
        hoped = planned.get(cell["id"], {}).get("hours")
        actual = cost["seconds"] / 3600 if cost.get("seconds") else None
        if hoped and actual:
            took.append(actual)
            meant.append(hoped)
        rate = cost.get("learning_rate") or cell.get("learning_rate")
        rows.append(
            [
                escape(cell["name"]) + (f" lr {rate:g}" if rate else ""),
                str(cell["seed"]),
                escape(cell["status"]),
                "–" if cell["val_loss"] is None else f"{cell['val_loss']:.4f}",
                count(cell["parameters"]),
                "–" if cell["tokens"] is None else count(cell["tokens"]),
                "–" if hoped is None else hours(hoped),
                "–" if actual is None else hours(actual),
                "–" if not cost.get("tokens_per_second") else f"{cost['tokens_per_second']:,.0f}",
                escape(str(cost.get("host") or "–")),
                f"<code>{cell['id']}</code>",
            ]
        )
    heading = ["cell", "seed", "status", "loss", "parameters", "tokens", "planned", "took", "tokens/s", "host", "run"]
    text = table(heading, rows, (0, 2, 9, 10))
    if took:
        text += f"<p>The runs took {hours(math.fsum(took))}; planned were {hours(math.fsum(meant))}.</p>"
    return text


def _figure(svg: str | None, caption: str) -> list[str]:
    return [] if svg is None else [f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"]
