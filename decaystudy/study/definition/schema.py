"""A study file, read and checked: what it asks, its cells, comparisons and claims."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decaystudy.checks import shown
from decaystudy.errors import UserError
from decaystudy.imports import add_import_folder
from decaystudy.scales import SCALES
from decaystudy.study.definition.cells import NAME, CellSpec, read_cells
from decaystudy.study.definition.claims import Claim, read_claims
from decaystudy.study.definition.library import find_study
from decaystudy.study.definition.search import Search
from decaystudy.study.definition.settings import (
    Setting,
    SettingNames,
    read_settings,
    setting_names,
)
from decaystudy.study.definition.sweeps import read_tune
from decaystudy.yaml_document import YamlDocument, load

MOST_SEEDS = 10_000
"""In a range of seeds."""
KEYS = {
    "title": "one line",
    "question": "what the study asks (may be left out)",
    "scale": "the size at which it runs (or scales: several, the first unless --scale says otherwise)",
    "scales": "see scale",
    "seeds": "the seeds of every cell",
    "axis": "the one setting that may differ between two cells that are compared",
    "baseline": "the level of the axis that every other cell is compared with: a value, a grid label or a cell",
    "settings": "what all cells have in common",
    "grid": "cells as all combinations of levels, with except",
    "cells": "cells written out",
    "reference": "softmax: adds causal softmax attention of the same size as a row",
    "extra_cells": "by scale, the cells that run only with --all-cells",
    "comparisons": "pairs of cells, beside those that axis and baseline imply",
    "claims": "what is to be tested, in the words of those who said it",
    "evaluate": "tasks to evaluate every cell on",
    "tune": "lr, a setting with values to try, or a search: each cell is then compared at its best",
    "tuning_seeds": "the seeds on which settings are tried, apart from seeds (1000 unless given)",
    "rates_from": "results of a study that tunes: cells take over the settings that it chose",
}
_AXES: dict[str, tuple[Setting, ...]] = {
    "decay": (("model", "decay"), ("model", "decay_options"), ("model", "decay_source")),
    "tokenizer": (("data", "tokenizer"), ("model", "vocab_size")),
}


@dataclass(frozen=True)
class ComparisonSpec:
    """A pair that the file lists: the loss of ``a`` minus that of ``b``."""

    a: str
    b: str
    axis: tuple[str, ...] | None
    """Settings in which the two may differ; None for those of the study."""
    line: int


@dataclass(frozen=True)
class StudySpec:
    """A study file."""

    name: str
    file: Path
    title: str
    question: str
    scales: tuple[str, ...]
    seeds: tuple[int, ...]
    axis: tuple[str, ...]
    baseline: Any
    settings: dict[Setting, Any]
    cells: tuple[CellSpec, ...]
    extra_cells: dict[str, tuple[str, ...]]
    comparisons: tuple[ComparisonSpec, ...]
    claims: tuple[Claim, ...]
    evaluate: str | None
    tune: Search | str | None
    """A search; lr for the learning rates around the scale's own."""
    tuning_seeds: tuple[int, ...]
    """Empty for the study's own choice."""
    rates_from: str | None
    """Path of results whose chosen settings the cells take over."""
    names: SettingNames
    """By which the file calls settings."""
    document: YamlDocument = field(repr=False)

    def error(self, message: str, line: int) -> UserError:
        """A UserError at that line of the study file."""
        return self.document.error_at(line, message)


def read_study(name: str) -> StudySpec:
    """Read and check a study file, given by name or path.

    Raises:
        UserError: anything is wrong with it; one line with the file, the line and the remedy.
    """
    document = load(find_study(name))
    values = document.values
    if not isinstance(values, dict):
        raise document.error("a study is a mapping: start with title:, question:, axis: and cells: or grid:")
    for key in values:
        if key not in KEYS:
            raise document.unknown_key(key, list(KEYS), key)
    stem = document.file.stem
    if not NAME.fullmatch(stem) or stem == "store":
        raise UserError(
            f"{document.file}: a study's name is that of its file: use letters, digits, - and _ (not store)"
        )
    add_import_folder(document.file.parent)
    names = setting_names(document)
    cells = read_cells(document, names)
    axis = _read_axis(document, names, values.get("axis"), "axis")
    comparisons = tuple(_read_comparisons(document, names))
    scales = _read_scales(document)
    if "baseline" in values and not axis:
        raise document.error("baseline needs axis: name the setting that cells are compared on", "baseline")
    return StudySpec(
        name=stem,
        file=document.file,
        title=_text(document, "title"),
        question=_text(document, "question") if "question" in values else "",
        scales=scales,
        seeds=_read_seeds(document, "seeds") or (0,),
        axis=axis,
        baseline=values.get("baseline"),
        settings=read_settings(document, names, values.get("settings"), ("settings",)),
        cells=cells,
        extra_cells=_read_extra_cells(document),
        comparisons=comparisons,
        claims=read_claims(document, lambda value, *path: _read_axis(document, names, value, *path), scales),
        evaluate=_read_evaluate(document),
        tune=read_tune(document, names),
        tuning_seeds=_read_seeds(document, "tuning_seeds"),
        rates_from=_read_rates_from(document),
        names=names,
        document=document,
    )


