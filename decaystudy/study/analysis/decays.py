"""What became of λ in training, as one family over seeds, on the logarithm of the half-life."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

from decaystudy.runs.result import LayerDecay
from decaystudy.statistics.half_life import DecayEffect, DecayQuestion, decay_effects, log_half_life
from decaystudy.study.analysis.measurements import LEVEL, Unavailable, shared_seeds
from decaystudy.study.analysis.results import Family
from decaystudy.study.analysis.runs import Cells, reason, unfit, withheld
from decaystudy.study.definition.claims.layers import PICKED, DecayAsked, DecayStatistic
from decaystudy.study.definition.claims.margins import HALF_LIFE
from decaystudy.study.execution.outcomes import Outcome

DIFFERENT = " − "
"""Between the names of two cells whose layers are compared one by one."""


class Decays:
    """The decays of a study's cells.

    Args:
        cells: the runs of each cell.
        asked: all that the report prints about them: its claims. They are one family.
        level: with which their intervals hold together.
    """

    def __init__(self, cells: Cells, asked: Sequence[DecayAsked], level: float = LEVEL) -> None:
        self._missing = {name: why for name in cells if (why := _no_decay(cells[name])) is not None}
        self._runs = {
            name: {o.run.seed: o for o in cells[name] if _recorded(o)} for name in cells if name not in self._missing
        }
        self._seeds = shared_seeds(self._runs)
        self._level = level
        self._effects = self._judge(list(dict.fromkeys(asked)))

    def effect(self, asked: DecayAsked) -> DecayEffect | Unavailable:
        """A statistic of λ that was asked for."""
        why = reason(self._missing, asked.pair)
        if why is not None:
            return why
        return self._effects.get(asked, Unavailable("no seed of its cells has finished in both"))

    def family(self) -> Family | None:
        """What a report says of them; None where nothing was asked."""
        effects = list(self._effects.values())
        if not effects:
            return None
        told = [one.end for one in effects if one.end.critical_value is not None]
        return Family(
            unit=HALF_LIFE,
            level=self._level,
            effects=len(effects),
            seeds=self._seeds[1] if told else (),
            documents=None,
            critical=told[0].critical_value if told else None,
            resolvable=None,
            margin=None,
            seeds_for_margin=None,
        )

    def _judge(self, asked: Sequence[DecayAsked]) -> dict[DecayAsked, DecayEffect]:
        found = {one: self._question(one) for one in asked if not any(cell in self._missing for cell in one.pair)}
        known = {one: question for one, question in found.items() if question is not None}
        effects = decay_effects(list(known.values()), level=self._level) if known else []
        return {one: own[0] for one, own in zip(known, effects, strict=True)}

    def _question(self, asked: DecayAsked) -> DecayQuestion | None:
        cells, seeds = self._seeds
        measure, (a, b) = asked.measure, asked.pair
        named = [name for name in asked.pair if name is not None]
        if not all(name in cells for name in named):
            common = set.intersection(*(set(self._runs[name]) for name in named))
            if not common:
                return None
            cells, seeds = tuple(named), (min(common),)
        end: dict[Any, list[float]] = {}
        start: dict[Any, list[float]] = {}
        if b is not None and measure.layers in PICKED:
            name = f"{a}{DIFFERENT}{b}"
            pairs = [(self._runs[a][seed], self._runs[b][seed]) for seed in seeds]
            end[name] = [_between(measure, x.decay, y.decay) for x, y in pairs]
            start[name] = [_between(measure, _start(x), _start(y)) for x, y in pairs]
            return DecayQuestion(end, start, [(name, None)])
        for name in cells:
            end[name] = [measure.of(measure.by_layer(self._runs[name][seed].decay)) for seed in seeds]
            start[name] = [measure.of(measure.by_layer(_start(self._runs[name][seed]))) for seed in seeds]
        constant = [name for name in cells if _constant([self._runs[name][seed] for seed in seeds])]
        return DecayQuestion(end, start, [asked.pair], constant=constant, count=measure.count)


def _between(measure: DecayStatistic, a: Sequence[LayerDecay], b: Sequence[LayerDecay]) -> float:
    """The statistic over layers of the differences of two runs, layer by layer."""
    return measure.of([x - y for x, y in zip(measure.by_layer(a), measure.by_layer(b), strict=True)])


def _no_decay(outcomes: Sequence[Outcome]) -> Unavailable | None:
    """Why nothing can be said about the λ of a cell; None where it can."""
    finished = [outcome for outcome in outcomes if outcome.finished]
    if not finished:
        return Unavailable(unfit(outcomes[0]) or "")
    why = withheld(outcomes)
    if why is not None:
        return why
    if not all(outcome.decay for outcome in finished):
        return Unavailable(f"{outcomes[0].run.cell} has no decay")
    return None if any(_recorded(outcome) for outcome in finished) else Unavailable("no record of step 0")


def _recorded(outcome: Outcome) -> bool:
    return outcome.finished and bool(outcome.decay) and bool(_start(outcome))


def _start(outcome: Outcome) -> tuple[LayerDecay, ...]:
    return outcome.result.decay_start if outcome.result else ()


def _constant(outcomes: Sequence[Outcome]) -> bool:
    """Whether λ is set, not learned: then it is the same in all runs, and since step 0."""
    middle = [[layer.median for layer in decay] for o in outcomes for decay in (o.decay, _start(o))]
    return all(values == middle[0] for values in middle)


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


def decay_groups(cells: Cells) -> dict[Hashable, Hashable]:
    """By cell, what it is a variant of: cells with the same formula are related, except where λ itself is set."""
    groups: dict[Hashable, Hashable] = {}
    for name, outcomes in cells.items():
        decay = outcomes[0].run.facts.decay
        groups[name] = name if decay in ("constant", "none") else decay.split("-")[0]
    return groups
