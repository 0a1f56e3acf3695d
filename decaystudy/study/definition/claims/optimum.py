"""``optimum``: over cells, the loss is lowest where λ is near a value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from decaystudy.checks import shown
from decaystudy.statistics.claims import ClaimVerdict
from decaystudy.statistics.half_life import decay_at
from decaystudy.statistics.optimum import judge_optimum
from decaystudy.study.definition.claims.base import Claim, finite, read_mapping, read_names
from decaystudy.study.definition.claims.bounds import near
from decaystudy.study.definition.claims.evidence import Evidence, Unavailable
from decaystudy.study.definition.claims.layers import STATISTICS
from decaystudy.study.definition.claims.margins import DECAY, NEAR
from decaystudy.study.definition.claims.result import ClaimPart
from decaystudy.yaml_document import YamlDocument


@dataclass(frozen=True, kw_only=True)
class Optimum(Claim):
    """A curve through the cells' losses is lowest within a factor of two of a half-life."""

    kind = "optimum"
    at: float = 0.8
    """The λ that is said to be best."""
    cells: tuple[str, ...] = ()
    """Empty for all."""
    statistic: str = "median"

    @classmethod
    def read(cls, document: YamlDocument, value: Any, *where: str | int) -> dict[str, Any]:
        """``{at: 0.8, cells: [a, b, c, d], statistic: median}``."""
        read_mapping(document, value, ("at", "cells", "statistic"), "{at: 0.8} and perhaps cells: [a, b, c, d]", *where)
        at = value.get("at", 0.8)
        if isinstance(at, bool) or not isinstance(at, (int, float)) or not 0 < at < 1:
            raise document.error(f"at is {shown(at)}: give a λ between 0 and 1", *where, "at")
        statistic = value.get("statistic", "median")
        if statistic not in STATISTICS:
            raise document.unknown_key(statistic, list(STATISTICS), *where, "statistic", what="statistic")
        cells = read_names(document, value["cells"], 4, *where, "cells") if "cells" in value else ()
        return {"at": float(at), "cells": tuple(cells), "statistic": statistic}

    @property
    def of_losses(self) -> bool:
        """It is, though it compares no pair."""
        return True

    def named_cells(self) -> set[str]:
        """Those that it names."""
        return set(self.cells)

    def parts(self, evidence: Evidence) -> list[ClaimPart]:
        """The λ of the lowest loss; without an effect where its interval has no end."""
        about = f"λ of the lowest loss, by {self.statistic} λ"
        wanted = near(self.at).wanted
        found = evidence.optimum(self.cells, self.statistic)
        if isinstance(found, Unavailable):
            return [ClaimPart(about=about, verdict=ClaimVerdict.NOT_JUDGED, why=found.why, wanted=wanted, signed=False)]
        verdict = judge_optimum(found, self.at, near=NEAR)
        facts: dict[str, Any] = {}
        if found is not None:
            low, high = finite(found.low), finite(found.high)
            # A curve that nothing shows to bend has a lowest point by chance, often far from every cell.
            somewhere = math.isfinite(found.position) and (low is not None or high is not None)
            facts = {
                "effect": decay_at(found.position) if somewhere else None,
                "low": None if low is None else decay_at(low),
                "high": None if high is None else decay_at(high),
                "seeds": found.seeds,
            }
        return [
            ClaimPart(
                about=about,
                verdict=verdict.verdict,
                why=verdict.reason or None,
                wanted=wanted,
                signed=False,
                **facts,
            )
        ]

    def margin_text(self) -> str:
        """The range of λ that is near."""
        return near(self.at).text(DECAY)
