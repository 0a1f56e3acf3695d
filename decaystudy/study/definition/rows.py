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
    """None unless a search tries it."""
    trial: dict[str, Any] | None = None
    """Settings that a search tries, by name; None for a study that doesn't search."""


@dataclass(frozen=True, kw_only=True)
class CellFields:
    """Which cell a row is about."""

    name: str
    seeds: tuple[int, ...]
    status: str
    """The state of all its runs, or how many are in which: ``1 diverged, 4 finished``."""
