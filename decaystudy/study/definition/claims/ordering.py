"""``ordering``: loss rises along a list of cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from decaystudy.study.definition.claims.base import Claim, effect_part, read_names
from decaystudy.study.definition.claims.bounds import Bounds
from decaystudy.study.definition.claims.evidence import Evidence
from decaystudy.study.definition.claims.result import ClaimPart
from decaystudy.yaml_document import YamlDocument

MORE = Bounds(low=0.0)


@dataclass(frozen=True, kw_only=True)
class Ordering(Claim):
    """Each cell has a higher loss than the one before it."""

    kind = "ordering"
    cells: tuple[str, ...] = ()

    @classmethod
    def read(cls, document: YamlDocument, value: Any, *where: str | int) -> dict[str, Any]:
        """``[best, second, third]``."""
        return {"cells": tuple(read_names(document, value, 2, *where))}

    def named_cells(self) -> set[str]:
        """Those of the list."""
        return set(self.cells)

    def loss_pairs(self) -> tuple[tuple[str, str], ...]:
        """Each cell beside the one before it."""
        return tuple(zip(self.cells[1:], self.cells[:-1], strict=True))

    def parts(self, evidence: Evidence) -> list[ClaimPart]:
        """One for each pair of neighbours."""
        return [effect_part(f"loss of {a} minus {b}", evidence.loss(a, b), MORE) for a, b in self.loss_pairs()]

    def margin_text(self) -> str:
        """Each is above the one before it."""
        return MORE.text("")
