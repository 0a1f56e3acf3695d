"""What a plan says: the content of plan.json and of ``run-study --dry-run --json``. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from decaystudy.runs.state import RunState
from decaystudy.study.definition.expand import Study, expand
from decaystudy.study.definition.schema import read_study

SCHEMA = 1
"""Raised whenever a field of these files changes its meaning or goes; a new field with a default needs no raise."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """The arguments of a run-study that decide which runs a study has."""

    study: str
    """Its name, or the absolute path of its file."""
    scale: str
    seeds: tuple[int, ...]
    all_cells: bool
    """Whether --all-cells was given."""
    overrides: dict[str, Any]
    """Settings of all cells that were given on the command line, nested."""
    sweep: str | None = None
    """What --sweep was given; None for the search of the study's file."""

    def expand(self) -> Study:
        """The study as it was called.

        Raises:
            UserError: its file has gone, or no longer fits this call.
        """
        return expand(
            read_study(self.study),
            scale=self.scale,
            seeds=self.seeds,
            all_cells=self.all_cells,
            overrides=self.overrides,
            sweep=self.sweep,
        )


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run: what it is, and what the whole of it costs."""

    id: str
    """Twelve hexadecimal digits that tell runs apart, as in results.json."""
    name: str
    """The cell's name."""
    cell: str
    """The cell's name too, under the word that results.json and the tables use."""
    seed: int
    status: RunState
    learning_rate: float | None = None
    """None unless a search tries it."""
    trial: dict[str, Any] | None = None
    """Settings that a search tries, by name; None for a study that doesn't search."""
    done: float
    """Share of its steps that need not be trained again, from 0 to 1."""
    parameters: int
    tokens: int
    """Tokens trained on."""
    train_flops: int
    memory_bytes: int
    """Estimated peak memory of each device."""
    hours: float
    """Wall-clock time."""
    gpu_hours: float
    """``hours`` times devices; 0 on a CPU."""
    disk_bytes: int


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """One cell: the sums over its runs."""

    name: str
    seeds: tuple[int, ...]
    status: str
    """The state of all its runs, or how many are in which: ``1 killed, 2 finished``."""
    runs: int
    """Its seeds, times the learning rates tried."""
    done: float
    """Mean share of its runs that need not be trained again."""
    parameters: int
    """Of one run."""
    tokens: int
    train_flops: int
    memory_bytes: int
    """Of the run that takes most."""
    hours: float
    gpu_hours: float
    disk_bytes: int


@dataclass(frozen=True, kw_only=True)
class WholePlan:
    """What all runs cost, whether they are done or not."""

    runs: int
    """Distinct runs."""
    without_sharing: int
    """Runs, were those that several studies need trained once for each."""
    tokens: int
    train_flops: int
    hours: float
    gpu_hours: float


@dataclass(frozen=True, kw_only=True)
class PlanTotal:
    """What remains to be done."""

    runs: int
    tokens: int
    train_flops: int
    hours: float
    """Of all runs, one after the other."""
    gpu_hours: float
    elapsed_hours: float
    """Wall-clock time with as many runs at once as planned."""
    disk_bytes: int
    whole: WholePlan


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One study's runs and their cost."""

    schema: int = SCHEMA
    study: str
    scale: str
    hours_from: str
    """What the hours rest on, in words."""
    devices: int
    """GPUs or processes of each run."""
    device_bytes: int
    """Memory of a device; 0 where it is not known."""
    jobs: int
    """Runs at once."""
    runs: tuple[PlannedRun, ...]
    cells: tuple[PlannedCell, ...]
    total: PlanTotal
    not_run: tuple[str, ...]
    """Cells that run only with --all-cells at this scale."""


@dataclass(frozen=True, kw_only=True)
class RecordedPlan(Plan):
    """The content of plan.json: the plan, and the calls that it was made for."""

    call: Call
    """The last one."""
    earlier: dict[str, Call] = field(default_factory=dict)
    """The last call at each other scale, by scale."""


@dataclass(frozen=True, kw_only=True)
class Plans:
    """Plans of studies that run together."""

    studies: tuple[Plan, ...]
    total: PlanTotal
    """Each distinct run counted once."""
