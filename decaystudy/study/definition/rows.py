"""What results.json and plan.json both say of a run and of a cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from decaystudy.runs.state import RunState


@dataclass(frozen=True, kw_only=True)
class RunFields:
    """Which run a row is about."""

    id: str
    """Twelve hexadecimal digits that tell runs apart; part of the folder's name."""
    name: str
    """The cell's name."""
    cell: str
    """The cell's name too, under the word that tables use."""
    seed: int
    status: RunState
    learning_rate: float | None = None
    """None unless it is chosen."""
    trial: dict[str, Any] | None = None
    """Settings that a search tries or has chosen, by name; None for a study that chooses none, and while none is."""
    tuning: bool = False
    """Whether the run serves to choose settings: on a tuning seed, judged on tuning documents, not reported itself."""


@dataclass(frozen=True, kw_only=True)
class CellFields:
    """Which cell a row is about."""

    name: str
    seeds: tuple[int, ...]
    """Those that are reported."""
    status: str
    """The state of all its runs, or how many are in which: ``1 diverged, 4 finished``."""
