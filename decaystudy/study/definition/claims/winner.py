"""``winner``: of two cells, the one with the lower loss also has the higher λ. Judged only where one of them wins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from decaystudy.statistics.claims import NO_WINNER, Bound, ClaimVerdict, Judgement, judge_all, judge_winner
from decaystudy.statistics.half_life import AT_START
from decaystudy.statistics.verdicts import Verdict
from decaystudy.study.definition.claims.base import FEW_DOCUMENTS, Claim, cells_of, read_pairs
from decaystudy.study.definition.claims.decay import decay_part
from decaystudy.study.definition.claims.evidence import Evidence, Unavailable
from decaystudy.study.definition.claims.layers import DecayAsked, DecayStatistic
from decaystudy.study.definition.claims.margins import HALF_LIFE
from decaystudy.study.definition.claims.result import ClaimPart
from decaystudy.yaml_document import YamlDocument

MEDIAN = DecayStatistic("median", "mean")
EITHER = Bound(-math.inf, math.inf)


@dataclass(frozen=True, kw_only=True)
class Winner(Claim):
    """Of each pair with a winner, the winner has the higher median λ (mean log half-life over layers)."""

    kind = "winner"
    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, document: YamlDocument, value: Any, *where: str | int) -> dict[str, Any]:
        """``[a, b]``, or a list of such pairs."""
        return {"pairs": read_pairs(document, value, *where)}

    def named_cells(self) -> set[str]:
        """Those of its pairs."""
        return cells_of(self.pairs)

    def loss_pairs(self) -> tuple[tuple[str, str], ...]:
        """Its pairs: who wins is judged by the loss."""
        return self.pairs

    def decays(self) -> tuple[DecayAsked, ...]:
        """The medians of each pair."""
        return tuple(DecayAsked(MEDIAN, pair) for pair in self.pairs)

    def parts(self, evidence: Evidence) -> list[ClaimPart]:
        """One for each pair."""
        return [_part(evidence, a, b) for a, b in self.pairs]

    def conclude(self, parts: Sequence[ClaimPart]) -> Judgement:
        """By the pairs that have a winner."""
        return judge_all([part.judgement for part in _won(parts)])

    def decisive(self, parts: Sequence[ClaimPart]) -> ClaimPart:
        """Among the pairs that have a winner."""
        return super().decisive(_won(parts))

    def margin_text(self) -> str:
        """Which cell has the higher one."""
        return "the winner's is above the other's"


def _won(parts: Sequence[ClaimPart]) -> Sequence[ClaimPart]:
    return [part for part in parts if part.judgement != NO_WINNER] or parts


def _part(evidence: Evidence, a: str, b: str) -> ClaimPart:
    loss, decay = evidence.loss_verdict(a, b), evidence.decay(DecayAsked(MEDIAN, (a, b)))
    part = decay_part(f"median λ of {a} minus {b} ({HALF_LIFE}), if one of them wins", decay, EITHER)
    if isinstance(loss, Unavailable):
        return replace(part, verdict=ClaimVerdict.NOT_JUDGED, why=loss.why)
    if loss is Verdict.FEW_DOCUMENTS:
        return replace(part, verdict=FEW_DOCUMENTS.verdict, why=FEW_DOCUMENTS.reason)
    if isinstance(decay, Unavailable):
        return part
    found = judge_winner(loss, decay.end.low, decay.end.high)
    if not decay.moved and found.verdict is not ClaimVerdict.NOT_JUDGED:
        found = AT_START
    wanted = {Verdict.BETTER: (0.0, None), Verdict.WORSE: (None, 0.0)}.get(loss, (None, None))
    return replace(part, verdict=found.verdict, why=found.reason or None, wanted=wanted)
