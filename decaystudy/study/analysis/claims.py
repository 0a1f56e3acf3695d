"""Verdicts on a study's claims, from the same intervals as the rows of its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from decaystudy.statistics.claims import ClaimVerdict
from decaystudy.statistics.clusters import FEWEST
from decaystudy.statistics.comparison import judged as compared
from decaystudy.statistics.effects import Effect
from decaystudy.statistics.half_life import DecayEffect
from decaystudy.statistics.optimum import Optimum, loss_optimum
from decaystudy.statistics.verdicts import Verdict
from decaystudy.study.analysis.accuracies import Answers, asked_accuracies
from decaystudy.study.analysis.comparisons import loss_pairs, margin_of
from decaystudy.study.analysis.decays import Decays, decay_groups, mean_positions
from decaystudy.study.analysis.losses import NATS, Losses
from decaystudy.study.analysis.measurements import LEVEL, Unavailable
from decaystudy.study.analysis.runs import Cells
from decaystudy.study.definition.claims import Claim, ClaimResult
from decaystudy.study.definition.claims.evidence import Evidence
from decaystudy.study.definition.claims.layers import DecayAsked
from decaystudy.study.definition.judged import JudgedStudy
from decaystudy.study.execution.outcomes import Outcome

LEFT_OUT = "its cells don't all run at this scale without --all-cells"


@dataclass(frozen=True)
class StudyEvidence:
    """What the claims of a study are judged by."""

    study: JudgedStudy
    cells: Cells
    losses: Losses
    answers: Answers
    decays: Decays
    level: float

    @property
    def tasks(self) -> Sequence[str]:
        """The tasks that count right answers."""
        return self.answers.accuracy_tasks

    def loss(self, a: str, b: str) -> Effect | Unavailable:
        """Loss of ``a`` minus that of ``b``."""
        return self.losses.difference(a, b)

    def loss_verdict(self, a: str, b: str) -> Verdict | Unavailable:
        """Whether ``a`` is better than ``b``, as the table of comparisons has it."""
        effect = self.loss(a, b)
        if isinstance(effect, Unavailable):
            return effect
        margin = margin_of(self.study.claims, a, b) if effect.unit == NATS else None
        return compared(effect, margin).verdict

    def accuracy(self, task: str, a: str, b: str | None) -> Effect | Unavailable:
        """Accuracy of ``a`` on a task, or what it has more than ``b``."""
        return self.answers.difference(a, b, task)

    def decay(self, asked: DecayAsked) -> DecayEffect | Unavailable:
        """A statistic of λ of one cell, or of one beside another."""
        return self.decays.effect(asked)

    def optimum(self, cells: Sequence[str], statistic: str) -> Optimum | Unavailable | None:
        """Where along λ the loss is lowest; None where too few cells tell."""
        chosen = {name: self.cells[name] for name in cells or self.cells}
        positions = mean_positions(chosen, statistic)
        missing = [self.losses.missing[name] for name in chosen if name in positions and name in self.losses.missing]
        samples = {id(m): m for m in self.losses.by_documents.values() if set(positions) & set(m.values)}
        if missing:
            return missing[0]
        if len(samples) != 1:
            return Unavailable("judged on other data" if samples else "no cell with a decay has finished")
        ((_, measurement),) = samples.items()
        sample = measurement.sample
        if sample is None:
            return Unavailable("one seed")
        if sample.clusters is not None and sample.clusters < FEWEST:
            return Unavailable("few documents")
        groups = decay_groups(chosen)
        return loss_optimum(sample, positions, groups=groups, level=self.level, critical=self.losses.critical)


def reported_cells(study: JudgedStudy, outcomes: Sequence[Outcome]) -> Cells:
    """The runs of each cell that its results are of; those that chose its settings are not."""
    reported = [outcome for outcome in outcomes if not outcome.run.tuning]
    return {cell.name: [o for o in reported if o.run.cell == cell.name] for cell in study.cells}


def evidence_of(study: JudgedStudy, kept: Cells, level: float = LEVEL) -> StudyEvidence:
    """All effects that a report of the study prints.

    Args:
        level: with which the intervals of each family hold together.
    """
    return StudyEvidence(
        study,
        kept,
        losses=Losses(kept, loss_pairs(study), level),
        answers=Answers(kept, asked_accuracies(study, kept), level),
        decays=Decays(kept, [asked for claim in study.claims for asked in claim.decays()], level),
        level=level,
    )


def judge(study: JudgedStudy, evidence: Evidence) -> tuple[ClaimResult, ...]:
    """Each claim of the study with its verdict."""
    tested = {claim.id for claim in study.claims}
    return tuple(judged(claim, evidence) if claim.id in tested else _left_out(claim) for claim in study.spec.claims)


def judged(claim: Claim, evidence: Evidence) -> ClaimResult:
    """A claim with its verdict."""
    parts = claim.parts(evidence)
    whole = claim.conclude(parts)
    found = replace(_left_out(claim), verdict=whole.verdict, why=whole.reason or None)
    return replace(found, decisive=claim.decisive(parts), parts=tuple(parts))


def _left_out(claim: Claim) -> ClaimResult:
    """A claim that is not judged."""
    return ClaimResult(
        id=claim.id,
        text=claim.says,
        kind=claim.kind,
        of_losses=claim.of_losses,
        verdict=ClaimVerdict.NOT_JUDGED,
        why=LEFT_OUT,
    )
