"""The whole of results.json."""

from __future__ import annotations

from dataclasses import dataclass

from decaystudy.runs.state import RunState
from decaystudy.study.analysis.results.cells import CellResult
from decaystudy.study.analysis.results.comparisons import AccuracyComparison, Comparison, Family
from decaystudy.study.analysis.results.runs import RunRow
from decaystudy.study.analysis.results.scales import ScaleClaim
from decaystudy.study.definition.claims.result import ClaimResult
from decaystudy.study.definition.tuning import Tuning

SCHEMA = 2
"""Raised whenever a field of results.json changes its meaning or goes; a new field with a default needs no raise."""


@dataclass(frozen=True, kw_only=True)
class StudyResults:
    """The answer of a study at one scale."""

    schema: int = SCHEMA
    study: str
    title: str
    question: str
    """Empty for a study that asks none."""
    answer: str = ""
    """What the verdicts say, in one or two sentences; empty in files of versions that gave none."""
    scale: str
    axis: tuple[str, ...]
    """Settings in which the cells of a comparison may differ."""
    seeds: tuple[int, ...]
    complete: bool
    """Whether every run finished."""
    notes: tuple[str, ...]
    """What a reader must know about these numbers."""
    unigram_entropy: float | None
    """That of all finished runs; None where they have different ones."""
    tasks: tuple[str, ...]
    """Those that cells were evaluated on."""
    runs: tuple[RunRow, ...]
    cells: tuple[CellResult, ...]
    comparisons: tuple[Comparison, ...]
    accuracy_comparisons: tuple[AccuracyComparison, ...]
    claims: tuple[ClaimResult, ...]
    """At this scale."""
    every_scale: tuple[ScaleClaim, ...] = ()
    """Claims about every scale, over those that the study was run at in one folder."""
    loss_family: Family
    accuracy_family: Family | None = None
    """None unless cells were evaluated."""
    decay_family: Family | None = None
    """None without claims on λ."""
    not_run: tuple[str, ...] = ()
    """Cells of the study's file that run only with --all-cells at this scale."""
    finer_scale: str | None = None
    """The next scale of the study whose cells are assumed to differ less between seeds than here; None if none is."""
    tuning: Tuning | None = None
    """How settings were chosen; None for a study that chooses none."""

    @property
    def tokenizers(self) -> int:
        """How many different tokenizers the finished runs have; losses per token compare those of one only."""
        return len({run.tokenizer for run in self.runs if run.tokenizer is not None})

    @property
    def unit(self) -> str:
        """Of the comparisons of losses that a figure shows together."""
        return "bits per byte" if self.tokenizers > 1 else "nats per token"

    @property
    def tuned(self) -> bool:
        """Whether cells are compared at settings that were chosen for them."""
        return self.tuning is not None

    @property
    def failures(self) -> tuple[RunRow, ...]:
        """Runs that did not finish."""
        return tuple(run for run in self.runs if run.status != RunState.FINISHED)
