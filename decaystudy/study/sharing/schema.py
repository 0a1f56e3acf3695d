"""What a bundle holds of a study at one scale: all that its analysis needs, and the settings of its runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from decaystudy.runs.evaluation import Evaluation
from decaystudy.runs.result import RunResult
from decaystudy.runs.state import RunState
from decaystudy.study.definition.claims import Claim, read_claims
from decaystudy.study.definition.facts import NamedRun, RunFacts
from decaystudy.study.definition.pairs import CellPair
from decaystudy.study.definition.search import Trial
from decaystudy.study.definition.taking import Taken
from decaystudy.yaml_document import YamlDocument


@dataclass(frozen=True, kw_only=True)
class BundledFile:
    """What the study file says, at whatever scale."""

    title: str
    question: str
    axis: tuple[str, ...]
    scales: tuple[str, ...]
    statements: tuple[dict[str, Any], ...]
    """Its claims, as it writes them."""

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """The claims.

        Raises:
            UserError: this version of the package cannot read one.
        """
        document = YamlDocument(Path("claims"), {"claims": list(self.statements)})
        return read_claims(document, _read_axis, self.scales)


@dataclass(frozen=True, kw_only=True)
class BundledCell:
    """One cell."""

    name: str
    facts: RunFacts
    identity: dict[str, Any]
    """All settings that can change the results of its runs but the seed."""


@dataclass(frozen=True, kw_only=True)
class BundledStudy:
    """A study at one scale."""

    name: str
    spec: BundledFile
    scale: str
    seeds: tuple[int, ...]
    cells: tuple[BundledCell, ...]
    comparisons: tuple[CellPair, ...]
    left_out: tuple[str, ...]
    search_words: str | None
    trials: dict[str, tuple[Trial, ...]]
    tuning_seeds: tuple[int, ...]
    chosen: dict[str, Trial]
    taken: dict[str, Taken]
    taken_from: str

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Claims whose cells all run at this scale."""
        return tuple(claim for claim in self.spec.claims if not claim.named_cells() & set(self.left_out))


@dataclass(frozen=True, kw_only=True)
class BundledDocuments:
    """A run's loss on each held-out document, by the names of arrays."""

    nll: str
    tokens: str
    bytes: str


@dataclass(frozen=True, kw_only=True)
class BundledCurve:
    """A curve of a run, by the names of arrays."""

    steps: str
    values: str


@dataclass(frozen=True, kw_only=True)
class BundledRun(NamedRun):
    """One run and what is known of it."""

    cell: str
    seed: int
    trial: Trial | None = None
    hash: str
    tuning: bool
    facts: RunFacts
    config: dict[str, Any]
    """Its settings, as in config.yaml."""
    state: RunState
    message: str = ""
    step: int | None = None
    """That it had reached, where it has no result."""
    path: str | None = None
    """Its folder, below that of all runs."""
    result: RunResult | None = None
    documents: BundledDocuments | None = None
    evaluation: Evaluation | None = None
    answers: dict[str, str] = field(default_factory=dict)
    """By task, the name of the array that has 1 or 0 for each question."""
    curves: dict[str, BundledCurve] = field(default_factory=dict)
    """Losses and median λ over training, by TensorBoard's names; thinned."""


def _read_axis(value: Any, *path: str | int) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list) else (value,)
