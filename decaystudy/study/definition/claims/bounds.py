"""Where the effect of a claim must lie, as a study file writes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decaystudy.checks import shown
from decaystudy.statistics.claims import Bound
from decaystudy.statistics.half_life import decay_at, log_half_life
from decaystudy.statistics.planning import Goal
from decaystudy.study.definition.claims.margins import DECAY, MARGINS, NEAR, describe
from decaystudy.yaml_document import YamlDocument

BOUNDS = ("above", "below", "within", "between", "outside", "near")


@dataclass(frozen=True)
class Bounds:
    """Two ends between which the effect must lie."""

    low: float = -math.inf
    high: float = math.inf
    outside: bool = False
    """Whether the effect must lie outside these ends instead."""

    @property
    def bound(self) -> Bound:
        return Bound(self.low, self.high, between=not self.outside)

    @property
    def wanted(self) -> tuple[float | None, float | None]:
        """The ends; None where there is none."""
        low, high = (end if math.isfinite(end) else None for end in (self.low, self.high))
        return low, high

    @property
    def equality(self) -> bool:
        """Whether the claim is that there is no effect to speak of."""
        return self.low == -self.high and not self.outside

    def margins(self) -> list[tuple[float, Goal]]:
        """The ends that are differences, and whether they ask for equality or for more."""
        goal = Goal.EQUIVALENCE if self.equality else Goal.DIFFERENCE
        return [(abs(end), goal) for end in (self.low, self.high) if math.isfinite(end) and end != 0]

    def text(self, unit: str) -> str:
        """``above 0.02 (matters)``."""
        low, high = (describe(end, unit) for end in (self.low, self.high))
        if self.low == -self.high:
            return f"{'outside' if self.outside else 'within'} ±{high}"
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f"{'outside' if self.outside else 'between'} {low} and {high}"
        return f"above {low}" if math.isfinite(self.low) else f"below {high}"


NO_BOUNDS = Bounds()


def near(decay: float) -> Bounds:
    """Near a λ: less than a factor from its half-life."""
    middle = float(log_half_life(decay))
    return Bounds(decay_at(middle - math.log(NEAR)), decay_at(middle + math.log(NEAR)))


def read_bounds(document: YamlDocument, value: Mapping[str, Any], unit: str, *where: str | int) -> Bounds:
    """The bounds of a claim.

    Args:
        value: the claim.
        unit: of its effect, which a margin with a name must have too.

    Raises:
        UserError: there is none, or more than one, or it makes no sense.
    """
    given = [bound for bound in BOUNDS if bound in value]
    if len(given) != 1:
        raise document.error("a claim needs exactly one of above, below, within, outside, between and near", *where)
    name = given[0]
    written = value[name]
    if name == "between":
        ends = [_number(document, end, unit, *where, name) for end in written] if isinstance(written, list) else []
        if len(ends) != 2 or not ends[0] < ends[1]:
            raise document.error("between takes two numbers, the smaller first: [0.7, 0.9]", *where, name)
        return _checked(document, Bounds(ends[0], ends[1]), unit, *where)
    if isinstance(written, list):
        raise document.error(f"{name} takes one number", *where, name)
    number = _number(document, written, unit, *where, name)
    if name == "near":
        if unit != DECAY or not 0 < number < 1:
            raise document.error("near takes the λ of one cell, between 0 and 1: near: 0.8", *where, name)
        return near(number)
    if name in ("within", "outside"):
        if not number > 0:
            raise document.error(f"{name} takes a margin above 0", *where, name)
        return _checked(document, Bounds(-number, number, outside=name == "outside"), unit, *where)
    return _checked(document, Bounds(low=number) if name == "above" else Bounds(high=number), unit, *where)


def refuse_bounds(document: YamlDocument, value: Mapping[str, Any], *where: str | int) -> None:
    """Refuse bounds of a claim that takes none."""
    for bound in BOUNDS:
        if bound in value:
            raise document.error(f"{bound} has no meaning here: it goes with difference and decay", *where, bound)


def _number(document: YamlDocument, written: Any, unit: str, *where: str | int) -> float:
    if isinstance(written, str):
        name = written.removeprefix("-")
        if name not in MARGINS:
            known = ", ".join(MARGINS)
            raise document.error(f"{where[-1]} is {shown(written)}: give a number, or a margin of {known}", *where)
        margin = MARGINS[name]
        if margin.unit != unit:
            raise document.error(f"{name} is a margin in {margin.unit}, and this claim is about {unit}", *where)
        return -margin.value if written.startswith("-") else margin.value
    if isinstance(written, bool) or not isinstance(written, (int, float)) or not math.isfinite(written):
        raise document.error(f"{where[-1]} is {shown(written)}: give a number", *where)
    return float(written)


def _checked(document: YamlDocument, bounds: Bounds, unit: str, *where: str | int) -> Bounds:
    if unit == DECAY and not all(0 <= end <= 1 for end in bounds.wanted if end is not None):
        raise document.error("a λ is bounded by numbers from 0 to 1: above: 0.6", *where)
    return bounds
