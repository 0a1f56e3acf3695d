"""From the outcomes of a study's runs to its answer. Reads and writes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from decaystudy.metrics import perplexity
from decaystudy.runs.state import FINAL, states_text
from decaystudy.study.analysis.accuracies import (
    Answers,
    accuracy_facts,
    accuracy_family,
    asked_accuracies,
    compare_answers,
    task_rows,
)
from decaystudy.study.analysis.answer import answer
from decaystudy.study.analysis.claims import evidence_of, judge, reported_cells
from decaystudy.study.analysis.comparisons import compare, loss_family
from decaystudy.study.analysis.expected import finer_scale
from decaystudy.study.analysis.judgement import finite
from decaystudy.study.analysis.losses import NATS, OTHER_DATA, Losses
from decaystudy.study.analysis.measurements import Unavailable
from decaystudy.study.analysis.positions import position_rows
from decaystudy.study.analysis.results import (
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
from decaystudy.study.analysis.runs import Cells, learned_nothing
from decaystudy.study.analysis.scales import Scaled, judge_scales
from decaystudy.study.analysis.tuning import tuning_notes, tuning_of
from decaystudy.study.definition.claims.accuracy import MEAN
from decaystudy.study.definition.judged import JudgedCell, JudgedStudy
from decaystudy.study.definition.search import Trial
from decaystudy.study.execution.outcomes import Outcome

T = TypeVar("T")
Row = TypeVar("Row", Comparison, AccuracyComparison)


def analyse(study: JudgedStudy, outcomes: Sequence[Outcome], others: Sequence[Scaled] = ()) -> StudyResults:
    """The answer of a study. Nothing in it but ``cost`` depends on when and where the runs ran.

    Args:
        outcomes: of all its runs, in their order.
        others: the study at other scales with its outcomes there, for claims about every scale.
    """
    reported = [outcome for outcome in outcomes if not outcome.run.tuning]
    kept = reported_cells(study, outcomes)
    evidence = evidence_of(study, kept)
    losses, answers, decays = evidence.losses, evidence.answers, evidence.decays
    comparisons = compare(study.comparisons, kept, losses, study.claims)
    family = loss_family(study, kept, losses)
    seed_sd = family.seed_sd if family.unit == NATS else None
    answered = compare_answers(study, answers)
    tuning = tuning_of(study, outcomes, seed_sd)
    to_baseline = first_by_cell(comparisons)
    positions = position_rows({cell.name: answers.evaluations(cell.name) for cell in study.cells})
    answered_to_baseline = first_by_cell([row for row in answered if row.task == MEAN])
    found = StudyResults(
        study=study.name,
        title=study.spec.title,
        question=study.spec.question,
        scale=study.scale,
        axis=study.spec.axis,
        seeds=study.seeds,
        complete=all(o.state in FINAL if o.run.tuning else o.finished for o in outcomes),
        notes=(*notes(study, reported, kept, losses), *([] if tuning is None else tuning_notes(study, tuning))),
        unigram_entropy=common([o.result.unigram_entropy for o in reported if o.finished and o.result]),
        tasks=answers.tasks,
        runs=tuple(run_row(outcome, study.chosen.get(outcome.run.cell)) for outcome in outcomes),
        cells=tuple(
            CellResult(
                **cell_facts(cell, kept[cell.name], study.chosen.get(cell.name)),
                **loss_facts(cell.name, kept[cell.name], losses),
                **answer_facts(cell.name, answers, positions),
                difference=to_baseline.get(cell.name),
                accuracy_difference=answered_to_baseline.get(cell.name),
            )
            for cell in study.cells
        ),
        comparisons=comparisons,
        accuracy_comparisons=answered,
        claims=judge(study, evidence),
        every_scale=judge_scales([Scaled(study, outcomes), *others]),
        loss_family=family,
        accuracy_family=accuracy_family(answers, asked_accuracies(study, kept)),
        decay_family=decays.family(),
        not_run=study.left_out,
        finer_scale=finer_scale(study, seed_sd),
        tuning=tuning,
    )
    return replace(found, answer=answer(found))


def run_row(outcome: Outcome, chosen: Trial | None) -> RunRow:
    """One run as results.json has it.

    Args:
        chosen: for its cell.
    """
    run, result = outcome.run, outcome.result
    numbers = result if outcome.finished else None
    step = result.step if result and result.step is not None else outcome.status.get("step")
    return RunRow(
        id=run.hash,
        name=run.cell,
        cell=run.cell,
        seed=run.seed,
        status=outcome.state,
        learning_rate=run.learning_rate,
        trial=None if run.trial is None else run.trial.as_dict(),
        tuning=run.tuning,
        chosen=None if run.trial is None else run.trial == chosen,
        parameters=run.facts.parameters,
        tokens=numbers.tokens if numbers else run.facts.tokens,
        step=step,
        train_loss=numbers.train_loss if numbers else None,
        val_loss=numbers.val_loss if numbers else None,
        val_perplexity=numbers.val_perplexity if numbers else None,
        bits_per_byte=numbers.val_bits_per_byte if numbers else None,
        unigram_entropy=numbers.unigram_entropy if numbers else None,
        decay=numbers.decay if numbers else None,
        decay_start=numbers.decay_start if numbers else None,
        run=outcome.path,
        message="" if outcome.finished else outcome.message,
        last_finite=result.last_finite if result and not outcome.finished else None,
        log=outcome.log,
        evaluation=outcome.evaluation.tasks if outcome.evaluation else None,
        tokenizer=numbers.data.get("tokenizer_digest") if numbers else None,
        documents=numbers.data.get("validation_digest") if numbers else None,
        cost=Cost(
            seconds=result.seconds if result else None,
            tokens_per_second=result.tokens_per_second if result else None,
            host=outcome.status.get("host"),
            device=result.device if result else None,
            devices=result.world_size if result else None,
        ),
    )


def cell_facts(cell: JudgedCell, outcomes: Sequence[Outcome], trial: Trial | None) -> dict[str, Any]:
    """What a cell is, and how its runs ended.

    Args:
        trial: at which it is compared.
    """
    return {
        "name": cell.name,
        "seeds": tuple(outcome.run.seed for outcome in outcomes),
        "status": states_text([outcome.state for outcome in outcomes]),
        "parameters": cell.facts.parameters,
        "learning_rate": None if trial is None else trial.as_dict().get("learning_rate"),
        "trial": None if trial is None else trial.as_dict(),
    }


def loss_facts(cell: str, outcomes: Sequence[Outcome], losses: Losses) -> dict[str, Any]:
    """Loss and median λ of a cell; no interval for one that is not compared."""
    effect = losses.loss(cell)
    if isinstance(effect, Unavailable):
        finished = [outcome for outcome in outcomes if outcome.finished]
        if not finished or len(finished) < len(outcomes) or effect == OTHER_DATA:
            return {}
        loss = mean([outcome.val_loss for outcome in finished])
        learned = learned_nothing(finished) is None
        seeds = tuple(outcome.run.seed for outcome in finished)
        known = [outcome.result.val_bits_per_byte for outcome in finished if outcome.result is not None]
        bits = [value for value in known if value is not None]
        return {
            "judged": seeds,
            "val_loss": loss,
            "val_perplexity": perplexity(loss),
            "bits_per_byte": mean(bits) if bits and len(bits) == len(finished) else None,
            "learned": learned,
            "median_decay": mean_median_decay(finished),
        }
    runs = losses.judged_runs(cell)
    low, high = finite(effect.low), finite(effect.high)
    return {
        "judged": tuple(outcome.run.seed for outcome in runs),
        "val_loss": effect.estimate,
        "low": low,
        "high": high,
        "standard_error": effect.standard_error,
        "bits_per_byte": losses.bits_per_byte(cell, cell, effect.estimate),
        "val_perplexity": perplexity(effect.estimate),
        "perplexity_low": None if low is None else perplexity(low),
        "perplexity_high": None if high is None else perplexity(high),
        "learned": True,
        "median_decay": mean_median_decay(runs),
    }


def answer_facts(cell: str, answers: Answers, positions: Mapping[str, tuple[CellPosition, ...]]) -> dict[str, Any]:
    """What the evaluated runs of a cell answered.

    Args:
        positions: by cell.
    """
    facts: dict[str, Any] = {"tasks": task_rows(answers, cell)}
    effect = answers.accuracy(cell, MEAN)
    if effect is not None:
        facts["accuracy"] = accuracy_facts(effect)
    evaluations = answers.evaluations(cell)
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
        facts["positions"] = positions.get(cell, ())
    return facts


def first_by_cell(rows: Sequence[Row]) -> dict[str, Difference]:
    """By cell, its first comparison, which is the one with its baseline where it has one."""
    return {
        row.a: Difference(
            b=row.b,
            difference=row.difference,
            low=row.low,
            high=row.high,
            standard_error=row.standard_error,
            verdict=row.verdict,
        )
        for row in reversed(rows)
    }


def median_decay(outcome: Outcome) -> float | None:
    """The median over layers of the layers' medians of λ; None for a model without decay."""
    return float(np.median([layer.median for layer in outcome.decay])) if outcome.decay else None


