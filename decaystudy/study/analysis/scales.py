"""Claims about every scale, from the study's results at each. Losses and variances are never pooled over scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from decaystudy.statistics.claims import ClaimVerdict, Judgement, judge_every_scale, stricter_level
from decaystudy.study.analysis.claims import StudyEvidence, evidence_of, judged, reported_cells
from decaystudy.study.analysis.measurements import LEVEL
from decaystudy.study.analysis.results.scales import ScaleClaim, ScaleVerdict
from decaystudy.study.definition.claims import Claim
from decaystudy.study.definition.judged import JudgedStudy
from decaystudy.study.execution.outcomes import Outcome


@dataclass(frozen=True)
class Scaled:
    """A study at one scale, with the outcomes of its runs."""

    study: JudgedStudy
    outcomes: Sequence[Outcome]


class _Levels:
    """Evidence at one scale, by level."""

    def __init__(self, scaled: Scaled) -> None:
        self.study = scaled.study
        self._cells = reported_cells(scaled.study, scaled.outcomes)
        self._found: dict[float, StudyEvidence] = {}

    def judge(self, claim: Claim, level: float) -> Judgement:
        """The claim as it is judged at this scale, at that level."""
        if claim.id not in {own.id for own in self.study.claims}:
            return Judgement(ClaimVerdict.NOT_JUDGED, f"{self.study.scale}: not all of its cells run")
        if level not in self._found:
            self._found[level] = evidence_of(self.study, self._cells, level)
        result = judged(claim, self._found[level])
        reason = f"{self.study.scale}: {result.why}" if result.why else ""
        return Judgement(result.verdict, reason)


def judge_scales(found: Sequence[Scaled]) -> tuple[ScaleClaim, ...]:
    """The claims about every scale: supported if each scale supports one, refuted if any scale does at 1 − α/n.

    Args:
        found: the study at the scales that it was run at; the first gives the claims.
    """
    at_scale = {scaled.study.scale: _Levels(scaled) for scaled in found}
    claims = [claim for claim in found[0].study.spec.claims if set(claim.scales) & set(at_scale)]
    return tuple(_judge(claim, at_scale) for claim in claims)


def _judge(claim: Claim, at_scale: dict[str, _Levels]) -> ScaleClaim:
    def judgements(level: float) -> list[Judgement]:
        return [
            at_scale[scale].judge(claim, level)
            if scale in at_scale
            else Judgement(ClaimVerdict.NOT_JUDGED, f"{scale}: not run")
            for scale in claim.scales
        ]

    strict = stricter_level(LEVEL, len(claim.scales))
    plain = judgements(LEVEL)
    whole = judge_every_scale(plain, judgements(strict))
    return ScaleClaim(
        id=claim.id,
        text=claim.says,
        verdict=whole.verdict,
        why=whole.reason or None,
        scales=tuple(
            ScaleVerdict(
                scale=scale,
                verdict=one.verdict,
                why=one.reason.partition(": ")[2] or None,
                seeds=at_scale[scale].study.seeds if scale in at_scale else (),
                tokens_per_parameter=_tokens_per_parameter(at_scale[scale].study) if scale in at_scale else None,
            )
            for scale, one in zip(claim.scales, plain, strict=True)
        ),
        level=LEVEL,
        level_to_refute=strict,
    )


def _tokens_per_parameter(study: JudgedStudy) -> tuple[float, float]:
    shares = [cell.facts.tokens / cell.facts.parameters for cell in study.cells]
    return min(shares), max(shares)
