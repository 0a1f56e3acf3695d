"""From a study file and a scale to checked cells, comparisons and runs."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.runs.config import RunConfig, merge, scale_defaults
from decaystudy.scales import find_scale
from decaystudy.study.definition.cells import Cell, CellSpec
from decaystudy.study.definition.claims import Claim
from decaystudy.study.definition.cross_checks import check_distinct, check_names, check_overrides
from decaystudy.study.definition.facts import NamedRun, RunFacts
from decaystudy.study.definition.pairs import CellPair, differing, find_pairs
from decaystudy.study.definition.schema import StudySpec
from decaystudy.study.definition.search import Search, Sweep, Trial, new_trials
from decaystudy.study.definition.settings import DESIGN, Setting, coerce, flatten, nest
from decaystudy.study.definition.sweeps import parse_sweep
from decaystudy.study.definition.taking import Taken, choose_tuning_seeds, take_over
from decaystudy.study.definition.tuning import read_tuning

DEFAULT_SCALE = "tiny"
MOST_RUNS = 5000
# Half-decades around a scale's own learning rate: what `tune: lr` tries.
TUNE_FACTORS = (0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Run(NamedRun):
    """One run of a cell: its seed, and the settings that were chosen for it or that a search tries."""

    cell: str
    seed: int
    trial: Trial | None
    """None unless the study searches, or takes settings over; and while they are not chosen."""
    config: RunConfig
    hash: str
    tuning: bool = False
    """Whether it serves to choose settings: on a tuning seed, judged on tuning documents, and not reported itself."""

    @property
    def facts(self) -> RunFacts:
        """What its settings come to."""
        return RunFacts.of(self.config)


@dataclass(frozen=True)
class Study:
    """A study at one scale, checked whole."""

    spec: StudySpec
    scale: str
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    comparisons: tuple[CellPair, ...]
    claims: tuple[Claim, ...]
    """Claims whose cells all run at this scale."""
    left_out: tuple[str, ...]
    """Cells of the file that run only with --all-cells."""
    search: Search | None = None
    """What tries each cell under several settings; None for a study that doesn't search."""
    trials: Mapping[str, tuple[Trial, ...]] = field(default_factory=dict)
    """By cell, what the search has proposed so far."""
    tuning_seeds: tuple[int, ...] = ()
    """Those of trials; none of them is among ``seeds``."""
    chosen: Mapping[str, Trial] = field(default_factory=dict)
    """By cell, the settings at which it is compared, as far as they are known."""
    taken: Mapping[str, Taken] = field(default_factory=dict)
    """By cell, what it takes over from another study."""
    taken_from: str = ""
    """The results that choices are taken from."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def search_words(self) -> str | None:
        """What a cell is compared at, in words; None for a study that doesn't search."""
        return None if self.search is None else self.search.words

    def runs(self) -> list[Run]:
        """Every run of the study that is known so far, cell by cell: its trials, then what is reported of it."""
        found: list[Run] = []
        for cell in self.cells:
            found += [run for trial in self.trials.get(cell.name, ()) for run in self.tuning_runs(cell, trial)]
            found += self.reported_runs(cell)
        return found

    def tuning_runs(self, cell: Cell, trial: Trial) -> list[Run]:
        """The runs of a trial, one per tuning seed."""
        config = _tried(self.spec, cell, trial)
        data = dataclasses.replace(config.data, tuning=True)
        configs = [dataclasses.replace(config, data=data, seed=seed) for seed in self.tuning_seeds]
        return [Run(cell.name, each.seed, trial, each, each.identity_hash(), tuning=True) for each in configs]

    def reported_runs(self, cell: Cell) -> list[Run]:
        """The runs that a cell is compared by, one per seed; none while its settings are not chosen."""
        trial = self.chosen.get(cell.name)
        if trial is None and cell.name in self.trials:
            return []
        config = cell.config if trial is None else _tried(self.spec, cell, trial)
        configs = [dataclasses.replace(config, seed=seed) for seed in self.seeds]
        return [Run(cell.name, each.seed, trial, each, each.identity_hash()) for each in configs]

    def pending_runs(self) -> list[Run]:
        """Stand-ins for runs whose settings are not chosen: what they cost is known, what they are is not yet."""
        return [
            Run(cell.name, seed, None, config, _pending_hash(config))
            for cell in self.cells
            if cell.name in self.trials and cell.name not in self.chosen
            for seed in self.seeds
            for config in (dataclasses.replace(cell.config, seed=seed),)
        ]


