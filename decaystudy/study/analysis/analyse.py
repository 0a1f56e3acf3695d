"""From the outcomes of a study's runs to its answer. Reads and writes nothing. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from decaystudy.metrics import perplexity
from decaystudy.model.count import parameter_count
from decaystudy.runs.state import states_text
from decaystudy.study.analysis.accuracies import MEAN, Answers, compare_answers, possible, task_rows
from decaystudy.study.analysis.claims import judge
from decaystudy.study.analysis.comparisons import Cells, all_losses, compare
from decaystudy.study.analysis.results import (
    Accuracy,
    AccuracyComparison,
    CellLength,
    CellPosition,
    CellResult,
    Comparison,
    Cost,
    Difference,
    RunRow,
    StudyResults,
)
from decaystudy.study.analysis.statistics import Estimate, Losses, crossed_mean, seed_mean
from decaystudy.study.definition.expand import Cell, Study
from decaystudy.study.execution.outcomes import Outcome

T = TypeVar("T")
Row = TypeVar("Row", Comparison, AccuracyComparison)


def analyse(study: Study, outcomes: Sequence[Outcome]) -> StudyResults:
    """The answer of a study. Nothing in it but ``cost`` depends on when and where the runs ran.

    Args:
        outcomes: of all its runs, in their order.
    """
    chosen = choose_rates(study, outcomes)
    kept = {
        cell.name: [o for o in outcomes if o.run.cell == cell.name and o.run.learning_rate == chosen.get(cell.name)]
        for cell in study.cells
    }
    answers = Answers(kept)
    comparisons = compare(study.comparisons, kept)
    answered = compare_answers(study.comparisons, answers)
    to_baseline = first_by_cell(comparisons)
    answered_to_baseline = first_by_cell([row for row in answered if row.task == MEAN])
    return StudyResults(
        study=study.name,
        title=study.spec.title,
        question=study.spec.question,
        scale=study.scale,
        axis=study.spec.axis,
        seeds=study.seeds,
        complete=all(outcome.finished for outcome in outcomes),
        notes=tuple(notes(study, outcomes, chosen)),
        unigram_entropy=common([o.result.unigram_entropy for o in outcomes if o.finished and o.result]),
        tasks=answers.tasks,
        runs=tuple(run_row(outcome, chosen) for outcome in outcomes),
        cells=tuple(
            CellResult(
                **cell_facts(cell, kept, chosen),
                **loss_facts(kept[cell.name]),
                **answer_facts(cell.name, answers),
                difference=to_baseline.get(cell.name),
                accuracy_difference=answered_to_baseline.get(cell.name),
            )
            for cell in study.cells
        ),
        comparisons=comparisons,
        accuracy_comparisons=answered,
        claims=judge(study, kept, answers),
        not_run=study.left_out,
    )


def run_row(outcome: Outcome, chosen: Mapping[str, float | None]) -> RunRow:
    """One run as results.json has it."""
    run, result = outcome.run, outcome.result
    tuned = run.learning_rate is not None
    numbers = result if outcome.finished else None
    step = result.step if result and result.step is not None else outcome.status.get("step")
    return RunRow(
        id=run.hash,
        name=run.cell,
        cell=run.cell,
        seed=run.seed,
        status=outcome.state,
        learning_rate=run.learning_rate,
        chosen=chosen.get(run.cell) == run.learning_rate if tuned else None,
        parameters=parameter_count(run.config.model),
        tokens=numbers.tokens if numbers else run.config.tokens,
        step=step,
        train_loss=numbers.train_loss if numbers else None,
        val_loss=numbers.val_loss if numbers else None,
        val_perplexity=numbers.val_perplexity if numbers else None,
        unigram_entropy=numbers.unigram_entropy if numbers else None,
        decay=numbers.decay if numbers else None,
        run=outcome.path,
        message="" if outcome.finished else outcome.message,
        last_finite=result.last_finite if result and not outcome.finished else None,
        log=outcome.log,
        evaluation=outcome.evaluation.tasks if outcome.evaluation else None,
        cost=Cost(
            seconds=result.seconds if result else None,
            tokens_per_second=result.tokens_per_second if result else None,
            host=outcome.status.get("host"),
            device=result.device if result else None,
            devices=result.world_size if result else None,
        ),
    )


def cell_facts(cell: Cell, kept: Cells, chosen: Mapping[str, float | None]) -> dict[str, Any]:
    """What a cell is, and how its runs ended."""
    outcomes = kept[cell.name]
    return {
        "name": cell.name,
        "seeds": tuple(outcome.run.seed for outcome in outcomes),
        "status": states_text([outcome.state for outcome in outcomes]),
        "parameters": parameter_count(cell.config.model),
        "learning_rate": chosen.get(cell.name),
    }


def loss_facts(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Loss and median λ of a cell; nothing unless all its runs finished."""
    losses = all_losses(outcomes)
    if not losses:
        return {}
    estimate = cell_loss(losses)
    low, high = estimate.interval()
    medians = [median_decay(outcome) for outcome in outcomes]
    known = [median for median in medians if median is not None]
    return {
        "val_loss": estimate.value,
        "low": low,
        "high": high,
        "val_perplexity": perplexity(estimate.value),
        "perplexity_low": perplexity(low),
        "perplexity_high": perplexity(high),
        "median_decay": math.fsum(known) / len(known) if len(known) == len(medians) else None,
    }


