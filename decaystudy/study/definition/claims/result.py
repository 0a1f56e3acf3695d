"""The result of a claim, as results.json has it."""

from __future__ import annotations

from dataclasses import dataclass

from decaystudy.statistics.claims import ClaimVerdict, Judgement


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is known of a number that is measured, and judged if it can be."""

    low: float | None = None
    high: float | None = None
    """Simultaneous interval; None where nothing bounds the number: with one seed, or two seeds of few cells."""
    standard_error: float | None = None
    """None also for a claim's effect that is shown on another scale than it is judged on."""
    resolvable: float | None = None
    """The true effect that would be found with a probability of 0.8: a difference, called better or worse."""
    seeds: int = 0
    """That the number rests on."""
    why: str | None = None
    """Why it is not judged."""


@dataclass(frozen=True, kw_only=True)
class ClaimPart(Estimate):
    """One number that a claim is about."""

    about: str
    """What the number is, in words."""
    verdict: ClaimVerdict
    effect: float | None = None
    """None where there is none."""
    wanted: tuple[float | None, float | None]
    """Between which bounds the number must lie; None where there is no bound."""
    outside: bool = False
    """Whether it must lie outside these bounds."""
    signed: bool = True
    """Whether the number is a difference, and shown with its sign."""

    @property
    def judgement(self) -> Judgement:
        """The verdict as the statistics have it."""
        return Judgement(self.verdict, self.why or "")


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """One claim and its verdict."""

    id: str
    text: str
    """The words of those who claimed it."""
    kind: str
    of_losses: bool = False
    """Whether it is judged by losses."""
    verdict: ClaimVerdict
    why: str | None = None
    """Why it is not judged."""
    decisive: ClaimPart | None = None
    """The part that decided, or that stands in the way of a verdict."""
    parts: tuple[ClaimPart, ...] = ()

    @property
    def words(self) -> str:
        """The verdict, and why there is none."""
        return f"{self.verdict} ({self.why})" if self.why else str(self.verdict)
