"""What a study takes over from another's tuning, and the seeds that keep the two apart from what is reported."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.study.definition.cells import Cell
from decaystudy.study.definition.search import Search, Trial
from decaystudy.study.definition.settings import DESIGN, Setting, SettingNames, flatten
from decaystudy.study.definition.tuning import TunedCell, Tuning, plain_identity

FIRST_SEED = 1000
"""Tuning seeds begin here, out of the way of those that are reported."""


@dataclass(frozen=True)
class Taken:
    """A choice that a cell takes over."""

    trial: Trial
    source: TunedCell
    differing: tuple[str, ...]
    """Settings in which the cell differs from the one that the choice was made for."""
    seeds: tuple[int, ...]
    """On which it was made."""

    @property
    def text(self) -> str:
        """``mamba2``, or ``mamba2, which differs in model.sharing``."""
        return self.source.cell + (f", which differs in {', '.join(self.differing)}" if self.differing else "")


def choose_tuning_seeds(
    study: str, reported: Sequence[int], named: tuple[int, ...], search: Search | None, tuning: Tuning | None
) -> tuple[int, ...]:
    """The seeds of a study's trials: those that are named, else the first that is free; none where it tries nothing.

    Args:
        tuning: of the study that settings are taken from.

    Raises:
        UserError: a seed that serves to choose is reported, or the study chooses nothing.
    """
    if named and search is None and tuning is None:
        raise UserError(f"tuning seeds are given, but {study} tunes nothing: add tune, or leave them out")
    both = sorted({*named, *(tuning.seeds if tuning is not None else ())} & set(reported))
    if both:
        raise UserError(
            f"seed {both[0]} of {study} serves to choose settings and is reported: choose on seeds that are not "
            f"reported, or report others than {', '.join(map(str, reported))}"
        )
    if search is None:
        return ()
    return named or (next(seed for seed in itertools.count(FIRST_SEED) if seed not in reported),)


def take_over(
    cells: Sequence[Cell], names: SettingNames, tuning: Tuning, source: str, search: Search | None
) -> dict[str, Taken]:
    """By cell, the settings that were chosen in another study; without those that this study is to choose itself.

    Raises:
        UserError: a cell doesn't match, or has no match and nothing chooses for it.
    """
    chosen = {name for one in tuning.cells for name in one.chosen or {}}
    free = [setting for name in sorted(chosen) if (setting := names.find(name)) is not None]
    found: dict[str, Taken] = {}
    for cell in cells:
        taken = take(cell.name, plain_identity(cell.config), tuning, free, source)
        if taken is not None:
            found[cell.name] = taken
        elif search is None:
            known = ", ".join(one.cell for one in tuning.cells)
            raise UserError(
                f"cell {cell.name!r} takes no settings from {source}: none of {known} has its decay: "
                "add --tune, which then tries such cells alone, or tune a study that has it"
            )
    return found


def take(
    cell: str, identity: Mapping[str, Any], tuning: Tuning, free: Sequence[Setting], source: str | Path
) -> Taken | None:
    """The choice for a cell: that of the cell most like it among those of its decay.

    They may differ in what else makes the design (sharing, granularity, position, options of the decay), which is
    reported, but not in size, data or recipe.

    Args:
        identity: of the cell.
        free: settings that were chosen.
        source: names the tuning in messages.

    Returns:
        None if no cell of the tuning has the decay.

    Raises:
        UserError: the cells of its decay are of another size or recipe, none was chosen for, or two are equally near.
    """
    alike = [(other, _differing(identity, other.identity, free)) for other in tuning.cells]
    alike = [(other, paths) for other, paths in alike if not {("model", "decay"), ("model", "mixer")} & set(paths)]
    if not alike:
        return None
    least = min((len(_outside_design(paths)), len(paths)) for _, paths in alike)
    nearest = [(other, paths) for other, paths in alike if (len(_outside_design(paths)), len(paths)) == least]
    other, paths = nearest[0]
    problem = ""
    if _outside_design(paths):
        problem = f"{other.cell!r} there differs in {', '.join('.'.join(path) for path in _outside_design(paths)[:3])}"
    elif len(nearest) > 1:
        problem = f"{' and '.join(repr(one.cell) for one, _ in nearest)} there are equally near"
    elif other.chosen is None:
        problem = f"nothing was chosen for {other.cell!r} there"
    if problem or other.chosen is None:
        raise UserError(f"cell {cell!r} takes no settings from {source}: {problem}; tune this study itself")
    names = tuple(dict.fromkeys(".".join(path) for path in paths))
    return Taken(Trial.of(other.chosen), other, names, tuning.seeds)


def _outside_design(paths: Sequence[Setting]) -> list[Setting]:
    return [path for path in paths if not (path[0] == "model" and path[1] in DESIGN)]


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], free: Sequence[Setting]) -> list[Setting]:
    """The settings in which two identities differ, but for those that were chosen."""
    a, b = flatten(one), flatten(other)
    return [path for path in dict.fromkeys([*a, *b]) if path not in free and a.get(path) != b.get(path)]
