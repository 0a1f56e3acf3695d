"""How the comparisons of a study are told together: those that replace one level by another, and those with one
baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from decaystudy.study.analysis.results import AccuracyComparison, Comparison

Row = TypeVar("Row", Comparison, AccuracyComparison)


@dataclass(frozen=True)
class Named(Generic[Row]):
    """A comparison, and what it is called in its group."""

    name: str
    row: Row


@dataclass(frozen=True)
class Group(Generic[Row]):
    """Comparisons that one sentence tells."""

    baseline: str
    """A level, or a cell."""
    level: str
    """That takes the baseline's place; empty where the baseline is a cell, and names are those of cells."""
    rows: tuple[Named[Row], ...]


def groups(rows: Sequence[Row], axis: Sequence[str]) -> list[Group[Row]]:
    """Comparisons by level and baseline where names tell that several replace the same level, else by baseline.

    ``gla-shared − gla-independent`` and ``hgrn2-shared − hgrn2-independent`` are "shared in place of independent", for
    gla and hgrn2; ``gla − mamba2`` and ``hgrn2 − mamba2`` are gla and hgrn2 beside mamba2. Each comparison stands in
    the larger of the groups that it could be in.

    Args:
        axis: settings that differ; a level is called by its setting too where the names of cells do.
    """
    left, found = list(rows), []
    while left:
        candidates = _candidates(left, axis)
        largest = max(candidates, key=lambda group: (len(group.rows), bool(group.level)))
        found.append(largest)
        taken = {id(one.row) for one in largest.rows}
        left = [row for row in left if id(row) not in taken]
    return sorted(found, key=lambda group: min(rows.index(one.row) for one in group.rows))


def _candidates(rows: Sequence[Row], axis: Sequence[str]) -> list[Group[Row]]:
    levels: dict[tuple[str, str], list[Named[Row]]] = {}
    baselines: dict[str, list[Named[Row]]] = {}
    for row in rows:
        stem, level, baseline = split_names(row.a, row.b, axis)
        if stem and level and baseline:
            levels.setdefault((level, baseline), []).append(Named(_word(stem), row))
        baselines.setdefault(row.b, []).append(Named(_word(row.a), row))
    found = [
        Group(_word(baseline), _word(level), tuple(own)) for (level, baseline), own in levels.items() if len(own) > 1
    ]
    return found + [Group(_word(baseline), "", tuple(own)) for baseline, own in baselines.items()]


def split_names(a: str, b: str, axis: Sequence[str] = ()) -> tuple[str, str, str]:
    """What the names of two cells have in common, and what each has alone."""
    one, other = a.split("-"), b.split("-")
    before = 0
    while before < min(len(one), len(other)) and one[before] == other[before]:
        before += 1
    settings = {name.rpartition(".")[2] for name in axis}
    before = next((i for i in range(before) if one[i] in settings), before)
    after = 0
    while after < min(len(one), len(other)) - before and one[-1 - after] == other[-1 - after]:
        after += 1
    stem = [*one[:before], *one[len(one) - after :]]
    return "-".join(stem), "-".join(one[before : len(one) - after]), "-".join(other[before : len(other) - after])


def _word(name: str) -> str:
    """A name as a sentence has it: one that reads as another word is quoted."""
    return f"'{name}'" if name in ("none", "all", "nothing") else name
