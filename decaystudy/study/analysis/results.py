"""What came of a study, as plain data: results.json, from which everything else is made. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from decaystudy.metrics import perplexity
from decaystudy.model.count import parameter_count
from decaystudy.runs.evaluation import read_evaluation
from decaystudy.study.analysis.accuracies import MEAN, Answers, compare_answers, possible, task_rows
from decaystudy.study.analysis.comparisons import compare, judge
from decaystudy.study.analysis.outcomes import Outcome, median_decay, read_outcome
from decaystudy.study.analysis.statistics import Estimate, Losses, crossed_mean, seed_mean
from decaystudy.study.definition.expand import Cell, Study
from decaystudy.study.execution.scheduler import last_line
from decaystudy.study.execution.store import Store

DECAY_KEYS = ("layer", "median", "q25", "q75", "mean")


def gather(study: Study, store: Store, trouble: Mapping[str, str] = {}) -> dict[str, Any]:
    """The content of results.json. Nothing in it but ``cost`` depends on when and where the runs ran."""
    outcomes = [read_outcome(run, store, trouble) for run in study.runs()]
    chosen = choose_rates(study, outcomes)
    kept = {
        cell.name: [o for o in outcomes if o.run.cell == cell.name and o.run.learning_rate == chosen.get(cell.name)]
        for cell in study.cells
    }
    comparisons = compare(study.comparisons, kept)
    by_cell = {row["a"]: row for row in reversed(comparisons)}
    answers = Answers(kept)
    answered = compare_answers(study.comparisons, answers) if answers.tasks else []
    by_cell_answered = {row["a"]: row for row in reversed(answered) if row["task"] == MEAN}
    return {
        "study": study.name,
        "title": study.spec.title,
        "question": study.spec.question,
        "scale": study.scale,
        "axis": list(study.spec.axis),
        "seeds": list(study.seeds),
        "complete": all(outcome.state == "finished" for outcome in outcomes),
        "notes": notes(study, outcomes, chosen),
        "unigram_entropy": common([o.result.get("unigram_entropy") for o in outcomes if o.state == "finished"]),
        "tasks": answers.tasks,
        "summary": [
            {
                **summarise(cell, kept[cell.name], chosen.get(cell.name), by_cell),
                **answers_of(cell.name, answers, by_cell_answered),
            }
            for cell in study.cells
        ],
        "cells": [describe(outcome, store, chosen) for outcome in outcomes],
        "comparisons": comparisons,
        "accuracy_comparisons": answered,
        "claims": judge(study, kept, answers),
        "not_run": list(study.left_out),
    }


def describe(outcome: Outcome, store: Store, chosen: Mapping[str, float | None]) -> dict[str, Any]:
    """One run as results.json has it."""
    run, result, status = outcome.run, outcome.result, outcome.status
    finished = outcome.state == "finished"
    row: dict[str, Any] = {"id": run.hash, "name": run.cell, "seed": run.seed, "status": outcome.state}
    if run.learning_rate is not None:
        row |= {"learning_rate": run.learning_rate, "chosen": chosen.get(run.cell) == run.learning_rate}
    row |= {
        "parameters": parameter_count(run.config.model),
        "tokens": result.get("tokens") if finished else run.config.tokens,
        "step": result.get("step", status.get("step")),
        "train_loss": result.get("train_loss") if finished else None,
        "val_loss": result.get("val_loss") if finished else None,
        "val_perplexity": result.get("val_perplexity") if finished else None,
        "unigram_entropy": result.get("unigram_entropy") if finished else None,
        "decay": [{key: layer[key] for key in DECAY_KEYS} for layer in result.get("decay") or []] if finished else None,
        "run": store.relative(outcome.folder) if outcome.folder else None,
    }
    if not finished:
        row["message"] = status.get("message") or result.get("message") or ""
        row["last_finite"] = result.get("last_finite")
        has_log = outcome.folder is not None and outcome.folder.log.exists()
        row["log"] = str(outcome.folder.log) if has_log and outcome.folder else None
        if outcome.state == "failed" and not row["message"] and outcome.folder:
            row["message"] = last_line(outcome.folder, None)
    if finished and outcome.folder is not None and (evaluation := read_evaluation(outcome.folder.path)) is not None:
        row["evaluation"] = evaluation.get("tasks", {})
    row["cost"] = {
        "seconds": result.get("seconds"),
        "tokens_per_second": result.get("tokens_per_second"),
        "host": status.get("host"),
        "device": result.get("device"),
        "devices": result.get("world_size"),
    }
    return row


def summarise(
    cell: Cell, outcomes: Sequence[Outcome], rate: float | None, comparisons: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """One row of the table. A cell has a loss only if all its seeds have finished: none is averaged over the others."""
    states = [outcome.state for outcome in outcomes]
    ordered = sorted(set(states))
    row: dict[str, Any] = {
        "name": cell.name,
        "seeds": [outcome.run.seed for outcome in outcomes],
        "status": states[0] if len(set(states)) == 1 else ", ".join(f"{states.count(s)} {s}" for s in ordered),
        "parameters": parameter_count(cell.config.model),
    }
    if rate is not None:
        row["learning_rate"] = rate
    losses = [outcome.losses for outcome in outcomes]
    if outcomes and all(loss is not None for loss in losses):
        estimate = cell_loss([loss for loss in losses if loss is not None])
        low, high = estimate.interval()
        row |= {"val_loss": estimate.value, "low": low, "high": high}
        row |= {"val_perplexity": perplexity(estimate.value)}
        row |= {"perplexity_low": perplexity(low), "perplexity_high": perplexity(high)}
        medians = [median_decay(outcome.result.get("decay") or []) for outcome in outcomes]
        row["median_decay"] = None if None in medians else math.fsum(m for m in medians if m is not None) / len(medians)
    twin = comparisons.get(cell.name)
    if twin:
        row["difference"] = {key: twin[key] for key in ("b", "difference", "low", "high", "verdict")}
    return row


def answers_of(cell: str, answers: Answers, twins: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What a cell answered, for its row of the table; nothing for a study that is not evaluated."""
    if not answers.tasks:
        return {}
    row: dict[str, Any] = {"tasks": task_rows(answers, cell)}
    estimate = answers.accuracy(cell, MEAN)
    if estimate is not None:
        low, high = possible(estimate, 0.0)
        row["accuracy"] = {"mean": estimate.value, "low": low, "high": high}
    if cell in twins:
        row["accuracy_difference"] = {key: twins[cell][key] for key in ("b", "difference", "low", "high", "verdict")}
    lengths = answers.lengths.get(cell)
    if lengths:
        row |= {name: mean_rows([values[name] for values in lengths]) for name in ("lengths", "positions")}
    return row


