"""Which cells a study compares: the pairs that its file lists, and every cell with its baseline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from decaystudy.runs.config import RunConfig
from decaystudy.study.definition.cells import Cell
from decaystudy.study.definition.schema import StudySpec, axis_settings
from decaystudy.study.definition.settings import Setting, flatten

_ABSENT = object()


@dataclass(frozen=True)
class CellPair:
    """Two cells to compare: the loss of ``a`` minus that of ``b``."""

    a: str
    b: str
    axis: tuple[str, ...]
    differing: tuple[str, ...]
    """The settings in which they differ."""


def find_pairs(spec: StudySpec, cells: Sequence[Cell]) -> list[CellPair]:
    """Every comparison of the study, once; those with the baseline first, being what a cell's row of the table shows.

    A pair that the file lists stands as it is listed.

    Raises:
        UserError: two cells differ in more than the axis, or nothing can be compared with the baseline.
    """
    paired = _with_baseline(spec, cells)
    return sorted(_once([*_listed(spec, cells), *paired]), key=lambda pair: pair not in paired)


def differing(spec: StudySpec, a: Cell, b: Cell, axis: tuple[str, ...], line: int) -> tuple[str, ...]:
    """The settings in which two cells differ.

    Raises:
        UserError: some are not on the axis; the error is at that line of the study file.
    """
    if not axis:
        raise spec.error("comparing needs an axis: add axis: with the setting that may differ", line)
    different = differences(a.config, b.config)
    beside = [path for path in different if not _on_axis(spec, path, axis)]
    if beside:
        also = ", ".join(sorted({".".join(path[:2]) for path in beside}))
        raise spec.error(
            f"{a.name!r} and {b.name!r} differ in {also} beside {' and '.join(axis)}: compare cells that differ on one "
            f"axis only, or say axis: [{', '.join([*axis, *sorted({path[1] for path in beside})])}] here",
            line,
        )
    return tuple(".".join(path) for path in different)


def differences(a: RunConfig, b: RunConfig) -> list[Setting]:
    """The settings in which two runs differ, among those that can change a result."""
    one, other = (flatten({**run.identity(), "code": {}}) for run in (a, b))  # code follows from settings
    either = {path: None for path, value in [*one.items(), *other.items()] if value != {}}
    return [path for path in either if one.get(path, _ABSENT) != other.get(path, _ABSENT)]


def _listed(spec: StudySpec, cells: Sequence[Cell]) -> list[CellPair]:
    by_name = {cell.name: cell for cell in cells}
    return [
        CellPair(c.a, c.b, axis, differing(spec, by_name[c.a], by_name[c.b], axis, c.line))
        for c in spec.comparisons
        for axis in (c.axis or spec.axis,)
    ]


def _with_baseline(spec: StudySpec, cells: Sequence[Cell]) -> list[CellPair]:
    """Every cell against the one that differs from it on the axis only and stands at the baseline there."""
    if "baseline" not in spec.document.values:
        return []
    baselines = _baseline_cells(spec, cells)
    pairs = []
    for cell in cells:
        if cell in baselines:
            continue
        for baseline in baselines:
            different = differences(cell.config, baseline.config)
            if all(_on_axis(spec, path, spec.axis) for path in different):
                pairs.append(CellPair(cell.name, baseline.name, spec.axis, tuple(".".join(p) for p in different)))
                break
    if not pairs:
        raise spec.document.error("no cell differs from the baseline on the axis only: correct one of them", "baseline")
    return pairs


def _baseline_cells(spec: StudySpec, cells: Sequence[Cell]) -> list[Cell]:
    wanted = spec.baseline
    named = [cell for cell in cells if cell.name == wanted]
    labels = {c.name: c.labels for c in spec.cells}
    labelled = [cell for cell in cells if wanted in labels[cell.name].values()]
    axis = axis_settings(spec.axis, spec.names)
    valued = [
        cell
        for cell in cells
        if any(wanted in (known.get(path, _ABSENT) for known in _settings(cell)) for path in axis)
        and (cell.config.model.mixer != "softmax")
    ]
    found = named or labelled or valued
    if not found:
        choices = sorted({*(cell.name for cell in cells), *(label for c in spec.cells for label in c.labels.values())})
        raise spec.document.unknown_key(wanted, choices, "baseline", what="baseline")
    return found


def _settings(cell: Cell) -> tuple[dict[Setting, Any], ...]:
    """A cell's settings as the file spells them, and as they are compared."""
    return cell.settings, flatten(cell.config.identity())


def _on_axis(spec: StudySpec, path: Setting, axis: Iterable[str]) -> bool:
    return any(path[: len(prefix)] == prefix for prefix in axis_settings(axis, spec.names))


def _once(pairs: Sequence[CellPair]) -> list[CellPair]:
    kept: dict[frozenset[str], CellPair] = {}
    for pair in pairs:
        kept.setdefault(frozenset((pair.a, pair.b)), pair)
    return list(kept.values())
