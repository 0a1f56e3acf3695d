"""Evaluations as text. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decaystudy.evaluation.tasks.catalog import resolve
from decaystudy.formatting import MISSING, aligned
from decaystudy.runs.evaluation import mean_accuracy, number, task_metrics


def evaluation_table(found: Mapping[str, Mapping[str, Any]], tasks: str) -> str:
    """A row a model and metric: with several models side by side, a column each."""
    names = resolve(tasks)
    rows = [["", *found]]
    rows.append(["validation perplexity", *(validation(values) for values in found.values())])
    for task in names:
        for metric in task_metrics(task, found):
            cells = [number(values["tasks"].get(task, {}), metric) for values in found.values()]
            rows.append([f"{task} {metric}", *cells])
    means = [
        mean_accuracy({task: values["tasks"][task] for task in names if task in values["tasks"]})
        for values in found.values()
    ]
    if any(mean is not None for mean in means):
        rows.append(["mean accuracy", *(MISSING if m is None else f"{m[0]:.4f} ± {m[1]:.4f}" for m in means)])
    text = aligned(rows)
    for folder, values in found.items():
        if "lengths" in values:
            text += f"\n\n{folder}\n{lengths_table(values)}"
    return text


def validation(values: Mapping[str, Any]) -> str:
    """The perplexity on held-out text."""
    return number(values.get("validation") or {}, "perplexity")


def lengths_table(values: Mapping[str, Any]) -> str:
    """Perplexity at multiples of the training length, and loss by position."""
    rows = [["tokens per sequence", "perplexity", "of its last part", "sequences"]]
    for row in values["lengths"]:
        last = f"{row['last_perplexity']:.2f}"
        rows.append([f"{row['length']} ({row['multiple']} ×)", f"{row['perplexity']:.2f}", last, str(row["sequences"])])
    positions = [["position", "loss"]]
    for row in values["positions"]:
        positions.append([f"{row['first']}–{row['last']}", f"{row['loss']:.4f} ± {row['loss_stderr']:.4f}"])
    return f"{aligned(rows)}\n\n{aligned(positions)}"


def decay_rows(layers: Sequence[Mapping[str, Any]], *, heads: bool = False) -> list[list[str]]:
    """A row per layer, and a row per head where asked for; the first row is the heading."""
    names = ("q05", "q25", "median", "q75", "q95", "mean")
    rows = [["layer", *(name.replace("q05", "5 %").replace("q25", "25 %").replace("q75", "75 %").replace("q95", "95 %")
                        for name in names), "half-life", "near 0", "near 1"]]  # fmt: skip
    for layer in layers:
        groups = [(str(layer["layer"]), layer)]
        groups += [(f"  head {head['head']}", head) for head in layer["heads"]] if heads else []
        for name, row in groups:
            life = "forever" if row["half_life"] is None else f"{row['half_life']:.1f}"
            shares = [f"{row[key]:.1%}" for key in ("near_zero", "near_one")]
            rows.append([name, *(f"{row[key]:.4f}" for key in names), life, *shares])
    return rows


def ablation_table(values: Mapping[str, Any]) -> str:
    """The model as it is, and under each change."""
    rows = [["", "loss", "perplexity", "difference in loss"]]
    rows.append(["as it is", f"{values['loss']:.4f}", f"{values['perplexity']:.2f}", ""])
    for change in values["changes"]:
        d = change["difference"]
        interval = f"{d['value']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]"
        rows.append([change["name"], f"{change['loss']:.4f}", f"{change['perplexity']:.2f}", interval])
    return aligned(rows)
