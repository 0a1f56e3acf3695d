"""Claims about every scale, in results.json."""

from __future__ import annotations

from dataclasses import dataclass

from decaystudy.statistics.claims import ClaimVerdict, Judgement


@dataclass(frozen=True, kw_only=True)
class ScaleVerdict:
    """A claim at one scale, judged there by itself."""

    scale: str
    verdict: ClaimVerdict
    why: str | None = None
    """Why it is not judged."""
    seeds: tuple[int, ...] = ()
    """Of the study there; empty where it was not run."""
    tokens_per_parameter: tuple[float, float] | None = None
    """Least and greatest over its runs."""

    @property
    def words(self) -> str:
        """The verdict, and why there is none."""
        return str(Judgement(self.verdict, self.why or ""))


@dataclass(frozen=True, kw_only=True)
class ScaleClaim:
    """A claim about every scale."""

    id: str
    text: str
    """The words of those who claimed it."""
    verdict: ClaimVerdict
    """Over all the scales that it names."""
    why: str | None = None
    """Why it is not judged."""
    scales: tuple[ScaleVerdict, ...]
    level: float
    """Of the intervals at each scale, by which all of them may support it."""
    level_to_refute: float
    """Of those by which any scale may refute it."""

    @property
    def words(self) -> str:
        """The verdict, and why there is none."""
        return str(Judgement(self.verdict, self.why or ""))
