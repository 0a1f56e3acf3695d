"""Values of a study's cells by seed, and effects between cells as one family."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from decaystudy.statistics.effects import Effect, Pair, Question, estimate_effects
from decaystudy.statistics.sample import Sample
from decaystudy.study.definition.claims.evidence import Unavailable as Unavailable

LEVEL = 0.95
"""Joint coverage of the intervals of a family."""

Floats = NDArray[np.float64]
BySeed = Mapping[str, Mapping[int, Floats]]
"""{cell: {seed: values}}."""


@dataclass(frozen=True)
class Measurement:
    """What was measured of cells that were asked the same: on the same documents, or the same questions."""

    values: BySeed
    read: Callable[[dict[str, Floats]], Sample]
    """From {cell: (seeds, ...)}."""
    pairs: tuple[Pair, ...] = ()
    """The effects that are asked for: (cell, baseline), or (cell, None) for the cell itself."""

    @cached_property
    def together(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """The cells that are analysed together, and their seeds."""
        return shared_seeds(self.values)

    @cached_property
    def sample(self) -> Sample | None:
        """Of the cells that are analysed together; None if there are none."""
        cells, seeds = self.together
        return self.read({cell: self._rows(cell, seeds) for cell in cells}) if cells else None

    def single(self, pair: Pair) -> Sample | None:
        """The first seed that both cells of a pair have; None if there is none."""
        cells = [cell for cell in pair if cell is not None]
        common = set.intersection(*(set(self.values[cell]) for cell in cells))
        return self.read({cell: self._rows(cell, (min(common),)) for cell in cells}) if common else None

    def dropped(self) -> dict[int, list[str]]:
        """By seed, the cells for want of which it doesn't count for the others."""
        cells, seeds = self.together
        present = {seed for cell in cells for seed in self.values[cell]}
        return {
            seed: [cell for cell in cells if seed not in self.values[cell]] for seed in sorted(present - set(seeds))
        }

    def _rows(self, cell: str, seeds: Sequence[int]) -> Floats:
        return np.stack([self.values[cell][seed] for seed in seeds])


def shared_seeds(found: Mapping[str, Collection[int]]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The cells that have at least two seeds in common, and the seeds that all of these have.

    A cell that would leave the others fewer than two seeds stays apart, those with the fewest seeds first.
    """
    order = sorted((name for name in found if len(found[name]) > 1), key=lambda name: (-len(found[name]), name))
    chosen: list[str] = []
    seeds: set[int] = set()
    for name in order:
        both = seeds & set(found[name]) if chosen else set(found[name])
        if len(both) > 1:
            chosen.append(name)
            seeds = both
    return tuple(name for name in found if name in chosen), tuple(sorted(seeds))


def family_of(measurements: Sequence[Measurement], level: float = LEVEL) -> list[dict[Pair, Effect]]:
    """The effects that each measurement asks for; their intervals hold together.

    A pair with one cell apart is of one seed and has no interval; a pair without a seed in common is missing.
    """
    questions, places = [], []
    for number, measurement in enumerate(measurements):
        together = measurement.together[0]
        judged = [pair for pair in measurement.pairs if all(cell in together for cell in pair if cell is not None)]
        if judged and measurement.sample is not None:
            questions.append(Question(measurement.sample, judged))
            places.append(number)
        for pair in measurement.pairs:
            sample = None if pair in judged else measurement.single(pair)
            if sample is not None:
                questions.append(Question(sample, [pair]))
                places.append(number)
    found: list[dict[Pair, Effect]] = [{} for _ in measurements]
    for number, question, rows in zip(places, questions, estimate_effects(questions, level=level), strict=True):
        found[number] |= dict(zip([tuple(pair) for pair in question.pairs], rows, strict=True))
    return found
