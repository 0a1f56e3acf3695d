"""Accuracies of a study's cells by task, and paired differences over the same questions. Needs no torch.

Two cells answer the same questions, so their difference is taken question by question: with d = −1, 0 or 1 the error
of its mean is McNemar's, and with several seeds the crossed one of ``statistics``. The tasks are taken as they are: the
error of a mean over tasks is of other questions and seeds, not of other tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import bdtr

from decaystudy.evaluation.tasks.catalog import GROUPS
from decaystudy.runs.evaluation import Evaluation, TaskResult, accuracy_metric
from decaystudy.study.analysis.comparisons import corrections, verdict_of
from decaystudy.study.analysis.results import AccuracyComparison, CellTask, ComparisonVerdict
from decaystudy.study.analysis.statistics import ALPHA, Estimate, Losses, Unavailable, crossed_mean, widened
from decaystudy.study.definition.expand import Comparison
from decaystudy.study.execution.outcomes import Outcome

MEAN = "mean"


class Answers:
    """The answers of a study's cells.

    Args:
        cells: the runs of each cell, in the order of its seeds.
    """

    def __init__(self, cells: Mapping[str, Sequence[Outcome]]) -> None:
        self._outcomes = cells
        self.evaluations = {name: evaluated(outcomes) for name, outcomes in cells.items()}
        """Of each cell's seeds; empty unless all of them were evaluated: none is averaged over the others."""
        found = {task for own in self.evaluations.values() for evaluation in own for task in evaluation.tasks}
        known = [task for group in GROUPS.values() for task in group]
        self.tasks = tuple([task for task in known if task in found] + sorted(found - set(known)))

    def results(self, cell: str, task: str) -> list[TaskResult]:
        """What each seed of a cell has on a task; empty if a seed lacks it."""
        own = self.evaluations.get(cell, [])
        found = [evaluation.tasks[task] for evaluation in own if task in evaluation.tasks]
        return found if len(found) == len(own) else []

    def accuracy_tasks(self) -> list[str]:
        """The tasks that count right answers."""
        return [task for task in self.tasks if any(self.table(name, task) is not None for name in self.evaluations)]

    def table(self, cell: str, task: str) -> Losses | None:
        """Right or wrong, 1 or 0, as (seeds, questions); None if a seed has not answered, or not the same questions."""
        results = self.results(cell, task)
        if len({result.questions for result in results}) != 1:
            return None
        found = [outcome.answers.get(task) for outcome in self._outcomes[cell]]
        answers = [values for values in found if values is not None and len(values) >= 2]
        return np.stack(answers) if len(answers) == len(found) else None

    def questions(self, cell: str, task: str) -> str | None:
        """What tells one set of questions from another."""
        results = self.results(cell, task)
        return results[0].questions if results else None

    def accuracy(self, cell: str, task: str) -> Estimate | Unavailable:
        """A cell's accuracy on a task, or its mean over tasks."""
        tables = [self.table(cell, t) for t in (self.accuracy_tasks() if task == MEAN else [task])]
        known = [table for table in tables if table is not None]
        if not known or len(known) < len(tables):
            return Unavailable(f"{cell} has not been evaluated on {task}")
        return mean_answer(known)

    def difference(self, a: str, b: str, task: str) -> Estimate | Unavailable:
        """Accuracy of ``a`` minus that of ``b`` on a task's questions, or its mean over tasks."""
        tables = []
        for one in self.accuracy_tasks() if task == MEAN else [task]:
            table_a, table_b = self.table(a, one), self.table(b, one)
            if table_a is None or table_b is None:
                return Unavailable(f"{a if table_a is None else b} has not been evaluated on {one}")
            if table_a.shape != table_b.shape or self.questions(a, one) != self.questions(b, one):
                return Unavailable("the cells were asked different questions")
            tables.append(table_a - table_b)
        return mean_answer(tables) if tables else Unavailable("no task counts right answers")


def evaluated(outcomes: Sequence[Outcome]) -> list[Evaluation]:
    """The evaluations of a cell's runs; empty unless all have one."""
    found = [outcome.evaluation for outcome in outcomes if outcome.evaluation is not None]
    return found if len(found) == len(outcomes) else []


