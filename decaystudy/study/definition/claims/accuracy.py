"""``accuracy``: the share of right answers of a cell on a task, or what it has more than another's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from decaystudy.checks import shown
from decaystudy.evaluation.tasks.chance import chance, chance_text, mean_chance
from decaystudy.statistics.effects import Pair
from decaystudy.study.definition.claims.base import (
    FEW_QUESTIONS,
    Claim,
    cells_of,
    effect_part,
    read_mapping,
    read_pairs,
)
from decaystudy.study.definition.claims.evidence import Evidence
from decaystudy.study.definition.claims.margins import ACCURACY
from decaystudy.study.definition.claims.result import ClaimPart
from decaystudy.yaml_document import YamlDocument

MEAN = "mean"
"""Stands for the mean over all tasks that count right answers."""
EACH = "each"
"""Stands for every task that counts right answers."""


@dataclass(frozen=True, kw_only=True)
class Accuracy(Claim):
    """Each pair keeps to the bounds on each task."""

    kind = "accuracy"
    pairs: tuple[Pair, ...] = ()
    """(cell, baseline), or (cell, None)."""
    tasks: tuple[str, ...] = ()
    """``mean`` is the mean over all tasks, ``each`` each of them."""

    @classmethod
    def read(cls, document: YamlDocument, value: Any, *where: str | int) -> dict[str, Any]:
        """``{cell: a, minus: b, task: piqa}`` or ``{pairs: [[a, b], [c, d]], task: piqa}``."""
        example = "{cell: a, task: piqa} and perhaps minus: b, or {pairs: [[a, b]]}"
        read_mapping(document, value, ("cell", "minus", "pairs", "task"), example, *where)
        task = value.get("task", MEAN)
        tasks = task if isinstance(task, list) else [task]
        if not tasks or not all(isinstance(name, str) and name for name in tasks):
            raise document.error(
                f"task is {shown(task)}: name a task such as piqa, several in a list, or mean", *where, "task"
            )
        if "pairs" in value:
            if "cell" in value or "minus" in value:
                raise document.error("accuracy takes cell and minus, or pairs: keep one of them", *where)
            return {"pairs": read_pairs(document, value["pairs"], *where, "pairs"), "tasks": tuple(tasks)}
        cell, minus = value.get("cell"), value.get("minus")
        if not isinstance(cell, str) or not (minus is None or isinstance(minus, str)):
            raise document.error("accuracy needs the name of its cell: {cell: mamba2, task: piqa}", *where)
        return {"pairs": ((cell, minus),), "tasks": tuple(tasks)}

    @property
    def unit(self) -> str | None:
        return ACCURACY

    def named_cells(self) -> set[str]:
        """Those of its pairs."""
        return cells_of(self.pairs)

    def accuracies(self) -> tuple[tuple[str, str, str | None], ...]:
        """Every pair on every task."""
        return tuple((task, a, b) for task in self.tasks for a, b in self.pairs)

    def parts(self, evidence: Evidence) -> list[ClaimPart]:
        """One for each task and pair."""
        tasks = [one for task in self.tasks for one in (evidence.tasks or [task] if task == EACH else [task])]
        return [accuracy_part(evidence, task, a, b, self) for task in tasks for a, b in self.pairs]


def accuracy_part(evidence: Evidence, task: str, a: str, b: str | None, claim: Claim) -> ClaimPart:
    """A part about the accuracy of a cell, or about what it has more than another's."""
    whose = a if b is None else f"{a} minus {b}"
    about = f"mean over the tasks of {whose}" if task == MEAN else f"accuracy of {whose} on {task}"
    guessed = None if b is not None else mean_chance(evidence.tasks) if task == MEAN else chance(task)
    about += f" (chance {chance_text(guessed)})" if guessed is not None else ""
    found = evidence.accuracy(task, a, b)
    return effect_part(about, found, claim.bounds, few=FEW_QUESTIONS, signed=b is not None)
