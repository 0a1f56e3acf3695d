"""Accuracies of a study's cells by task, as one family over seeds and questions.

The tasks are taken as they are: the error of a mean over tasks is of other questions and seeds, not of other tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from decaystudy.evaluation.tasks.catalog import GROUPS
from decaystudy.runs.evaluation import Evaluation, TaskResult, accuracy_metric
from decaystudy.statistics.accuracy import UNIT, mean_over_tasks, read_answers
from decaystudy.statistics.effects import Effect, Pair
from decaystudy.statistics.sample import Sample
from decaystudy.study.analysis.judgement import facts_of, family_facts, finite
from decaystudy.study.analysis.measurements import LEVEL, Floats, Measurement, Unavailable, family_of
from decaystudy.study.analysis.results import Accuracy, AccuracyComparison, CellTask, Family
from decaystudy.study.analysis.runs import Cells, machine_notes, reason, withheld
from decaystudy.study.definition.claims.accuracy import EACH, MEAN
from decaystudy.study.definition.judged import JudgedStudy
from decaystudy.study.execution.outcomes import Outcome

Asked = tuple[str, str, str | None]
"""A task, a cell and its baseline; None for the cell itself."""


class Answers:
    """The answers of a study's cells.

    Args:
        cells: the runs of each cell.
        asked: all that the report prints: rows of its tables and claims. They are one family.
        level: with which its intervals hold together.
    """

    def __init__(self, cells: Cells, asked: Sequence[Asked], level: float = LEVEL) -> None:
        self._level = level
        self._runs = {name: _answered(outcomes) for name, outcomes in cells.items()}
        self._missing = {name: why for name in cells if (why := withheld(cells[name])) is not None}
        found = {task for runs in self._runs.values() for o in runs.values() for task in _evaluation(o).tasks}
        known = [task for group in GROUPS.values() for task in group]
        self.tasks = tuple([task for task in known if task in found] + sorted(found - set(known)))
        self.accuracy_tasks = [task for task in self.tasks if any(self._table(name, task) for name in cells)]
        """The tasks that count right answers."""
        places: dict[tuple[str, str], list[Pair]] = {}
        for task, a, b in dict.fromkeys(self._all_tasks(asked)):
            kind = self._kind(task, a, b)
            if not isinstance(kind, Unavailable):
                places.setdefault((task, kind), []).append((a, b))
        self.measurements = [self._measurement(*place, tuple(pairs)) for place, pairs in places.items()]
        self._effects: dict[Asked, Effect] = {}
        for (task, _), effects in zip(places, family_of(self.measurements, level), strict=True):
            self._effects |= {(task, *pair): effect for pair, effect in effects.items()}
        self._own = self._alone()

    def difference(self, a: str, b: str | None, task: str) -> Effect | Unavailable:
        """Accuracy of ``a``, or what it has more than ``b``, as it was asked for."""
        kind = self._kind(task, a, b)
        if isinstance(kind, Unavailable):
            return kind
        effect = self._effects.get((task, a, b))
        return Unavailable(f"no seed of {a} and {b} was evaluated in both") if effect is None else effect

    def accuracy(self, cell: str, task: str) -> Effect | None:
        """A cell's own accuracy. Intervals of all cells and tasks hold together, apart from those of differences."""
        return self._own.get((task, cell))

    def results(self, cell: str, task: str) -> list[TaskResult]:
        """What each evaluated seed of a cell has on a task; empty if one lacks it."""
        found = [_evaluation(o).tasks.get(task) for o in self._runs[cell].values()]
        known = [result for result in found if result is not None]
        return known if len(known) == len(found) else []

    def evaluations(self, cell: str) -> list[Evaluation]:
        """Of each evaluated seed of a cell."""
        return [_evaluation(outcome) for outcome in self._runs[cell].values()]

    def runs(self, *names: str) -> list[Outcome]:
        """The evaluated runs of these cells."""
        return [outcome for name in names for outcome in self._runs[name].values()]

    def _all_tasks(self, asked: Sequence[Asked]) -> list[Asked]:
        return [one for one in asked if one[0] == MEAN or one[0] in self.tasks]

    def _table(self, cell: str, task: str) -> dict[int, Floats] | None:
        """Right or wrong, 1 or 0, by seed, (questions,); None if a seed has not answered, or not the same questions."""
        if len({result.questions for result in self.results(cell, task)}) != 1:
            return None
        table = {seed: o.answers[task] for seed, o in self._runs[cell].items() if task in o.answers}
        right = all(len(values) > 1 and np.isin(values, (0, 1)).all() for values in table.values())
        return table if right and len(table) == len(self._runs[cell]) else None

    def _questions(self, cell: str, task: str) -> str | None:
        """What tells the questions that a cell was asked from others; None if it has not answered."""
        tasks = self.accuracy_tasks if task == MEAN else [task]
        if not tasks or any(self._table(cell, one) is None for one in tasks):
            return None
        return " ".join(f"{self.results(cell, one)[0].questions}" for one in tasks)

    def _kind(self, task: str, a: str, b: str | None) -> str | Unavailable:
        """The questions that a pair is compared on."""
        cells = [a] if b is None else [a, b]
        why = reason(self._missing, cells)
        if why is not None:
            return why
        kinds = []
        for cell in cells:
            kind = self._questions(cell, task)
            if kind is None:
                return Unavailable(f"{cell} has not been evaluated" + ("" if task == MEAN else f" on {task}"))
            kinds.append(kind)
        return kinds[0] if len(set(kinds)) == 1 else Unavailable("the cells were asked different questions")

    def _measurement(self, task: str, kind: str, pairs: tuple[Pair, ...] = ()) -> Measurement:
        """The answers of all cells that were asked the same questions."""
        cells = [name for name in self._runs if name not in self._missing and self._questions(name, task) == kind]
        tasks = self.accuracy_tasks if task == MEAN else [task]
        values: dict[str, dict[int, Floats]] = {}
        for cell in cells:
            tables = [self._table(cell, one) or {} for one in tasks]
            values[cell] = {seed: np.concatenate([table[seed] for table in tables]) for seed in tables[0]}
        counts = [len(next(iter((self._table(cells[0], one) or {}).values()))) for one in tasks]
        return Measurement(values, partial(_read, tasks, [sum(counts[: i + 1]) for i in range(len(counts) - 1)]), pairs)

    def _alone(self) -> dict[tuple[str, str], Effect]:
        found: dict[tuple[str, str], Effect] = {}
        tasks = [*self.accuracy_tasks, *([MEAN] if self.accuracy_tasks else [])]
        places: dict[tuple[str, str], list[Pair]] = {}
        for task in tasks:
            for cell in self._runs:
                kind = self._kind(task, cell, None)
                if not isinstance(kind, Unavailable):
                    places.setdefault((task, kind), []).append((cell, None))
        measurements = [self._measurement(*place, tuple(pairs)) for place, pairs in places.items()]
        for (task, _), effects in zip(places, family_of(measurements, self._level), strict=True):
            found |= {(task, cell): effect for (cell, _), effect in effects.items()}
        return found


