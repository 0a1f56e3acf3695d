"""``mixed``: a cell is more accurate than another on some tasks and less accurate on others."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from decaystudy.study.definition.claims.accuracy import EACH, MEAN, accuracy_part
from decaystudy.study.definition.claims.base import Claim, cells_of, decisive, read_mapping
from decaystudy.study.definition.claims.bounds import Bounds
from decaystudy.study.definition.claims.evidence import Evidence
from decaystudy.study.definition.claims.margins import ACCURACY
from decaystudy.study.definition.claims.result import ClaimPart
from decaystudy.yaml_document import YamlDocument


@dataclass(frozen=True, kw_only=True)
class Mixed(Claim):
    """On one task or more the accuracy is higher, by more than the margin, and on one or more it is lower.

    It takes the margin as ``outside: 0.01``. Refuted where no task can be such a gain, or none such a loss.
    """

    kind = "mixed"
    cell: str = ""
    minus: str = ""

    @classmethod
    def read(cls, document: YamlDocument, value: Any, *where: str | int) -> dict[str, Any]:
        """``{cell: a, minus: b}``."""
        example = "{cell: a, minus: b}"
        read_mapping(document, value, ("cell", "minus"), example, *where)
        if not all(isinstance(value.get(key), str) for key in ("cell", "minus")):
            raise document.error(f"mixed takes two cells: {example}", *where)
        return {"cell": value["cell"], "minus": value["minus"]}

    @property
    def unit(self) -> str | None:
        return ACCURACY

    def named_cells(self) -> set[str]:
        """Both cells."""
        return cells_of([(self.cell, self.minus)])

    def accuracies(self) -> tuple[tuple[str, str, str | None], ...]:
        """The pair on each task."""
        return ((EACH, self.cell, self.minus),)

    def complaint(self, layers: int) -> str | None:
        """It needs a margin on both sides."""
        return None if self.bounds.outside else "asks for gains and losses: give outside: and the smallest that counts"

    def parts(self, evidence: Evidence) -> list[ClaimPart]:
        """The task that speaks most for a gain, and the one that speaks most for a loss."""
        found = []
        for bounds in (Bounds(low=self.bounds.high), Bounds(high=self.bounds.low)):
            one_sided = dataclasses.replace(self, bounds=bounds)
            tasks = [
                accuracy_part(evidence, task, self.cell, self.minus, one_sided) for task in evidence.tasks or [MEAN]
            ]
            found.append(decisive(tasks, any_part=True))
        return found
