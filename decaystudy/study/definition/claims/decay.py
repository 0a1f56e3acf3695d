"""``decay``: a statement about λ by layer, of one cell, or of one beside another.

Of one beside another it is about log half-lives: +0.69 is twice as long.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from decaystudy.statistics.claims import Bound, ClaimVerdict
from decaystudy.statistics.effects import Pair
from decaystudy.statistics.half_life import DecayEffect, decay_at, log_half_life
from decaystudy.study.definition.claims.base import Claim, cells_of, finite, read_mapping
from decaystudy.study.definition.claims.bounds import Bounds
from decaystudy.study.definition.claims.evidence import Evidence, Unavailable
from decaystudy.study.definition.claims.layers import (
    BETWEEN_LAYERS,
    COUNT,
    LAYERS,
    PICKED,
    STATISTICS,
    DecayAsked,
    DecayStatistic,
)
from decaystudy.study.definition.claims.margins import DECAY, HALF_LIFE
from decaystudy.study.definition.claims.margins import LAYERS as LAYER_COUNT
from decaystudy.study.definition.claims.result import ClaimPart
from decaystudy.yaml_document import YamlDocument


@dataclass(frozen=True, kw_only=True)
class Decay(Claim):
    """A statistic of λ keeps to the bounds in the layers that it names."""

    kind = "decay"
    cell: str = ""
    minus: str | None = None
    statistic: str = "median"
    layers: str = "mean"

    @classmethod
    def read(cls, document: YamlDocument, value: Any, *where: str | int) -> dict[str, Any]:
        """``{cell: a, minus: b, statistic: mean, layers: every}``."""
        example = "{cell: a, layers: every} and perhaps minus: b and statistic: mean"
        read_mapping(document, value, ("cell", "minus", "statistic", "layers"), example, *where)
        cell, minus = value.get("cell"), value.get("minus")
        if not isinstance(cell, str) or not (minus is None or isinstance(minus, str)):
            raise document.error("decay needs the name of its cell: {cell: mamba2, layers: every}", *where)
        statistic, layers = value.get("statistic", "median"), value.get("layers", "mean")
        if statistic not in STATISTICS:
            raise document.unknown_key(statistic, list(STATISTICS), *where, "statistic", what="statistic")
        if isinstance(layers, bool) or not (
            isinstance(layers, int) or layers in LAYERS or COUNT.fullmatch(str(layers))
        ):
            choices = [*LAYERS, "count above 0.8", "a layer's number"]
            raise document.unknown_key(layers, choices, *where, "layers", what="choice of layers")
        return {"cell": cell, "minus": minus, "statistic": statistic, "layers": str(layers)}

    @property
    def unit(self) -> str | None:
        if COUNT.fullmatch(self.layers):
            return LAYER_COUNT
        return DECAY if self.minus is None and self.layers not in BETWEEN_LAYERS else HALF_LIFE

    def named_cells(self) -> set[str]:
        """The cell, and the one beside it."""
        return cells_of([self.pair])

    @property
    def pair(self) -> Pair:
        return self.cell, self.minus

    def complaint(self, layers: int) -> str | None:
        """A layer's number must be that of one."""
        if self.layers.lstrip("-").isdigit() and not -layers <= int(self.layers) < layers:
            return f"refers to layer {self.layers} of {layers}: name another"
        return None

    def decays(self) -> tuple[DecayAsked, ...]:
        """One statistic, or two for "every layer between"."""
        return tuple(asked for asked, _ in self._asked())

    def _asked(self) -> list[tuple[DecayAsked, Bounds]]:
        """The statistics, each with the bounds that it must keep to."""
        bounds, every = self.bounds, self.layers == "every"
        ends = [bounds]
        if every and not bounds.outside and math.isfinite(bounds.low) and math.isfinite(bounds.high):
            # Each end has the layer nearest to breaking it.
            ends = [Bounds(low=bounds.low), Bounds(high=bounds.high)]
        return [(DecayAsked(self._statistic(one), self.pair), one) for one in ends]

    def _statistic(self, bounds: Bounds) -> DecayStatistic:
        if self.layers not in PICKED:
            return DecayStatistic(self.statistic, self.layers)
        every = self.layers == "every"
        if math.isfinite(bounds.low) and math.isfinite(bounds.high):
            middle = (self._scaled(bounds.low) + self._scaled(bounds.high)) / 2
            pick = "nearest" if every == bounds.outside else "farthest"
            return DecayStatistic(self.statistic, self.layers, pick, middle)
        return DecayStatistic(
            self.statistic, self.layers, "least" if every == math.isfinite(bounds.low) else "greatest"
        )

    def _scaled(self, bound: float) -> float:
        """A bound on the scale of the effect: a λ as its log half-life."""
        return float(log_half_life(bound)) if self.unit == DECAY and math.isfinite(bound) else bound

    def parts(self, evidence: Evidence) -> list[ClaimPart]:
        """One, or two for "every layer between"."""
        about = f"{self.statistic} λ, layers: {self.layers}, of {' minus '.join(filter(None, self.pair))}"
        about += f" ({HALF_LIFE})" if self.unit == HALF_LIFE else ""
        shown = _decay_of if self.unit == DECAY else float
        found = []
        for asked, bounds in self._asked():
            scaled = Bound(self._scaled(bounds.low), self._scaled(bounds.high), between=not bounds.outside)
            part = decay_part(about, evidence.decay(asked), scaled, shown)
            found.append(
                dataclasses.replace(part, wanted=bounds.wanted, outside=bounds.outside, signed=self.minus is not None)
            )
        return found


def decay_part(
    about: str, effect: DecayEffect | Unavailable, bound: Bound, shown: Callable[[float], float] = float
) -> ClaimPart:
    """A part about λ.

    Args:
        bound: on the scale of the effect.
        shown: from that scale to the one that is shown.
    """
    wanted = (finite(bound.low), finite(bound.high))
    if isinstance(effect, Unavailable):
        return ClaimPart(about=about, verdict=ClaimVerdict.NOT_JUDGED, why=effect.why, wanted=wanted)
    end, found = effect.end, effect.judge(bound)
    low, high = finite(end.low), finite(end.high)
    return ClaimPart(
        about=about,
        verdict=found.verdict,
        why=found.reason or None,
        effect=shown(end.estimate),
        low=None if low is None else shown(low),
        high=None if high is None else shown(high),
        standard_error=end.standard_error if shown is float else None,
        seeds=end.seeds,
        wanted=wanted,
        outside=not bound.between,
    )


def _decay_of(value: float) -> float:
    return decay_at(value) if math.isfinite(value) else (1.0 if value > 0 else 0.0)
