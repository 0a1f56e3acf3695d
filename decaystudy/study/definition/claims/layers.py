"""Statistics of λ over the layers of a model."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from decaystudy.runs.result import LayerDecay
from decaystudy.statistics.effects import Pair
from decaystudy.statistics.half_life import log_half_life

STATISTICS = ("median", "mean", "q25", "q75")
LAYERS = ("every", "some", "mean", "first", "last", "early", "late", "late-minus-early", "spread")
COUNT = re.compile(r"count (above|below) ([0-9.]+)")
PICKED = ("every", "some")
"""Choices of layers that come down to the one layer that decides."""
BETWEEN_LAYERS = ("late-minus-early", "spread")
"""Choices of layers that are about differences between them."""


@dataclass(frozen=True)
class DecayStatistic:
    """One number from a run's λ by layer: of log half-lives, unless it counts layers."""

    statistic: str
    layers: str
    pick: str = ""
    """Which layer decides on ``every`` and ``some``: the least, the greatest, or that nearest to or farthest from
    ``middle``."""
    middle: float = 0.0

    @property
    def count(self) -> bool:
        return COUNT.fullmatch(self.layers) is not None

    def by_layer(self, decay: Sequence[LayerDecay]) -> list[float]:
        """The value of each layer."""
        values = [float(getattr(layer, self.statistic)) for layer in decay]
        return values if self.count else [float(x) for x in log_half_life(values)]

    def of(self, values: Sequence[float]) -> float:
        """The statistic of the layers' values."""
        third = max(1, round(len(values) / 3))
        count = COUNT.fullmatch(self.layers)
        if count:
            limit = float(count[2])
            return float(sum(v > limit if count[1] == "above" else v < limit for v in values))
        if self.layers in PICKED:
            return self._picked(values)
        early, late = math.fsum(values[:third]) / third, math.fsum(values[-third:]) / third
        known = {
            "mean": math.fsum(values) / len(values),
            "first": values[0],
            "last": values[-1],
            "early": early,
            "late": late,
            "late-minus-early": late - early,
            "spread": max(values) - min(values),
        }
        return known[self.layers] if self.layers in known else values[int(self.layers)]

    def _picked(self, values: Sequence[float]) -> float:
        if self.pick in ("least", "greatest"):
            return min(values) if self.pick == "least" else max(values)
        choose = min if self.pick == "nearest" else max
        return choose(values, key=lambda value: abs(value - self.middle))


@dataclass(frozen=True)
class DecayAsked:
    """A statistic of λ of a cell, or of one cell beside another."""

    measure: DecayStatistic
    pair: Pair
    """(cell, baseline), or (cell, None)."""
