"""What a plan says: the content of plan.json and of ``run-study --dry-run --json``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from decaystudy.study.definition.expand import Study, expand
from decaystudy.study.definition.rows import CellFields, RunFields
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
    """What --tune was given; None for the search of the study's file."""
    tuning_seeds: tuple[int, ...] | None = None
    """What --tuning-seeds was given."""
    rates_from: str | None = None
    """What --rates-from was given, as an absolute path."""

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
            tuning_seeds=self.tuning_seeds,
            rates_from=self.rates_from,
        )


@dataclass(frozen=True, kw_only=True)
class Work:
    """What training takes."""

    tokens: int
    """Tokens trained on."""
    train_flops: int
    hours: float
    """Wall-clock time; of several runs, one after the other."""
    gpu_hours: float
    """``hours`` times devices; 0 on a CPU."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun(Work, RunFields):
    """One run: what it is, and what the whole of it costs."""

    done: float
    """Share of its steps that need not be trained again, from 0 to 1."""
    parameters: int
    memory_bytes: int
    """Estimated peak memory of each device."""
    disk_bytes: int


@dataclass(frozen=True, kw_only=True)
class PlannedCell(Work, CellFields):
    """One cell: the sums over its runs."""

    runs: int
    """Its seeds, and its trials on each tuning seed."""
    done: float
    """Mean share of its runs that need not be trained again."""
    parameters: int
    """Of one run."""
    memory_bytes: int
    """Of the run that takes most."""
    disk_bytes: int


@dataclass(frozen=True, kw_only=True)
class WholePlan(Work):
    """What all runs cost, whether they are done or not."""

    runs: int
    """Distinct runs."""
    without_sharing: int
    """Runs, were those that several studies need trained once for each."""


@dataclass(frozen=True, kw_only=True)
class PlanTotal(Work):
    """What remains to be done."""

    runs: int
    elapsed_hours: float
    """Wall-clock time with as many runs at once as planned."""
    disk_bytes: int
    whole: WholePlan


@dataclass(frozen=True, kw_only=True)
class PlannedTuning(Work):
    """What choosing settings costs, whether it is done or not. A search of one's own may propose further trials."""

    seeds: tuple[int, ...]
    """Tuning seeds."""
    tries: int
    """Trials of each cell, as far as they are known: the most of any cell."""
    runs: int
    share: float
    """Of the floating-point operations of all the study's runs, from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class ClaimPlan:
    """Whether a study could resolve a claim."""

    id: str
    resolved: bool
    """Whether an effect of the size that the claim asks about would be found with a probability of 0.8, as far as
    losses go; how far λ moves and what tasks tell is not known before."""
    why: str | None = None
    """Why not, and what it takes."""
    seeds: int | None = None
    """About so many seeds would; None where 200 don't, and for claims that are not about losses."""


@dataclass(frozen=True, kw_only=True)
class PlannedData:
    """A text that runs are trained on, as far as it is known without a network and without reading it."""

    source: str
    tokenizer: str
    tokens: int
    """That the longest run trains on."""
    source_tokens: int | None
    """Of the whole text, about; None where that is not known, or without an end."""
    epochs: float | None
    """How often the longest run sees the text."""
    cache_bytes: int
    """That the tokens take in the cache, as far as they are not there."""
    download_bytes: int
    """That are read from the hub, about, as far as their tokens are not in the cache; 0 for text on this machine."""


@dataclass(frozen=True, kw_only=True)
class PlanAccuracy:
    """What finished runs like those planned took, over what was planned for them."""

    runs: int
    median: float
    low: float
    high: float


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
    tuning: PlannedTuning | None = None
    """None for a study that chooses no settings."""
    taken: dict[str, str] = field(default_factory=dict)
    """By cell, the cell of another study whose chosen settings it takes over."""
    claims: tuple[ClaimPlan, ...] = ()
    """What the seeds can make of the study's claims."""
    comparisons: tuple[tuple[str, str], ...] = ()
    """Pairs of cells whose losses are compared."""
    resolution: str = ""
    """The smallest difference that the seeds are expected to resolve, in a sentence."""
    data: tuple[PlannedData, ...] = ()
    warnings: tuple[str, ...] = ()
    """What would stop the study, or its runs, before their end, or leave it without an answer."""
    accuracy: PlanAccuracy | None = None
    """Of earlier plans for runs of this scale, length and kind of device; None where none of those has finished."""


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