def mean_rows(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of numbers, each the mean over the seeds (the geometric one of perplexities, whose loss is the mean)."""
    rows = []
    for same in zip(*seeds, strict=False):
        row: dict[str, Any] = dict(same[0])
        for name in ("loss", "last_loss"):
            if name in row:
                row[name] = math.fsum(values[name] for values in same) / len(same)
                row[name.replace("loss", "perplexity")] = perplexity(row[name])
        rows.append({name: value for name, value in row.items() if not name.endswith("_stderr")})
    return rows


def cell_loss(losses: Sequence[Losses]) -> Estimate:
    """A cell's loss over its seeds; over the validation sequences where there is one seed."""
    if len(losses) == 1:
        return crossed_mean(losses[0][None, :])
    return seed_mean([float(loss.mean()) for loss in losses])


def choose_rates(study: Study, outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """The learning rate at which each cell is compared: that of the lowest mean loss, among those with all seeds."""
    if not study.learning_rates:
        return {}
    chosen: dict[str, float | None] = {}
    for cell in study.cells:
        means = {}
        for rate in study.learning_rates:
            mine = [o for o in outcomes if o.run.cell == cell.name and o.run.learning_rate == rate]
            if all(o.state == "finished" for o in mine):
                means[rate] = math.fsum(o.result["val_loss"] for o in mine) / len(mine)
        chosen[cell.name] = min(means, key=lambda rate: means[rate]) if means else study.learning_rates[0]
    return chosen


def notes(study: Study, outcomes: Sequence[Outcome], chosen: Mapping[str, float | None]) -> list[str]:
    """What a reader must know about these numbers."""
    found = []
    if len(study.seeds) == 1:
        found.append("One seed: intervals are over validation sequences only and say nothing about other seeds.")
    elif len(study.seeds) == 2:
        found.append("Two seeds: intervals over seeds have one degree of freedom and are wide; use three or more.")
    if study.learning_rates:
        rates = ", ".join(f"{rate:g}" for rate in study.learning_rates)
        found.append(
            f"Each cell is compared at its best learning rate of {rates}, chosen on the validation sequences that it "
            "is judged on: all cells gain by that alike, and their losses are slightly too low."
        )
        edges = {min(study.learning_rates), max(study.learning_rates)}
        at_edge = [name for name, rate in chosen.items() if rate in edges]
        if at_edge:
            found.append(f"At the edge of the learning rates tried, so try more: {', '.join(at_edge)}.")
    if study.left_out:
        found.append(f"Not run at scale {study.scale} without --all-cells: {', '.join(study.left_out)}.")
    unfinished = sum(outcome.state != "finished" for outcome in outcomes)
    if unfinished:
        found.append(
            f"{unfinished} of {len(outcomes)} runs have not finished; cells with such a run have no loss here and are "
            "not compared."
        )
    return found


def common(values: Sequence[Any]) -> Any:
    """The value that all have, or None."""
    return values[0] if values and all(value == values[0] for value in values) else None
