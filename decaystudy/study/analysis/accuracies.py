"""What the cells of a study answered: accuracy by task, and paired differences over the same questions. Needs no torch.

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
from decaystudy.runs.evaluation import EvaluationFolder, accuracy_metric, metrics
from decaystudy.study.analysis.outcomes import Outcome
from decaystudy.study.analysis.statistics import ALPHA, Estimate, Losses, crossed_mean, holm, widened
from decaystudy.study.definition.expand import Comparison

MEAN = "mean"


class Answers:
    """What the runs of a study answered, read once.

    Args:
        cells: the runs of each cell, in the order of its seeds.
    """

    def __init__(self, cells: Mapping[str, Sequence[Outcome]]) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self._outcomes: dict[str, list[EvaluationFolder]] = {}
        self.lengths: dict[str, list[dict[str, Any]]] = {}
        for name, outcomes in cells.items():
            folders = [EvaluationFolder(o.folder.path) for o in outcomes if o.folder and o.state == "finished"]
            held = [folder.read() or {} for folder in folders]
            whole = len(folders) == len(outcomes) and bool(folders)
            self._outcomes[name] = folders
            # A cell has an accuracy only if all its seeds were evaluated: none is averaged over the others.
            self.rows[name] = [values.get("tasks", {}) for values in held] if whole else []
            self.lengths[name] = held if whole and all("lengths" in values for values in held) else []
        found = {task for rows in self.rows.values() for row in rows for task in row}
        known = [task for group in GROUPS.values() for task in group]
        self.tasks = [task for task in known if task in found] + sorted(found - set(known))

    def accuracy_tasks(self) -> list[str]:
        """The tasks that count right answers."""
        return [task for task in self.tasks if any(self.table(name, task) is not None for name in self.rows)]

    def table(self, cell: str, task: str) -> Losses | None:
        """Right or wrong, 1 or 0, as (seeds, questions); None if a seed has not answered, or not the same questions."""
        rows = self.rows.get(cell) or []
        if not rows or any(task not in row for row in rows):
            return None
        if len({row[task].get("questions") for row in rows}) != 1:
            return None
        metric = accuracy_metric(task, rows[0][task])
        if metric is None:
            return None
        found = [folder.read_outcomes(task, metric) for folder in self._outcomes[cell]]
        if any(values is None or len(values) < 2 for values in found):
            return None
        return np.stack([values for values in found if values is not None])

    def questions(self, cell: str, task: str) -> str | None:
        """What tells one set of questions from another."""
        rows = self.rows.get(cell) or []
        return rows[0][task].get("questions") if rows and task in rows[0] else None

    def accuracy(self, cell: str, task: str) -> Estimate | None:
        """A cell's accuracy on a task, or its mean over tasks."""
        tables = [self.table(cell, t) for t in (self.accuracy_tasks() if task == MEAN else [task])]
        known = [table for table in tables if table is not None]
        return mean_answer(known) if known and len(known) == len(tables) else None

    def difference(self, a: str, b: str, task: str) -> Estimate | str:
        """Accuracy of ``a`` minus that of ``b`` on a task's questions, or its mean over tasks; or why there is none."""
        tables = []
        for one in self.accuracy_tasks() if task == MEAN else [task]:
            table_a, table_b = self.table(a, one), self.table(b, one)
            if table_a is None or table_b is None:
                return f"{a if table_a is None else b} has not been evaluated on {one}"
            if table_a.shape != table_b.shape or self.questions(a, one) != self.questions(b, one):
                return "the cells were asked different questions"
            tables.append(table_a - table_b)
        return mean_answer(tables) if tables else "no task counts right answers"


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

    The error is never nothing, for all answers alike are no certainty: Agresti and Coull (American Statistician 52,
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


def task_rows(answers: Answers, cell: str) -> dict[str, Any]:
    """A cell's metrics by task, means over its seeds, with the interval of the accuracy."""
    rows = answers.rows.get(cell) or []
    found: dict[str, Any] = {}
    for task in answers.tasks:
        if not rows or any(task not in row for row in rows):
            continue
        usual = accuracy_metric(task, rows[0][task])
        names = [name for name in metrics(rows[0][task]) if isinstance(rows[0][task][name], (int, float))]
        values: dict[str, Any] = {
            name: math.fsum(row[task][name] for row in rows) / len(rows)
            for name in names
            if all(name in r[task] for r in rows)
        }
        estimate = answers.accuracy(cell, task)
        if usual is not None and estimate is not None:
            low, high = possible(estimate, 0.0)
            values |= {"accuracy": estimate.value, "low": low, "high": high, "metric": usual}
        found[task] = {**values, "samples": rows[0][task]["samples"]}
    return found


def compare_answers(comparisons: Sequence[Comparison], answers: Answers) -> list[dict[str, Any]]:
    """Each comparison on each task, as results.json has it: Holm-corrected over the means, and over the tasks."""
    rows = []
    for tasks in ([MEAN], answers.accuracy_tasks()):
        asked = [(c.a, c.b, task) for c in comparisons for task in tasks]
        estimates = [answers.difference(*question) for question in asked]
        tested = [i for i, estimate in enumerate(estimates) if isinstance(estimate, Estimate)]
        corrected, levels = holm([estimates[i].p_value() for i in tested])  # type: ignore[union-attr]
        place = {i: n for n, i in enumerate(tested)}
        for i, ((a, b, task), estimate) in enumerate(zip(asked, estimates, strict=True)):
            row: dict[str, Any] = {"a": a, "b": b, "task": task}
            if isinstance(estimate, str):
                rows.append(
                    {**row, "difference": None, "low": None, "high": None, "verdict": "incomplete", "why": estimate}
                )
                continue
            low, high = possible(estimate, -1.0, levels[place[i]])
            verdict = "better" if low > 0 else "worse" if high < 0 else "indistinguishable"
            row |= {"difference": estimate.value, "low": low, "high": high, "verdict": verdict}
            row |= {"uncorrected": list(possible(estimate, -1.0)), "p_holm": corrected[place[i]]}
            one, other = answers.table(a, task), answers.table(b, task)
            if one is not None and other is not None and len(one) == 1:
                row["p_mcnemar"] = mcnemar(one[0], other[0])
            rows.append(row)
    return rows
