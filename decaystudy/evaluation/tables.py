"""Tables of what was measured on trained models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decaystudy.evaluation.tasks.chance import chance, chance_text
from decaystudy.formatting import MISSING
from decaystudy.runs.evaluation import (
    ACCURACIES,
    Evaluation,
    LengthLoss,
    PositionLoss,
    TaskResult,
    Validation,
    accuracy_metric,
    mean_accuracy,
    task_metrics,
    with_error,
)
from decaystudy.table import Column, Kind, Table
from decaystudy.terminal import fitted

_QUANTILES = {"q05": "5 %", "q25": "25 %", "median": "median", "q75": "75 %", "q95": "95 %", "mean": "mean"}


def evaluation_text(found: Mapping[str, Evaluation], names: Sequence[str], width: int | None = None) -> str:
    """All that ``evaluate`` prints: metrics of the models side by side, then each model's losses by length.

    Args:
        width: columns of the terminal; None for lines of any length.
    """
    parts = [fitted(metrics_table(found, names), width)]
    for name, model in found.items():
        if model.lengths is not None:
            parts += [f"{name}\n{fitted(lengths_table(model.lengths), width)}"]
            parts += [fitted(positions_table(model.positions or ()), width)]
    return "\n\n".join(parts)


def metrics_table(found: Mapping[str, Evaluation], names: Sequence[str]) -> Table:
    """One row per metric, one column per model."""
    models = list(found.values())
    rows = [("validation bits per byte", *(bits_field(model.validation) for model in models))]
    if one_tokenizer(found):
        rows.append(("validation perplexity", *(validation_field(model.validation) for model in models)))
    for task in names:
        for metric in task_metrics(task, models):
            rows.append((metric_name(task, metric), *(metric_field(model.tasks.get(task), metric) for model in models)))
    means = [mean_accuracy({task: model.tasks[task] for task in names if task in model.tasks}) for model in models]
    counted = len({task for task in names for model in models if counts_answers(task, model)})
    if any(mean is not None for mean in means):
        average = f"mean of {counted} task{'' if counted == 1 else 's'}"
        rows.append((average, *(MISSING if m is None else f"{m[0]:.4f} ± {m[1]:.4f}" for m in means)))
    return Table((Column("metric", Kind.WORDS), *(Column(name) for name in found)), tuple(rows))


def counts_answers(task: str, model: Evaluation) -> bool:
    """Whether a task that the model was asked has an accuracy."""
    return task in model.tasks and accuracy_metric(task, model.tasks[task]) is not None


def metric_name(task: str, metric: str) -> str:
    """A metric's row, an accuracy with what guessing gives: ``piqa acc (chance 0.5)``."""
    guessed = chance(task) if metric in ACCURACIES else None
    return f"{task} {metric}" + ("" if guessed is None else f" (chance {chance_text(guessed)})")


def one_tokenizer(found: Mapping[str, Evaluation]) -> bool:
    """Whether the models' perplexities are of the same tokens, as far as is known."""
    known = [model.validation.tokenizer for model in found.values() if model.validation is not None]
    return len({tokenizer for tokenizer in known if tokenizer is not None}) < 2


def bits_field(validation: Validation | None) -> str:
    """Bits per byte of the held-out text."""
    known = None if validation is None else validation.bits_per_byte
    return MISSING if known is None else f"{known:.4f}"


def validation_field(validation: Validation | None) -> str:
    """The perplexity on held-out text with its standard error."""
    return MISSING if validation is None else with_error(validation.perplexity, validation.perplexity_stderr)


def metric_field(result: TaskResult | None, metric: str) -> str:
    """A metric of a task with its standard error."""
    return MISSING if result is None else with_error(result.metrics.get(metric), result.error(metric))


def lengths_table(lengths: Sequence[LengthLoss]) -> Table:
    """Perplexity at multiples of the training length."""
    columns = (
        Column("tokens per sequence", Kind.WORDS),
        Column("perplexity"),
        Column("of its last part"),
        Column("sequences"),
    )
    rows = [
        (f"{at.length} ({at.multiple} ×)", f"{at.perplexity:.2f}", f"{at.last_perplexity:.2f}", str(at.sequences))
        for at in lengths
    ]
    return Table(columns, tuple(rows))


def positions_table(positions: Sequence[PositionLoss]) -> Table:
    """Loss by position in the sequence."""
    rows = []
    for part in positions:
        error = "" if part.loss_stderr is None else f" ± {part.loss_stderr:.4f}"
        rows.append((f"{part.first}–{part.last}", f"{part.loss:.4f}{error}"))
    return Table((Column("position", Kind.WORDS), Column("loss")), tuple(rows))


def decays_table(layers: Sequence[Mapping[str, Any]], *, heads: bool = False) -> Table:
    """Quantiles of λ, one row per layer.

    Args:
        heads: also a row per head.
    """
    headings = ("layer", *_QUANTILES.values(), "half-life", "near 0", "near 1")
    rows = []
    for layer in layers:
        groups = [(str(layer["layer"]), layer)]
        groups += [(f"  head {head['head']}", head) for head in layer["heads"]] if heads else []
        for name, row in groups:
            life = "forever" if row["half_life"] is None else f"{row['half_life']:.1f}"
            shares = [f"{row[key]:.1%}" for key in ("near_zero", "near_one")]
            rows.append((name, *(f"{row[key]:.4f}" for key in _QUANTILES), life, *shares))
    columns = [Column(heading, Kind.NUMBER if i else Kind.WORDS) for i, heading in enumerate(headings)]
    return Table(tuple(columns), tuple(rows))


def ablation_table(values: Mapping[str, Any]) -> Table:
    """The model as it is, and under each change."""
    columns = (Column("decay", Kind.WORDS), Column("loss"), Column("perplexity"), Column("difference in loss"))
    rows = [("as it is", f"{values['loss']:.4f}", f"{values['perplexity']:.2f}", "")]
    for change in values["changes"]:
        d = change["difference"]
        interval = f"{d['value']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]"
        rows.append((change["name"], f"{change['loss']:.4f}", f"{change['perplexity']:.2f}", interval))
    return Table(columns, tuple(rows))
