"""Claims as data: what a study file may state, and how the words are read.

Five kinds:

ordering    loss rises along a list of cells
difference  loss of the first cell minus that of the second is above, below, within or outside a margin (nats per token)
decay       a statement about per-layer λ: of one cell, or of one beside another (log half-life of the first minus the
            second: +0.69 is twice as long)
optimum     over cells, the loss is lowest where the median λ is near a value
accuracy    the share of right answers of a cell on a task (or several, each), or what it has more than another cell
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from decaystudy.study.definition.document import YamlDocument

KINDS = ("ordering", "difference", "decay", "optimum", "accuracy")
STATISTICS = ("median", "mean", "q25", "q75")
LAYERS = ("every", "some", "mean", "first", "last", "early", "late", "late-minus-early")
_COUNT = re.compile(r"count (above|below) ([0-9.]+)")
_BOUNDS = ("above", "below", "within", "between", "outside")


@dataclass(frozen=True)
class Claim:
    """One claim of a study file."""

    id: str
    says: str
    """The words of those who claimed it."""
    kind: str
    line: int
    pairs: tuple[tuple[str, str], ...] = ()
    """Of a difference (each pair must keep to the bounds) or an ordering (each pair in a row)."""
    cells: tuple[str, ...] = ()
    """Of decay and accuracy (one, or one and what it is compared with) and optimum (empty: all)."""
    tasks: tuple[str, ...] = ()
    """Of accuracy: each must keep to the bounds; ``mean`` is the mean over all tasks."""
    axis: tuple[str, ...] | None = None
    """Settings in which the cells of a pair may differ; None for those of the study."""
    low: float = -math.inf
    high: float = math.inf
    """Between which the effect must lie for the claim to hold: nats per token, an accuracy, a λ, or, for one λ beside
    another, the logarithm of the ratio of half-lives."""
    outside: bool = False
    """Whether the effect must lie outside ``low`` and ``high`` instead."""
    statistic: str = "median"
    layers: str = "mean"
    at: float = 0.8
    """Of an optimum: the median λ that is said to be best."""

    @property
    def of_one_decay(self) -> bool:
        """Whether the claim is about a λ itself: not a count of layers, and not one λ beside another."""
        beside = len(self.cells) > 1 or self.layers == "late-minus-early" or _COUNT.fullmatch(self.layers)
        return self.kind == "decay" and not beside

    def named_cells(self) -> set[str]:
        """All cells that the claim refers to."""
        return {*self.cells, *(name for pair in self.pairs for name in pair)}


def read_claims(document: YamlDocument, read_axis: Callable[..., tuple[str, ...]]) -> tuple[Claim, ...]:
    """The claims of a study file.

    Raises:
        UserError: a claim makes no sense; file, line and remedy.
    """
    values = document.values.get("claims")
    if values is None:
        return ()
    if not isinstance(values, list):
        raise document.error("claims must be a list: - {id: better, says: …, difference: [a, b], below: 0}", "claims")
    claims: list[Claim] = []
    for i, value in enumerate(values):
        claim = _read_claim(document, value, i, read_axis)
        if claim.id in [other.id for other in claims]:
            raise document.error(f"two claims have the id {claim.id!r}: rename one", "claims", i)
        claims.append(claim)
    return tuple(claims)


def _read_claim(document: YamlDocument, value: Any, i: int, read_axis: Callable[..., tuple[str, ...]]) -> Claim:
    where = ("claims", i)
    if not isinstance(value, dict):
        raise document.error("a claim is a mapping with id, says and one of " + ", ".join(KINDS), *where)
    for key in value:
        if key not in ("id", "says", "axis", *KINDS, *_BOUNDS):
            raise document.unknown_key(key, ["id", "says", "axis", *KINDS, *_BOUNDS], *where, key)
    kinds = [kind for kind in KINDS if kind in value]
    if len(kinds) != 1:
        raise document.error("a claim has exactly one of " + ", ".join(KINDS), *where)
    for key in ("id", "says"):
        if not isinstance(value.get(key), str) or not value[key].strip():
            raise document.error(f"a claim needs {key}: add {key}: followed by text", *where)
    kind = kinds[0]
    common: dict[str, Any] = {
        "id": value["id"],
        "says": " ".join(value["says"].split()),
        "kind": kind,
        "line": document.line(*where),
        "axis": read_axis(value["axis"], *where, "axis") if "axis" in value else None,
    }
    if kind == "ordering":
        cells = _names(document, value[kind], 2, *where, kind)
        _no_bounds(document, value, where)
        return Claim(**common, pairs=tuple(zip(cells[1:], cells[:-1], strict=True)), low=0.0)
    if kind == "optimum":
        _no_bounds(document, value, where)
        return Claim(**common, **_read_optimum(document, value[kind], *where, kind))
    low, high, outside = _read_bounds(document, value, where)
    common["outside"] = outside
    if kind == "difference":
        pairs = value[kind]
        if isinstance(pairs, list) and pairs and not isinstance(pairs[0], list):
            pairs = [pairs]
        if not isinstance(pairs, list) or not pairs:
            raise document.error("difference takes a pair of cells, [a, b], or a list of pairs", *where, kind)
        read = [_names(document, pair, 2, *where, kind) for pair in pairs]
        if any(len(pair) != 2 or pair[0] == pair[1] for pair in read):
            raise document.error("difference takes pairs of two different cells: [a, b]", *where, kind)
        return Claim(**common, pairs=tuple((a, b) for a, b in read), low=low, high=high)
    read_parts = _read_accuracy if kind == "accuracy" else _read_decay
    claim = Claim(**common, **read_parts(document, value[kind], *where, kind), low=low, high=high)
    if claim.of_one_decay and not all(0 <= bound <= 1 for bound in (low, high) if math.isfinite(bound)):
        raise document.error("a λ is bounded by numbers from 0 to 1: above: 0.6", *where)
    return claim


def _read_decay(document: YamlDocument, value: Any, *where: str | int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise document.error("decay takes {cell: a, layers: every} and perhaps minus: b and statistic: mean", *where)
    for key in value:
        if key not in ("cell", "minus", "statistic", "layers"):
            raise document.unknown_key(key, ["cell", "minus", "statistic", "layers"], *where, key)
    cell, minus = value.get("cell"), value.get("minus")
    if not isinstance(cell, str) or not (minus is None or isinstance(minus, str)):
        raise document.error("decay needs the name of its cell: {cell: mamba2, layers: every}", *where)
    statistic, layers = value.get("statistic", "median"), value.get("layers", "mean")
    if statistic not in STATISTICS:
        raise document.unknown_key(statistic, list(STATISTICS), *where, "statistic", what="statistic")
    if isinstance(layers, bool) or not (isinstance(layers, int) or layers in LAYERS or _COUNT.fullmatch(str(layers))):
        choices = [*LAYERS, "count above 0.8", "a layer's number"]
        raise document.unknown_key(layers, choices, *where, "layers", what="choice of layers")
    return {"cells": (cell,) if minus is None else (cell, minus), "statistic": statistic, "layers": str(layers)}


def _read_accuracy(document: YamlDocument, value: Any, *where: str | int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise document.error("accuracy takes {cell: a, task: piqa} and perhaps minus: b", *where)
    for key in value:
        if key not in ("cell", "minus", "task"):
            raise document.unknown_key(key, ["cell", "minus", "task"], *where, key)
    cell, minus, task = value.get("cell"), value.get("minus"), value.get("task", "mean")
    tasks = task if isinstance(task, list) else [task]
    if not isinstance(cell, str) or not (minus is None or isinstance(minus, str)):
        raise document.error("accuracy needs the name of its cell: {cell: mamba2, task: piqa}", *where)
    if not tasks or not all(isinstance(name, str) and name for name in tasks):
        raise document.error(f"task is {task!r}: name a task such as piqa, several in a list, or mean", *where, "task")
    return {"cells": (cell,) if minus is None else (cell, minus), "tasks": tuple(tasks)}


def _read_optimum(document: YamlDocument, value: Any, *where: str | int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise document.error("optimum takes {at: 0.8} and perhaps cells: [a, b, c, d]", *where)
    for key in value:
        if key not in ("at", "cells", "statistic"):
            raise document.unknown_key(key, ["at", "cells", "statistic"], *where, key)
    at = value.get("at", 0.8)
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not 0 < at < 1:
        raise document.error(f"at is {at!r}: give a λ between 0 and 1", *where, "at")
    statistic = value.get("statistic", "median")
    if statistic not in STATISTICS:
        raise document.unknown_key(statistic, list(STATISTICS), *where, "statistic", what="statistic")
    cells = _names(document, value["cells"], 4, *where, "cells") if "cells" in value else ()
    return {"at": float(at), "cells": tuple(cells), "statistic": statistic}


def _read_bounds(
    document: YamlDocument, value: dict[str, Any], where: tuple[str | int, ...]
) -> tuple[float, float, bool]:
    """Two bounds, and whether the effect lies outside them."""
    given = [bound for bound in _BOUNDS if bound in value]
    if len(given) != 1:
        raise document.error("a claim needs exactly one of above, below, within, outside and between", *where)
    bound = value[given[0]]
    numbers = bound if isinstance(bound, list) else [bound]
    if not all(isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n) for n in numbers):
        raise document.error(f"{given[0]} is {bound!r}: give a number", *where, given[0])
    if given[0] == "between":
        if len(numbers) != 2 or not numbers[0] < numbers[1]:
            raise document.error("between takes two numbers, the smaller first: [0.7, 0.9]", *where, "between")
        return float(numbers[0]), float(numbers[1]), False
    if len(numbers) != 1 or isinstance(bound, list):
        raise document.error(f"{given[0]} takes one number", *where, given[0])
    if given[0] in ("within", "outside"):
        if not bound > 0:
            raise document.error(f"{given[0]} takes a margin above 0", *where, given[0])
        return -float(bound), float(bound), given[0] == "outside"
    return (float(bound), math.inf, False) if given[0] == "above" else (-math.inf, float(bound), False)


def _no_bounds(document: YamlDocument, value: dict[str, Any], where: tuple[str | int, ...]) -> None:
    for bound in _BOUNDS:
        if bound in value:
            raise document.error(f"{bound} has no meaning here: it goes with difference and decay", *where, bound)


def _names(document: YamlDocument, value: Any, least: int, *where: str | int) -> list[str]:
    if not isinstance(value, list) or len(value) < least or not all(isinstance(name, str) for name in value):
        raise document.error(f"{where[-1]} takes a list of at least {least} cells", *where)
    return value


def layer_statistic(values: list[float], layers: str, low: float) -> float:
    """One number from the per-layer values of λ, as ``layers`` says; ``low`` is the claim's lower bound.

    ``every`` is the layer nearest to breaking the bound, ``some`` the one nearest to keeping it.
    """
    lower_bound = low > -math.inf
    third = max(1, round(len(values) / 3))
    count = _COUNT.fullmatch(layers)
    if count:
        limit = float(count[2])
        return float(sum(v > limit if count[1] == "above" else v < limit for v in values))
    if layers == "every":
        return min(values) if lower_bound else max(values)
    if layers == "some":
        return max(values) if lower_bound else min(values)
    early, late = math.fsum(values[:third]) / third, math.fsum(values[-third:]) / third
    picks = {
        "mean": math.fsum(values) / len(values),
        "first": values[0],
        "last": values[-1],
        "early": early,
        "late": late,
        "late-minus-early": late - early,
    }
    return picks[layers] if layers in picks else values[int(layers)]