def joined(tables: Sequence[Losses]) -> Losses:
    """One (seeds, questions) table whose mean is the mean of the tasks' means, and whose noise is theirs.

    A task's answers are weighted by how many questions the others have, about its own mean, so that tasks of different
    difficulty don't count as noise.
    """
    if len(tables) == 1:
        return tables[0]
    total = sum(table.shape[1] for table in tables)
    mean = math.fsum(float(table.mean()) for table in tables) / len(tables)
    weights = [total / (len(tables) * table.shape[1]) for table in tables]
    return np.hstack([mean + weight * (t - t.mean()) for weight, t in zip(weights, tables, strict=True)])


def mean_answer(tables: Sequence[Losses]) -> Estimate:
    """The share of right answers, or the mean of differences between answers to the same questions, over tasks.

    The standard error is never zero, even when all answers agree: Agresti and Coull (American Statistician 52,
    1998) count two more answers of either kind, which is a variance of 2 / (n + 4)² where n were alike, and little
    beside that of answers that vary.
    """
    questions = [table.shape[1] for table in tables]
    unseen = math.fsum(2 / (count + 4) ** 2 for count in questions) / len(tables) ** 2
    return widened(crossed_mean(joined(tables)), unseen, min(questions) - 1)


def possible(estimate: Estimate, least: float, alpha: float = ALPHA) -> tuple[float, float]:
    """The part of the interval that lies between ``least`` and 1; all of it for a metric of another range."""
    low, high = estimate.interval(alpha)
    return (max(least, low), min(1.0, high)) if least <= estimate.value <= 1 else (low, high)


def mcnemar(a: Losses, b: Losses) -> float:
    """Two-sided exact p of McNemar's test on the answers of one seed each, (questions,)."""
    only_a, only_b = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    if only_a + only_b == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def task_rows(answers: Answers, cell: str) -> dict[str, CellTask]:
    """A cell's metrics by task, means over its seeds, with the interval of the accuracy."""
    found: dict[str, CellTask] = {}
    for task in answers.tasks:
        results = answers.results(cell, task)
        if not results:
            continue
        values = [result.values() for result in results]
        metrics = {
            name: math.fsum(own[name] for own in values) / len(values)
            for name in values[0]
            if all(name in own for own in values)
        }
        facts: dict[str, Any] = {"samples": results[0].samples, "metrics": metrics}
        metric, estimate = accuracy_metric(task, results[0]), answers.accuracy(cell, task)
        if metric is not None and isinstance(estimate, Estimate):
            low, high = possible(estimate, 0.0)
            facts |= {"metric": metric, "accuracy": estimate.value, "low": low, "high": high}
        found[task] = CellTask(**facts)
    return found


def compare_answers(comparisons: Sequence[Comparison], answers: Answers) -> tuple[AccuracyComparison, ...]:
    """Each comparison on each task with its verdict: Holm-corrected over the means, and over the tasks."""
    if not answers.tasks:
        return ()
    rows = []
    for tasks in ([MEAN], answers.accuracy_tasks()):
        asked = [(c.a, c.b, task) for c in comparisons for task in tasks]
        estimates = [answers.difference(*question) for question in asked]
        corrected = corrections(estimates)
        for i, ((a, b, task), estimate) in enumerate(zip(asked, estimates, strict=True)):
            if isinstance(estimate, Unavailable):
                incomplete = ComparisonVerdict.INCOMPLETE
                rows.append(AccuracyComparison(a=a, b=b, task=task, verdict=incomplete, why=estimate.why))
                continue
            p_holm, level = corrected[i]
            low, high = possible(estimate, -1.0, level)
            rows.append(
                AccuracyComparison(
                    a=a,
                    b=b,
                    task=task,
                    verdict=verdict_of(low, high),
                    difference=estimate.value,
                    low=low,
                    high=high,
                    uncorrected=possible(estimate, -1.0),
                    p_holm=p_holm,
                    p_mcnemar=_mcnemar(answers.table(a, task), answers.table(b, task)),
                )
            )
    return tuple(rows)


def _mcnemar(a: Losses | None, b: Losses | None) -> float | None:
    return None if a is None or b is None or len(a) != 1 else mcnemar(a[0], b[0])