def expand(
    spec: StudySpec,
    *,
    scale: str | None = None,
    seeds: Sequence[int] | None = None,
    all_cells: bool = False,
    overrides: Mapping[str, Any] | None = None,
    sweep: str | None = None,
    tuning_seeds: Sequence[int] | None = None,
    rates_from: str | None = None,
) -> Study:
    """The study at a scale, with every cell, comparison and claim checked.

    Args:
        scale: one of the file's scales; the first unless given (tiny, if the file names none).
        seeds: instead of the file's.
        all_cells: also the cells that the file keeps for --all-cells at this scale.
        overrides: nested settings over those that all cells share, such as {"data": {"source": "files"}}.
        sweep: a setting and values to try for each cell, as ``lr=1e-4,3e-4``, in place of the file's ``tune``.
        tuning_seeds: seeds on which they are tried, instead of the file's.
        rates_from: results of another study, whose chosen settings cells take over, in place of the file's.

    Raises:
        UserError: something is wrong; file, line and remedy.
    """
    chosen = _choose_scale(spec, scale)
    changed = flatten(overrides or {})
    check_overrides(spec, changed)
    cells = [_make_cell(spec, cell, chosen, changed) for cell in spec.cells]
    check_distinct(spec, cells)
    by_name = {cell.name: cell for cell in cells}
    check_names(spec, by_name)
    skipped = () if all_cells else spec.extra_cells.get(chosen, ())
    left_out = {cell.name for cell in cells if any(fnmatchcase(cell.name, pattern) for pattern in skipped)}
    kept = tuple(cell for cell in cells if cell.name not in left_out)
    if not kept:
        raise UserError(f"every cell of {spec.name} is left out at scale {chosen} by extra_cells: add --all-cells")
    comparisons = find_pairs(spec, cells)
    for claim in spec.claims:
        for a, b in claim.loss_pairs():
            differing(spec, by_name[a], by_name[b], claim.axis or spec.axis, claim.line)
    reported = tuple(seeds) if seeds is not None else spec.seeds
    if (runs := len(kept) * len(reported)) > MOST_RUNS:
        raise UserError(
            f"{spec.name} has {len(kept)} cells and {len(reported)} seeds, {runs:,} runs: give fewer, for at most "
            f"{MOST_RUNS:,}"
        )
    search = _make_search(spec, chosen, sweep)
    lender = rates_from or spec.rates_from
    tuning = None if lender is None else read_tuning(lender)
    taken = {} if tuning is None else take_over(kept, spec.names, tuning, str(lender), search)
    searched = [cell for cell in kept if cell.name not in taken]
    if not searched:
        search = None
    study = Study(
        spec=spec,
        scale=chosen,
        seeds=reported,
        cells=kept,
        comparisons=tuple(c for c in comparisons if not {c.a, c.b} & left_out),
        claims=tuple(claim for claim in spec.claims if not claim.named_cells() & left_out),
        left_out=tuple(cell.name for cell in cells if cell.name in left_out),
        search=search,
        trials={} if search is None else {cell.name: tuple(new_trials(search, (), ())) for cell in searched},
        tuning_seeds=choose_tuning_seeds(spec.name, reported, tuple(tuning_seeds or spec.tuning_seeds), search, tuning),
        chosen={name: one.trial for name, one in taken.items()},
        taken=taken,
        taken_from="" if lender is None else str(Path(lender).expanduser().absolute()),
    )
    if search is not None and not all(study.trials.values()):
        raise UserError(f"{type(search).__name__} proposes nothing to try: let its first proposal hold settings")
    study.runs()  # so that settings that make no sense are refused now
    return study


