"""Settings that were chosen for cells: what results.json says of the choice, and how another study takes it over."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.io import read_mapping, why_unread
from decaystudy.runs.config import RunConfig
from decaystudy.serial import Mismatch, from_plain


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One trial of a cell: a point of its curve."""

    settings: dict[str, Any]
    status: str
    """The state of its runs, one per tuning seed."""
    loss: float | None = None
    """Mean over tuning seeds and documents, nats per token; None unless all its runs finished."""
    standard_error: float | None = None
    """Of the loss, for other documents."""
    bits_per_byte: float | None = None
    """The same loss, which unlike nats per token can be compared across tokenizers."""
    above: float | None = None
    """Loss minus that of the best trial."""
    above_error: float | None = None
    """Its standard error: for other documents, and for other seeds as reported cells differ between them. Where these
    don't tell, that of the loss alone if it is larger."""


@dataclass(frozen=True, kw_only=True)
class TunedCell:
    """What was tried for a cell and what was chosen."""

    cell: str
    chosen: dict[str, Any] | None
    """None where nothing is chosen."""
    why: str | None = None
    """Why nothing is chosen."""
    tries: int = 0
    """Trials that it was chosen from, the first of the curve."""
    at_edge: bool = False
    """Whether the chosen value is the lowest or the highest that was tried."""
    unstable: bool = False
    """Whether another trial is above the best by no more than its standard error."""
    curve: tuple[Tried, ...] = ()
    taken_from: str | None = None
    """Another study's cell that the choice was made for, and in what it differs; None where it is the cell's own."""
    identity: dict[str, Any]
    """All settings of the cell's runs but the seed, before the choice."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a study came to the settings at which its cells are compared."""

    seeds: tuple[int, ...]
    """Tuning seeds; none of them is reported."""
    documents: int | None
    """Tuning documents; none of them is reported. None where they are not known."""
    taken_from: str | None = None
    """The results that choices were taken from."""
    cells: tuple[TunedCell, ...]

    @property
    def source(self) -> str:
        """``parameterization/results.json``: where choices were taken from, without the folders above."""
        return "/".join(re.split(r"[\\/]", self.taken_from or "")[-2:])

    @property
    def warnings(self) -> list[str]:
        """Sentences on choices that another search might not make."""
        edge = [one.cell for one in self.cells if one.at_edge]
        unstable = [one.cell for one in self.cells if one.unstable]
        found = [f"No setting could be chosen for {one.cell}: {one.why}." for one in self.cells if one.why]
        found += [f"The best is at the edge of the grid, so try more: {', '.join(edge)}."] if edge else []
        if unstable:
            found.append(f"Choice unstable (the runner-up is within its standard error): {', '.join(unstable)}.")
        return found


def read_tuning(path: str | Path) -> Tuning:
    """The choices in a results.json, or in that of a study's folder.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    file = Path(path).expanduser()
    file = file / "results.json" if file.is_dir() else file
    plain = read_mapping(file)
    if plain is None:
        raise UserError(f"{file} {why_unread(file)}: name the results.json of a study that tunes")
    if not plain.get("tuning"):
        raise UserError(f"{file} has no chosen settings: name the results.json of a study that was run with tune")
    try:
        return from_plain(Tuning, plain["tuning"], "tuning")
    except Mismatch as error:
        raise UserError(f"{file} cannot be read ({error}): write it anew with decaystudy report") from error


def plain_identity(config: RunConfig) -> dict[str, Any]:
    """All settings that can change a run's results but its seed, as JSON has them."""
    identity: dict[str, Any] = json.loads(json.dumps(config.identity(), default=list))
    del identity["seed"]
    return identity
