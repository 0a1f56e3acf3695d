"""The cells of a study: a grid with exceptions, cells written out, and the reference."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from decaystudy.checks import shown
from decaystudy.runs.config import RunConfig
from decaystudy.study.definition.facts import RunFacts
from decaystudy.study.definition.settings import Setting, SettingNames, read_settings
from decaystudy.study.definition.tuning import plain_identity
from decaystudy.yaml_document import YamlDocument

MOST_CELLS = 5000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")


@dataclass(frozen=True)
class CellSpec:
    """One cell as the file has it, before a scale is chosen."""

    name: str
    settings: dict[Setting, Any]
    labels: dict[str, str]
    """Level of each axis of the grid; empty for a cell that is written out."""
    line: int
    reference: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell at one scale."""

    name: str
    settings: dict[Setting, Any]
    config: RunConfig
    """The cell's run at the study's first seed and the scale's (or the cell's own) learning rate."""
    line: int

    @property
    def facts(self) -> RunFacts:
        """What its settings come to."""
        return RunFacts.of(self.config)

    @property
    def identity(self) -> dict[str, Any]:
        """All settings that can change the results of its runs but the seed, as JSON has them."""
        return plain_identity(self.config)


def read_cells(document: YamlDocument, names: SettingNames) -> tuple[CellSpec, ...]:
    """The cells of a study file: those of its grid, those written out, and the reference.

    Raises:
        UserError: file, line and remedy.
    """
    values = document.values
    cells = [*_read_grid(document, names, values.get("grid")), *_read_written(document, names, values.get("cells"))]
    if not cells:
        raise document.error("a study needs cells: or grid: with at least one cell")
    reference = values.get("reference")
    if reference not in (None, "softmax"):
        raise document.error(f"reference is {shown(reference)}: the only reference is softmax", "reference")
    if reference:
        settings: dict[Setting, Any] = {("model", "mixer"): "softmax"}
        cells.append(CellSpec("softmax", settings, {}, document.line("reference"), reference=True))
    seen: dict[str, int] = {}
    for cell in cells:
        if not NAME.fullmatch(cell.name):
            raise document.error_at(cell.line, f"cell name {cell.name!r} must be letters, digits, and . _ + = -")
        if cell.name in seen:
            raise document.error_at(
                cell.line, f"two cells are named {cell.name!r} (line {seen[cell.name]}): rename one"
            )
        seen[cell.name] = cell.line
    return tuple(cells)


def _read_written(document: YamlDocument, names: SettingNames, values: Any) -> Iterator[CellSpec]:
    if values is None:
        return
    if not isinstance(values, list):
        raise document.error("cells must be a list, one cell per item: - {name: mine, decay: gla}", "cells")
    for i, value in enumerate(values):
        where = ("cells", i)
        if not isinstance(value, dict) or not isinstance(value.get("name"), (str, int)):
            raise document.error("a cell is a mapping with a name: - {name: mine, decay: gla}", *where)
        settings = read_settings(document, names, {key: item for key, item in value.items() if key != "name"}, where)
        yield CellSpec(str(value["name"]), settings, {}, document.line(*where))


def _read_grid(document: YamlDocument, names: SettingNames, values: Any) -> Iterator[CellSpec]:
    if values is None:
        return
    if not isinstance(values, dict):
        raise document.error("grid must be levels by setting, such as decay: [mamba2, gla]", "grid")
    axes = {
        name: list(_read_levels(document, names, name, levels)) for name, levels in values.items() if name != "except"
    }
    if not axes:
        raise document.error("grid has no settings: give levels, such as decay: [mamba2, gla]", "grid")
    count = math.prod(len(levels) for levels in axes.values())
    if count > MOST_CELLS:
        raise document.error(f"the grid has {count:,} cells: give fewer levels, for at most {MOST_CELLS:,}", "grid")
    exceptions = _read_exceptions(document, values.get("except"), axes)
    used = [0] * len(exceptions)
    for combination in itertools.product(*axes.values()):
        labels = {name: label for name, (label, _, _) in zip(axes, combination, strict=True)}
        hit = [i for i, exception in enumerate(exceptions) if all(labels[k] in v for k, v in exception.items())]
        for i in hit:
            used[i] += 1
        if hit:
            continue
        settings: dict[Setting, Any] = {}
        for name, (_, level, where) in zip(axes, combination, strict=True):
            for setting, value in level.items():
                if setting in settings:
                    raise document.error(
                        f"{'.'.join(setting)} is set by two axes of the grid: keep one", "grid", name, *where
                    )
                settings[setting] = value
        yield CellSpec("-".join(labels.values()), settings, labels, document.line("grid"))
    for i, count in enumerate(used):
        if not count:
            raise document.error("this exception excludes no cell: correct or remove it", "grid", "except", i)


def _read_levels(
    document: YamlDocument, names: SettingNames, name: str, levels: Any
) -> Iterator[tuple[str, dict[Setting, Any], tuple[str | int, ...]]]:
    """Label, settings and place of each level of one axis of the grid."""
    setting = names.find(name)
    items: list[tuple[str | None, Any, tuple[str | int, ...]]] = []
    if isinstance(levels, dict) and levels:
        items = [(label, level, (label,)) for label, level in levels.items()]
    elif isinstance(levels, list) and levels:
        for i, level in enumerate(levels):
            if isinstance(level, dict) and len(level) == 1:
                label, inner = next(iter(level.items()))
                items.append((label, inner, (i, label)))
            else:
                items.append((None, level, (i,)))
    else:
        what = f"is {shown(levels)}: give" if levels in ([], {}) else "must be"
        raise document.error(f"grid.{name} {what} a list of levels, or labels with their levels", "grid", name)
    seen: set[str] = set()
    for label, level, where in items:
        if isinstance(level, dict):
            settings = read_settings(document, names, level, ("grid", name, *where))
        elif setting is None:
            raise document.unknown_key(name, sorted(names.short), "grid", name, what="setting")
        else:
            settings = read_settings(document, names, {name: level}, ("grid", name, *where))
        if label is None:
            label = level if isinstance(level, str) else f"{name.rpartition('.')[2]}-{_plain(level)}"
        if label in seen:
            raise document.error(f"the level {label!r} stands here twice: keep one", "grid", name, *where)
        seen.add(label)
        yield str(label), settings, where


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _read_exceptions(
    document: YamlDocument, values: Any, axes: dict[str, list[tuple[str, dict[Setting, Any], Any]]]
) -> list[dict[str, set[str]]]:
    if values is None:
        return []
    if not isinstance(values, list):
        raise document.error("except must be a list: - {decay: tnl, position: tpe}", "grid", "except")
    exceptions = []
    for i, value in enumerate(values):
        where = ("grid", "except", i)
        if not isinstance(value, dict) or not value:
            raise document.error("an exception names levels of the grid: - {decay: tnl, position: tpe}", *where)
        exception = {}
        for name, wanted in value.items():
            if name not in axes:
                raise document.unknown_key(name, list(axes), *where, name, what="axis of the grid")
            labels = {label: label for label, _, _ in axes[name]}
            # A level may be named by its value, as a baseline may.
            values_of = {_plain(next(iter(s.values()))): label for label, s, _ in axes[name] if len(s) == 1}
            levels = wanted if isinstance(wanted, list) else [wanted]
            for level in levels:
                if str(level) not in labels and _plain(level) not in values_of:
                    raise document.unknown_key(level, list(labels), *where, name, what="level")
            exception[name] = {labels.get(str(level)) or values_of[_plain(level)] for level in levels}
        exceptions.append(exception)
    return exceptions