def _pending_hash(config: RunConfig) -> str:
    """An id apart from that of the same run without a choice."""
    return hashlib.blake2b(f"{config.identity_hash()} at chosen settings".encode(), digest_size=6).hexdigest()


def _choose_scale(spec: StudySpec, scale: str | None) -> str:
    if scale is None:
        return DEFAULT_SCALE if len(spec.scales) > 1 and DEFAULT_SCALE in spec.scales else spec.scales[0]
    find_scale(scale)
    if scale not in spec.scales:
        raise spec.error(
            f"the study is written for scale {', '.join(spec.scales)}, not {scale}: add it to scales, or leave --scale",
            spec.document.line("scales" if "scales" in spec.document.values else "scale"),
        )
    return scale


def _make_cell(spec: StudySpec, cell: CellSpec, scale: str, overrides: Mapping[Setting, Any]) -> Cell:
    shared = {**spec.settings, **overrides}
    if cell.reference:
        shared = {path: value for path, value in shared.items() if not (path[0] == "model" and path[1] in DESIGN)}
    settings = {**shared, **cell.settings}
    if ("model", "decay") in shared:  # whose options another decay of the cell drops
        values = merge(merge(scale_defaults(scale), nest(shared)), nest(cell.settings))
    else:  # options that all cells have in common are options of whichever decay a cell has
        values = merge(scale_defaults(scale), nest(settings))
    try:
        return Cell(cell.name, settings, RunConfig.new(values), cell.line)
    except UserError as error:
        if overrides and _is_sound(spec, cell, scale):
            raise UserError(f"{error} (given to every cell, by a flag or by --config)") from error
        raise spec.error(f"cell {cell.name!r}: {error}", cell.line) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise spec.error(f"cell {cell.name!r} has a setting of the wrong kind: {error}", cell.line) from error


def _is_sound(spec: StudySpec, cell: CellSpec, scale: str) -> bool:
    """Whether a cell makes sense as its file has it."""
    try:
        _make_cell(spec, cell, scale, {})
    except UserError:
        return False
    return True


def _tried(spec: StudySpec, cell: Cell, trial: Trial) -> RunConfig:
    """The cell's run under a trial's settings."""
    settings: dict[Setting, Any] = {}
    for name, value in trial.settings:
        setting = spec.names.find(name)
        if setting is None:
            raise UserError(f"the search tries the unknown setting {name!r}: {spec.names.hint(name)}")
        if setting[0] == "data":
            raise UserError(
                f"the search tries {name}, which changes what losses are of, so that they say nothing about which is "
                "best: make it the axis of a study"
            )
        if any(setting in other.settings for other in spec.cells if other.name == cell.name):
            raise spec.error(f"cell {cell.name!r} sets {name}, which the study tunes: drop one of the two", cell.line)
        try:
            settings[setting] = coerce(setting, value)
        except TypeError as error:
            raise UserError(f"the search tries {name} = {value!r}: {error}") from error
    try:
        return RunConfig.new(merge(cell.config.as_given(), nest(settings)))
    except UserError as error:
        raise UserError(f"cell {cell.name!r} under {trial.label}: {error}") from error


def _make_search(spec: StudySpec, scale: str, sweep: str | None) -> Search | None:
    if sweep is not None and sweep not in ("lr", "learning_rate"):
        return parse_sweep(sweep, spec.names)
    if spec.tune == "lr" or sweep in ("lr", "learning_rate"):
        own = float(find_scale(scale).recipe["learning_rate"])
        return Sweep("learning_rate", tuple(float(f"{own * factor:.2g}") for factor in TUNE_FACTORS))
    assert spec.tune is None or isinstance(spec.tune, Search)
    return spec.tune
