"""``difference``: the loss of one cell minus that of another, within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from decaystudy.study.definition.claims.base import Claim, cells_of, effect_part, read_pairs
from decaystudy.study.definition.claims.evidence import Evidence
from decaystudy.study.definition.claims.margins import NATS
from decaystudy.study.definition.claims.result import ClaimPart
from decaystudy.yaml_document import YamlDocument


@dataclass(frozen=True, kw_only=True)
class Difference(Claim):
    """Each pair (or one of them) keeps to the bounds."""

    kind = "difference"
    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, document: YamlDocument, value: Any, *where: str | int) -> dict[str, Any]:
        """``[a, b]``, or a list of such pairs."""
        return {"pairs": read_pairs(document, value, *where)}

    @property
    def unit(self) -> str | None:
        return NATS

    def named_cells(self) -> set[str]:
        """Those of its pairs."""
        return cells_of(self.pairs)

    def loss_pairs(self) -> tuple[tuple[str, str], ...]:
        """Its pairs."""
        return self.pairs

    def parts(self, evidence: Evidence) -> list[ClaimPart]:
        """One for each pair."""
        return [effect_part(f"loss of {a} minus {b}", evidence.loss(a, b), self.bounds) for a, b in self.pairs]
