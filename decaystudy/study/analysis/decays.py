"""What became of λ in training, as one family over seeds, on the logarithm of the half-life."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from decaystudy.runs.result import LayerDecay
from decaystudy.statistics.claims import Bound
from decaystudy.statistics.effects import Pair
from decaystudy.statistics.half_life import DecayEffect, DecayQuestion, decay_at, decay_effects, log_half_life
from decaystudy.study.analysis.judgement import finite
from decaystudy.study.analysis.measurements import LEVEL, Unavailable, shared_seeds
from decaystudy.study.analysis.results import Family
from decaystudy.study.analysis.runs import Cells, unfit, withheld
from decaystudy.study.definition.claims import Claim, layer_statistic
from decaystudy.study.execution.outcomes import Outcome

UNIT = "log half-life"
DIFFERENT = " − "
"""Between the names of two cells whose layers are compared one by one."""


@dataclass(frozen=True)
class DecayPart:
    """One number that a claim about λ is about."""

    about: str
    pair: Pair
    bound: Bound
    """On the scale of the effect."""
    wanted: tuple[float, float]
    """The same on the scale that is shown."""
    effect: DecayEffect | Unavailable
    shown: Callable[[float], float] = float
    """From the scale of the effect to the one that is shown."""


@dataclass
class _Statistic:
    """One statistic of λ of all cells, and what is asked about it."""

    layers: str
    statistic: str
    low: float
    pairs: list[Pair] = field(default_factory=list)

    @property
    def count(self) -> bool:
        return self.layers.startswith("count")

    def of(self, decay: Sequence[LayerDecay]) -> float:
        """The statistic of one run; of log half-lives, unless it counts layers."""
        return layer_statistic(self.by_layer(decay), self.layers, self.low)

    def by_layer(self, decay: Sequence[LayerDecay]) -> list[float]:
        """The value of each layer."""
        values = [float(getattr(layer, self.statistic)) for layer in decay]
        return values if self.count else [float(x) for x in log_half_life(values)]


class Decays:
    """The decays of a study's cells.

    Args:
        cells: the runs of each cell.
        claims: those about λ, whose effects are one family.
    """

    def __init__(self, cells: Cells, claims: Sequence[Claim]) -> None:
        self._missing = {name: why for name in cells if (why := _no_decay(cells[name])) is not None}
        self._runs = {
            name: {o.run.seed: o for o in cells[name] if _recorded(o)} for name in cells if name not in self._missing
        }
        self._seeds = shared_seeds(self._runs)
        self._statistics: dict[tuple[str, str, float], _Statistic] = {}
        for claim in claims:
            for low, _ in _ends(claim):
                one = self._statistic(claim, low)
                pair = _pair(claim)
                if pair not in one.pairs and not any(cell in self._missing for cell in claim.cells):
                    one.pairs.append(pair)
        self._effects = self._judge()

    def parts(self, claim: Claim) -> list[DecayPart]:
        """The numbers that a claim is about, with what it wants of them."""
        found = []
        for low, high in _ends(claim):
            one, pair = self._statistic(claim, low), _pair(claim)
            why = next((self._missing[cell] for cell in claim.cells if cell in self._missing), None)
            effect: DecayEffect | Unavailable = Unavailable(why or "no seed of its cells has finished in both")
            if why is None:
                effect = self._effects.get((id(one), pair), effect)
            level = not one.count and len(claim.cells) == 1 and claim.layers != "late-minus-early"
            found.append(
                DecayPart(
                    about=f"{claim.statistic} λ, layers: {claim.layers}, of {' minus '.join(claim.cells)}"
                    + ("" if one.count or level else f" ({UNIT})"),
                    pair=pair,
                    bound=Bound(_scaled(low, level), _scaled(high, level), between=not claim.outside),
                    wanted=(low, high),
                    effect=effect,
                    shown=_decay_of if level else float,
                )
            )
        return found

    def family(self) -> Family | None:
        """What a report says of them; None where nothing was asked."""
        effects = list(self._effects.values())
        if not effects:
            return None
        told = [one.end for one in effects if one.end.critical_value is not None]
        return Family(
            unit=UNIT,
            level=LEVEL,
            effects=len(effects),
            seeds=self._seeds[1] if told else (),
            documents=None,
            critical=told[0].critical_value if told else None,
            resolvable=None,
            margin=None,
            seeds_for_margin=None,
        )

    def _statistic(self, claim: Claim, low: float) -> _Statistic:
        # The lower bound matters only where it says which layer comes nearest to breaking it.
        picky = claim.layers in ("every", "some")
        key = (claim.statistic, claim.layers, -math.inf if not picky or low == -math.inf else 0.0)
        return self._statistics.setdefault(key, _Statistic(claim.layers, claim.statistic, key[2]))

    def _judge(self) -> dict[tuple[int, Pair], DecayEffect]:
        questions, places = [], []
        for one in self._statistics.values():
            for pair in one.pairs:
                question = self._question(one, pair)
                if question is not None:
                    questions.append(question)
                    places.append((id(one), pair))
        found = decay_effects(questions) if questions else []
        return {place: effects[0] for place, effects in zip(places, found, strict=True)}

    def _question(self, one: _Statistic, pair: Pair) -> DecayQuestion | None:
        cells, seeds = self._seeds
        a, b = pair
        layerwise = b is not None and one.layers in ("every", "some")
        named = [name for name in pair if name is not None]
        if not all(name in cells for name in named):
            common = set.intersection(*(set(self._runs[name]) for name in named))
            if not common:
                return None
            cells, seeds = tuple(named), (min(common),)
        end: dict[Any, list[float]] = {}
        start: dict[Any, list[float]] = {}
        if layerwise:
            name = f"{a}{DIFFERENT}{b}"
            pairs = [(self._runs[a][seed], self._runs[b][seed]) for seed in seeds]
            end[name] = [_between(one, x.decay, y.decay) for x, y in pairs]
            start[name] = [_between(one, _start(x), _start(y)) for x, y in pairs]
            return DecayQuestion(end, start, [(name, None)])
        for name in cells:
            end[name] = [one.of(self._runs[name][seed].decay) for seed in seeds]
            start[name] = [one.of(_start(self._runs[name][seed])) for seed in seeds]
        constant = [name for name in cells if _constant([self._runs[name][seed] for seed in seeds])]
        return DecayQuestion(end, start, [pair], constant=constant, count=one.count)


def _between(one: _Statistic, a: Sequence[LayerDecay], b: Sequence[LayerDecay]) -> float:
    """The statistic over layers of the differences of two runs, layer by layer."""
    differences = [x - y for x, y in zip(one.by_layer(a), one.by_layer(b), strict=True)]
    return layer_statistic(differences, one.layers, one.low)


def _pair(claim: Claim) -> Pair:
    return claim.cells[0], claim.cells[1] if len(claim.cells) > 1 else None


def _ends(claim: Claim) -> list[tuple[float, float]]:
    """The bounds of each number that a claim is about: "every layer between" has two, each with the layer nearest to
    one of the ends."""
    if claim.layers == "every" and math.isfinite(claim.low) and math.isfinite(claim.high):
        return [(claim.low, math.inf), (-math.inf, claim.high)]
    return [(claim.low, claim.high)]


def _no_decay(outcomes: Sequence[Outcome]) -> str | None:
    """Why nothing can be said about the λ of a cell; None where it can."""
    finished = [outcome for outcome in outcomes if outcome.finished]
    if not finished:
        return unfit(outcomes[0])
    why = withheld(outcomes)
    if why is not None:
        return why
    if not all(outcome.decay for outcome in finished):
        return f"{outcomes[0].run.cell} has no decay"
    return None if any(_recorded(outcome) for outcome in finished) else "no record of step 0"


def _recorded(outcome: Outcome) -> bool:
    return outcome.finished and bool(outcome.decay) and bool(_start(outcome))


def _start(outcome: Outcome) -> tuple[LayerDecay, ...]:
    return outcome.result.decay_start if outcome.result else ()


def _constant(outcomes: Sequence[Outcome]) -> bool:
    """Whether λ is set, not learned: then it is the same in all runs, and since step 0."""
    middle = [[layer.median for layer in decay] for o in outcomes for decay in (o.decay, _start(o))]
    return all(values == middle[0] for values in middle)


def _scaled(bound: float, level: bool) -> float:
    """A bound on the scale of the effect: a λ as its log half-life."""
    return float(log_half_life(bound)) if level and math.isfinite(bound) else bound


def _decay_of(value: float) -> float:
    return decay_at(value) if math.isfinite(value) else (1.0 if value > 0 else 0.0)


def mean_positions(cells: Cells, statistic: str) -> dict[Hashable, float]:
    """By cell with a λ, the mean over finished seeds of the median over layers of log half-lives."""
    found: dict[Hashable, float] = {}
    for name, outcomes in cells.items():
        known = [o for o in outcomes if o.finished and o.decay]
        medians = [sorted(float(x) for x in log_half_life([getattr(la, statistic) for la in o.decay])) for o in known]
        middles = [(m[len(m) // 2] + m[~(len(m) // 2)]) / 2 for m in medians]
        if middles:
            found[name] = math.fsum(middles) / len(middles)
    return found


def shown_interval(part: DecayPart) -> dict[str, Any]:
    """Effect and interval of a part as results.json has them."""
    if isinstance(part.effect, Unavailable):
        return {}
    end = part.effect.end
    low, high = finite(end.low), finite(end.high)
    return {
        "effect": part.shown(end.estimate),
        "low": None if low is None else part.shown(low),
        "high": None if high is None else part.shown(high),
        "standard_error": end.standard_error if part.shown is float else None,
        "seeds": end.seeds,
    }


def decay_groups(cells: Cells) -> dict[Hashable, Hashable]:
    """By cell, what it is a variant of: cells with the same formula are related, except where λ itself is set."""
    groups: dict[Hashable, Hashable] = {}
    for name, outcomes in cells.items():
        decay = outcomes[0].run.config.model.decay
        groups[name] = name if decay in ("constant", "none") else decay.split("-")[0]
    return groups
