"""The claims of results.json."""

from __future__ import annotations

from dataclasses import dataclass

from decaystudy.statistics.claims import ClaimVerdict
from decaystudy.study.analysis.results.comparisons import Judged


@dataclass(frozen=True, kw_only=True)
class ClaimPart(Judged):
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


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """One claim and its verdict."""

    id: str
    text: str
    """The words of those who claimed it."""
    kind: str
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