def mean_median_decay(outcomes: Sequence[Outcome]) -> float | None:
    """The mean of ``median_decay`` over runs; None where one has no decay."""
    medians = [median for outcome in outcomes if (median := median_decay(outcome)) is not None]
    return math.fsum(medians) / len(medians) if medians and len(medians) == len(outcomes) else None


def notes(study: JudgedStudy, outcomes: Sequence[Outcome], kept: Cells, losses: Losses) -> list[str]:
    """What a reader must know about these numbers."""
    found = []
    if len(study.seeds) == 1:
        found.append(
            "One seed: each difference is that of two checkpoints and says nothing about the cells, so nothing is "
            "judged. Run three seeds or more."
        )
    elif len(study.seeds) == 2:
        found.append("Two seeds: how much cells differ between seeds is hardly known; run three or more.")
    for cell, own in kept.items():
        why = learned_nothing([outcome for outcome in own if outcome.finished])
        if why is not None:
            found.append(f"No verdict on {cell}, which has learned nothing: {why}.")
    if len({cell.tokenizer for cell in losses.cells.values()}) > 1:
        found.append(
            "Cells have different tokenizers: losses are compared in bits per byte, and what is known per token only "
            "(by length, by position) is left out."
        )
    if study.left_out:
        found.append(f"Not run at scale {study.scale} without --all-cells: {', '.join(study.left_out)}.")
    unfinished = sum(not outcome.finished for outcome in outcomes)
    if unfinished:
        found.append(
            f"{unfinished} of {len(outcomes)} runs have not finished; a cell with a diverged run is not compared, any "
            "other by the seeds that have finished."
        )
    return found


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def common(values: Sequence[T]) -> T | None:
    """The value that all have, or None."""
    return values[0] if values and all(value == values[0] for value in values) else None