def axis_settings(axis: Iterable[str], names: SettingNames) -> tuple[Setting, ...]:
    """Full paths of the settings that an axis covers (decay brings its options)."""
    paths: list[Setting] = []
    for name in axis:
        found = names.find(name)
        paths += _AXES.get(name, (found,) if found else ())
    return tuple(paths)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from ``0,1``, ``0-4`` or ``3`` (the one seed 3).

    Raises:
        UserError: it is none of these.
    """
    seeds: list[int] = []
    for part in str(text).split(","):
        match = re.fullmatch(r"\s*(\d{1,30})\s*(?:-\s*(\d{1,30})\s*)?", part)
        if not match:
            raise UserError(f"seeds {shown(str(text))} are not seeds: give whole numbers such as 0,1,2 or 0-4")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UserError(f"seeds {shown(str(text))} count down: write the smaller first, as {last}-{first}")
        if last - first >= MOST_SEEDS:
            raise UserError(f"seeds {shown(str(text))} are {last - first + 1:,} seeds: give at most {MOST_SEEDS:,}")
        seeds += range(first, last + 1)
    if len(set(seeds)) != len(seeds):
        raise UserError(f"seeds {str(text)!r} name a seed twice: give each once")
    return tuple(seeds)


def _text(document: YamlDocument, key: str) -> str:
    value = document.values.get(key)
    if not isinstance(value, str) or not value.strip():
        if value is None:
            raise document.error(f"a study needs a {key}: add {key}: followed by a sentence", key)
        raise document.error(f"{key} is {shown(value)}: give a sentence, in quotes if need be", key)
    return " ".join(value.split())


def _read_scales(document: YamlDocument) -> tuple[str, ...]:
    values = document.values
    if "scale" in values and "scales" in values:
        raise document.error("scale and scales are both set: keep one", "scale")
    key = "scale" if "scale" in values else "scales"
    value = values.get(key, list(SCALES))
    scales = value if isinstance(value, list) else [value]
    if not scales:
        raise document.error(f"{key} is empty: choose from {', '.join(SCALES)}", key)
    for i, scale in enumerate(scales):
        if not isinstance(scale, str):
            raise document.error(f"{key} is {shown(value)}: choose from {', '.join(SCALES)}", key)
        if scale not in SCALES:
            raise document.unknown_key(scale, list(SCALES), key, i, what="scale")
    return tuple(scales)


def _read_seeds(document: YamlDocument, key: str) -> tuple[int, ...]:
    if key not in document.values:
        return ()
    value = document.values[key]
    items = value if isinstance(value, list) else [value]
    try:
        if not items or any(isinstance(item, bool) or not isinstance(item, (int, str)) for item in items):
            raise UserError(f"{key} are {shown(value)}: give whole numbers such as [0, 1, 2]")
        return parse_seeds(",".join(str(item) for item in items))
    except UserError as error:
        raise document.error(str(error), key) from error


def _read_rates_from(document: YamlDocument) -> str | None:
    value = document.values.get("rates_from")
    if value is None:
        return None
    if not isinstance(value, str):
        raise document.error("rates_from takes the path of a study's results.json", "rates_from")
    return str(document.file.parent.absolute() / Path(value).expanduser())


def _read_axis(document: YamlDocument, names: SettingNames, value: Any, *path: str | int) -> tuple[str, ...]:
    if value is None:
        return ()
    words = value if isinstance(value, list) else [value]
    for name in words:
        if not isinstance(name, str):
            raise document.error(f"axis is {shown(value)}: name a setting, such as sharing", *path)
        if not axis_settings([name], names):
            raise document.unknown_key(name, sorted(names.short), *path, what="setting")
    return tuple(words)


def _read_comparisons(document: YamlDocument, names: SettingNames) -> Iterator[ComparisonSpec]:
    values = document.values.get("comparisons")
    if values is None:
        return
    if not isinstance(values, list):
        raise document.error("comparisons must be a list of pairs: - [mine, baseline]", "comparisons")
    for i, value in enumerate(values):
        where = ("comparisons", i)
        axis = None
        if isinstance(value, dict):
            for key in value:
                if key not in ("cells", "axis"):
                    raise document.unknown_key(key, ["cells", "axis"], *where, key)
            axis = _read_axis(document, names, value["axis"], *where, "axis") if "axis" in value else None
            value = value.get("cells")
        if not isinstance(value, list) or len(value) != 2 or not all(isinstance(name, str) for name in value):
            raise document.error("a comparison is a pair of cells: [mine, baseline]", *where)
        if value[0] == value[1]:
            raise document.error(f"{value[0]!r} is compared with itself: name two cells", *where)
        yield ComparisonSpec(value[0], value[1], axis, document.line(*where))


def _read_extra_cells(document: YamlDocument) -> dict[str, tuple[str, ...]]:
    values = document.values.get("extra_cells")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise document.error("extra_cells must be cells by scale, such as tiny: [softmax]", "extra_cells")
    extra = {}
    for scale, patterns in values.items():
        if scale not in SCALES:
            raise document.unknown_key(scale, list(SCALES), "extra_cells", scale, what="scale")
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise document.error(f"extra_cells.{scale} must be a list of cells or patterns", "extra_cells", scale)
        extra[scale] = tuple(patterns)
    return extra


def _read_evaluate(document: YamlDocument) -> str | None:
    value = document.values.get("evaluate")
    if value is None:
        return None
    tasks = value if isinstance(value, list) else [value]
    if not tasks or not all(isinstance(task, str) and task.strip(", ") for task in tasks):
        raise document.error(f"evaluate is {shown(value)}: name tasks, such as paper or [piqa, boolq]", "evaluate")
    return ",".join(tasks)