def answer_facts(cell: str, answers: Answers) -> dict[str, Any]:
    """What a cell answered; nothing unless all its runs were evaluated."""
    facts: dict[str, Any] = {"tasks": task_rows(answers, cell)}
    estimate = answers.accuracy(cell, MEAN)
    if isinstance(estimate, Estimate):
        low, high = possible(estimate, 0.0)
        facts["accuracy"] = Accuracy(mean=estimate.value, low=low, high=high)
    evaluations = answers.evaluations[cell]
    if evaluations and all(evaluation.lengths is not None for evaluation in evaluations):
        facts["lengths"] = tuple(
            CellLength(
                multiple=same[0].multiple,
                length=same[0].length,
                loss=(loss := mean([at.loss for at in same])),
                perplexity=perplexity(loss),
                last_loss=(last_loss := mean([at.last_loss for at in same])),
                last_perplexity=perplexity(last_loss),
            )
            for same in zip(*(evaluation.lengths or () for evaluation in evaluations), strict=False)
        )
        facts["positions"] = tuple(
            CellPosition(
                first=same[0].first,
                last=same[0].last,
                loss=(loss := mean([at.loss for at in same])),
                perplexity=perplexity(loss),
            )
            for same in zip(*(evaluation.positions or () for evaluation in evaluations), strict=False)
        )
    return facts


def first_by_cell(rows: Sequence[Row]) -> dict[str, Difference]:
    """By cell, its first comparison, which is the one with its baseline where it has one."""
    return {
        row.a: Difference(b=row.b, difference=row.difference, low=row.low, high=row.high, verdict=row.verdict)
        for row in reversed(rows)
    }


def cell_loss(losses: Sequence[Losses]) -> Estimate:
    """A cell's loss over its seeds; over the validation sequences where there is one seed."""
    if len(losses) == 1:
        return crossed_mean(losses[0][None, :])
    return seed_mean([float(loss.mean()) for loss in losses])


def median_decay(outcome: Outcome) -> float | None:
    """The median over layers of the layers' medians of λ; None for a model without decay."""
    return float(np.median([layer.median for layer in outcome.decay])) if outcome.decay else None


def choose_rates(study: Study, outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """The learning rate at which each cell is compared: that of the lowest mean loss, among those with all seeds."""
    if not study.learning_rates:
        return {}
    chosen: dict[str, float | None] = {}
    for cell in study.cells:
        means = {}
        for rate in study.learning_rates:
            mine = [o for o in outcomes if o.run.cell == cell.name and o.run.learning_rate == rate]
            if all(outcome.finished for outcome in mine):
                means[rate] = mean([outcome.val_loss for outcome in mine])
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
    unfinished = sum(not outcome.finished for outcome in outcomes)
    if unfinished:
        found.append(
            f"{unfinished} of {len(outcomes)} runs have not finished; cells with such a run have no loss here and are "
            "not compared."
        )
    return found


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def common(values: Sequence[T]) -> T | None:
    """The value that all have, or None."""
    return values[0] if values and all(value == values[0] for value in values) else None
