"""Accuracies: shares of right answers of cells that were asked the same questions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decaystudy.statistics import checks
from decaystudy.statistics.clusters import Clustered
from decaystudy.statistics.effects import Effect, Pair, Question, estimate_effects
from decaystudy.statistics.sample import Sample, gather

Cell = TypeVar("Cell", bound=Hashable)

UNIT = "accuracy"


def read_answers(
    right: Mapping[Cell, ArrayLike], passages: Sequence[Hashable] | None = None, *, task: str = "the task"
) -> Sample:
    """What cells answered on one task.

    Seeds share one variance per task. The standard error is at least that of one question, 1 / questions, even when all
    answers agree.

    Args:
        right: {cell: (seeds, questions)} of 0 and 1, the same questions in the same order in every cell.
        passages: the passage of each question, where several questions are about one text; these are one cluster.
        task: its name, for messages.

    Raises:
        ValueError: other values than 0 and 1, or different questions; names the cell and the shapes.
    """
    if not right:
        raise ValueError(f"no cell has answered {task}")
    arrays = {cell: checks.by_seed(f"{task}: answers of {cell!r}", v, "questions") for cell, v in right.items()}
    first_cell, first = next(iter(arrays.items()))
    for cell, array in arrays.items():
        if array.shape[1] != first.shape[1]:
            raise ValueError(
                f"{task}: cells must answer the same questions, but {first_cell!r} has shape {first.shape}, "
                f"{cell!r} {array.shape}"
            )
        if not ((array == 0) | (array == 1)).all():
            raise ValueError(f"{task}: answers of {cell!r}, shape {array.shape}, must be 0 (wrong) or 1 (right)")
    questions = first.shape[1]
    sizes = np.ones(questions)
    if passages is not None:
        if len(passages) != questions:
            raise ValueError(f"{task}: {len(passages)} passages are given for {questions} questions")
        order, starts = _grouped(passages)
        arrays = {cell: np.add.reduceat(array[:, order], starts, axis=1) for cell, array in arrays.items()}
        sizes = np.diff(np.append(starts, questions)).astype(np.float64)
    return gather(
        arrays,
        sizes,
        UNIT,
        clusters=len(sizes),
        pooled=True,
        least_error=1 / questions,
        limits=(0.0, 1.0),
    )


def _grouped(passages: Sequence[Hashable]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An order of the questions in which those on one passage are neighbours, and where each passage starts."""
    places = {passage: i for i, passage in enumerate(dict.fromkeys(passages))}
    codes = np.array([places[passage] for passage in passages])
    order = np.argsort(codes, kind="stable")
    return order, np.flatnonzero(np.diff(codes[order], prepend=-1))


def mean_over_tasks(tasks: Sequence[Sample]) -> Sample:
    """The mean accuracy over these tasks, which are fixed: other tasks are not part of its error.

    Raises:
        ValueError: the tasks were not answered by the same cells under the same seeds.
    """
    if not tasks:
        raise ValueError("a mean needs at least one task")
    one, count = tasks[0], len(tasks)
    rows = dict(zip(one.cells, one.rows, strict=True))
    for other in tasks[1:]:
        if dict(zip(other.cells, other.rows, strict=True)) != rows:
            raise ValueError("a mean over tasks needs the answers of the same cells and seeds to each task")
    first = np.array([np.mean([task.first[task.cells.index(cell)] for task in tasks]) for cell in one.cells])
    data = None
    if one.data is not None:
        means, influence = [], []
        for task in tasks:
            assert task.data is not None
            together = [task.cells[i] for i in task.together]
            order = [together.index(one.cells[i]) for i in one.together]
            means.append(task.data.means[order])
            influence.append(task.data.influence[order] / count)
        df = math.fsum(task.data.degrees_of_freedom for task in tasks if task.data)
        data = Clustered(np.mean(means, axis=0), np.concatenate(influence, axis=2), df)
    return Sample(
        one.cells,
        one.rows,
        first,
        one.together,
        data,
        sum(task.clusters or 0 for task in tasks),
        UNIT,
        varying=one.varying,
        pooled=True,
        least_error=math.sqrt(math.fsum(task.least_error**2 for task in tasks)) / count,
        limits=(0.0, 1.0),
    )


def accuracy_effects(
    tasks: Mapping[str, Sample], pairs: Sequence[Pair], *, level: float = 0.95, mean: str | None = "mean"
) -> dict[str, list[Effect]]:
    """The effects of all pairs on all tasks, and on their mean, as one family.

    Args:
        tasks: {task: ``read_answers``}.
        pairs: (cell, baseline), or (cell, None) for the accuracy of the cell itself.
        mean: name of the mean over tasks; None leaves it out.
    """
    samples = dict(tasks)
    if mean is not None:
        if mean in samples:
            raise ValueError(f"a task is called {mean!r} like the mean over tasks: rename one")
        samples[mean] = mean_over_tasks(list(tasks.values()))
    found = estimate_effects([Question(sample, pairs) for sample in samples.values()], level=level)
    return dict(zip(samples, found, strict=True))
