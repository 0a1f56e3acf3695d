"""Several studies at once: expanded together, each run that they share counted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.study.definition.expand import Run, Study, expand
from decaystudy.study.definition.schema import parse_seeds, read_study


def expand_all(
    names: Sequence[str],
    *,
    scale: str | None = None,
    seeds: str | None = None,
    all_cells: bool = False,
    overrides: Mapping[str, Any] | None = None,
    sweep: str | None = None,
    tuning_seeds: str | None = None,
    rates_from: str | None = None,
) -> list[Study]:
    """Every study, read, checked and expanded before anything runs."""
    if not names:
        raise UserError("name a study, or give the path of a study file: decaystudy list shows the package's own")
    chosen = parse_seeds(seeds) if seeds is not None else None
    apart = parse_seeds(tuning_seeds) if tuning_seeds is not None else None
    expanded = [
        expand(
            read_study(name),
            scale=scale,
            seeds=chosen,
            all_cells=all_cells,
            overrides=overrides,
            sweep=sweep,
            tuning_seeds=apart,
            rates_from=rates_from,
        )
        for name in names
    ]
    files: dict[str, Path] = {}
    for study in expanded:
        if study.name in files:
            both = f"{files[study.name]} and {study.spec.file}"
            raise UserError(f"two studies are named {study.name!r}, {both}: leave one out or rename its file")
        files[study.name] = study.spec.file
    return expanded


def union(studies: Sequence[Study]) -> list[Run]:
    """The runs that the studies need, each once."""
    runs: dict[str, Run] = {}
    for study in studies:
        for run in study.runs():
            runs.setdefault(run.hash, run)
    return list(runs.values())
