"""Evaluations as text. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decaystudy.evaluation.tasks.catalog import resolve
from decaystudy.formatting import MISSING, aligned
from decaystudy.runs.evaluation import (
    Evaluation,
    LengthLoss,
    PositionLoss,
    TaskResult,
    Validation,
    mean_accuracy,
    task_metrics,
    with_error,
)


def evaluation_table(found: Mapping[str, Evaluation], tasks: str) -> str:
    """One row per metric, one column per model."""
    names = resolve(tasks)
    models = list(found.values())
    rows = [["", *found]]
    rows.append(["validation perplexity", *(validation_cell(model.validation) for model in models)])
    for task in names:
        for metric in task_metrics(task, models):
            rows.append([f"{task} {metric}", *(metric_cell(model.tasks.get(task), metric) for model in models)])
    means = [mean_accuracy({task: model.tasks[task] for task in names if task in model.tasks}) for model in models]
    if any(mean is not None for mean in means):
        rows.append(["mean accuracy", *(MISSING if m is None else f"{m[0]:.4f} ± {m[1]:.4f}" for m in means)])
    text = aligned(rows)
    for folder, model in found.items():
        if model.lengths is not None:
            text += f"\n\n{folder}\n{lengths_table(model.lengths, model.positions or ())}"
    return text


def validation_cell(validation: Validation | None) -> str:
    """The perplexity on held-out text with its standard error."""
    return MISSING if validation is None else with_error(validation.perplexity, validation.perplexity_stderr)


def metric_cell(result: TaskResult | None, metric: str) -> str:
    """A metric of a task with its standard error."""
    return MISSING if result is None else with_error(result.metrics.get(metric), result.error(metric))


def lengths_table(lengths: Sequence[LengthLoss], positions: Sequence[PositionLoss]) -> str:
    """Perplexity at multiples of the training length, and loss by position."""
    rows = [["tokens per sequence", "perplexity", "of its last part", "sequences"]]
    for at in lengths:
        last = f"{at.last_perplexity:.2f}"
        rows.append([f"{at.length} ({at.multiple} ×)", f"{at.perplexity:.2f}", last, str(at.sequences)])
    by_position = [["position", "loss"]]
    for part in positions:
        error = "" if part.loss_stderr is None else f" ± {part.loss_stderr:.4f}"
        by_position.append([f"{part.first}–{part.last}", f"{part.loss:.4f}{error}"])
    return f"{aligned(rows)}\n\n{aligned(by_position)}"


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