def _read(tasks: Sequence[str], cuts: Sequence[int], arrays: Mapping[str, Floats]) -> Sample:
    """The sample of one task, or of the mean over several, from answers end to end."""
    pieces = {cell: np.split(array, cuts, axis=1) for cell, array in arrays.items()}
    samples = [read_answers({cell: own[i] for cell, own in pieces.items()}, task=task) for i, task in enumerate(tasks)]
    return samples[0] if len(samples) == 1 else mean_over_tasks(samples)


def _answered(outcomes: Sequence[Outcome]) -> dict[int, Outcome]:
    return {outcome.run.seed: outcome for outcome in outcomes if outcome.evaluation is not None}


def _evaluation(outcome: Outcome) -> Evaluation:
    assert outcome.evaluation is not None
    return outcome.evaluation


def asked_accuracies(study: JudgedStudy, cells: Cells) -> list[Asked]:
    """Everything about accuracies that a report of the study prints: its rows on each task, and its claims."""
    tasks = [task for o in (o for own in cells.values() for o in own) if o.evaluation for task in o.evaluation.tasks]
    rows = [(task, c.a, c.b) for task in (MEAN, *dict.fromkeys(tasks)) for c in study.comparisons]
    claims = [
        (one, a, b)
        for claim in study.claims
        for task, a, b in claim.accuracies()
        for one in (dict.fromkeys(tasks) if task == EACH else [task])
    ]
    return [*rows, *claims]


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
        metric, effect = accuracy_metric(task, results[0]), answers.accuracy(cell, task)
        if metric is not None and effect is not None:
            own = accuracy_facts(effect)
            facts |= {"metric": metric, "accuracy": own.mean, "low": own.low, "high": own.high}
            facts["standard_error"] = own.standard_error
        found[task] = CellTask(**facts)
    return found


def accuracy_facts(effect: Effect) -> Accuracy:
    """A cell's own accuracy as results.json has it."""
    return Accuracy(
        mean=effect.estimate,
        low=finite(effect.low),
        high=finite(effect.high),
        standard_error=effect.standard_error,
    )


def compare_answers(study: JudgedStudy, answers: Answers) -> tuple[AccuracyComparison, ...]:
    """Each comparison on the mean and on each task, with its verdict."""
    if not answers.tasks:
        return ()
    rows = []
    for task in (MEAN, *answers.accuracy_tasks):
        for comparison in study.comparisons:
            a, b = comparison.a, comparison.b
            effect = answers.difference(a, b, task)
            notes = [] if isinstance(effect, Unavailable) else machine_notes(answers.runs(a, b))
            facts = facts_of(effect, higher_is_better=True, notes=notes)
            rows.append(AccuracyComparison(a=a, b=b, task=task, **facts))
    return tuple(rows)


def accuracy_family(answers: Answers, asked: Sequence[Asked]) -> Family | None:
    """What a report says of all its comparisons of accuracies."""
    if not answers.tasks:
        return None
    found = {one: answers.difference(one[1], one[2], one[0]) for one in asked}
    effects = [effect for effect in found.values() if not isinstance(effect, Unavailable)]
    return replace(family_facts(answers.measurements, effects, UNIT), effects=len(effects))
