"""Differences in held-out loss between cells, as one family over seeds and documents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decaystudy.statistics.clusters import Clustered
from decaystudy.statistics.comparison import read_losses
from decaystudy.statistics.effects import Effect, Pair
from decaystudy.statistics.sample import Sample
from decaystudy.study.analysis.measurements import LEVEL, Floats, Measurement, Unavailable, family_of
from decaystudy.study.analysis.runs import Cells, left_out, reason, unfit
from decaystudy.study.execution.outcomes import DocumentLosses, Outcome

NATS = "nats per token"
OTHER_DATA = Unavailable("judged on other data")


@dataclass(frozen=True)
class Judged:
    """The runs of a cell whose losses count, and what they were judged on."""

    runs: Mapping[int, Outcome]
    """By seed."""
    documents: str
    """Hash of the held-out tokens and of where documents begin."""
    tokenizer: str | None
    text: tuple[Any, ...]
    """What fixes the held-out text before it is cut into tokens."""
    revision: str | None

    @property
    def losses(self) -> dict[int, DocumentLosses]:
        return {seed: outcome.documents for seed, outcome in self.runs.items() if outcome.documents is not None}


class Losses:
    """The held-out losses of a study's cells.

    Args:
        cells: the runs of each cell.
        pairs: (cell, baseline), all that the report prints: rows of its tables and claims. They are one family.
        level: with which its intervals hold together.
    """

    def __init__(self, cells: Cells, pairs: Sequence[tuple[str, str]], level: float = LEVEL) -> None:
        self.missing: dict[str, Unavailable] = {}
        """Cells that are not compared."""
        self.cells: dict[str, Judged] = {}
        for name, outcomes in cells.items():
            found = _judged(outcomes)
            if isinstance(found, Unavailable):
                self.missing[name] = found
            else:
                self.cells[name] = found
        self.by_documents = self._by_documents()
        """The losses of cells, by the documents that they were judged on."""
        self.measurements = self._measurements(list(dict.fromkeys(pairs)))
        self._effects: dict[Pair, Effect] = {}
        for found_effects in family_of(self.measurements, level):
            self._effects |= found_effects
        known = [effect.critical_value for effect in self._effects.values() if effect.critical_value is not None]
        self.critical = known[0] if known else 0.0
        """Critical value of the family; 0 where nothing has an interval."""
        alone = [replace(m, pairs=tuple((cell, None) for cell in m.values)) for m in self.by_documents.values()]
        self._own = {pair[0]: effect for found in family_of(alone, level) for pair, effect in found.items()}

    def difference(self, a: str, b: str) -> Effect | Unavailable:
        """Loss of ``a`` minus that of ``b``, a pair that was asked for."""
        why = reason(self.missing, (a, b))
        if why is not None:
            return why
        kind = self._kind(a, b)
        if isinstance(kind, Unavailable):
            return kind
        effect = self._effects.get((a, b))
        return Unavailable(f"no seed of {a} and {b} has finished in both") if effect is None else effect

    def loss(self, cell: str) -> Effect | Unavailable:
        """A cell's own loss. The intervals of all cells hold together, apart from those of differences."""
        return self.missing[cell] if cell in self.missing else self._own[cell]

    def bits_per_byte(self, a: str, b: str, difference: float) -> float | None:
        """A difference in nats per token of two cells on the same documents, in bits per byte."""
        one = next(iter(self.cells[a].losses.values()))
        sizes = float(one.bytes.sum())
        return difference * float(one.tokens.sum()) / (math.log(2) * sizes) if sizes > 0 else None

    def by_seed(self, a: str, b: str) -> dict[int, float]:
        """The difference of a pair that is compared under each seed that both have, in the unit of ``difference``."""
        in_nats = self.cells[a].documents == self.cells[b].documents
        one, other = ({seed: _loss(own, in_nats) for seed, own in self.cells[name].losses.items()} for name in (a, b))
        return {seed: one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())}

    def notes(self, cells: Cells) -> list[str]:
        """Sentences on seeds that don't count, and on cells that stay apart."""
        found = {}
        for group in self.by_documents.values():
            together, _ = group.together
            for seed, lacking in group.dropped().items():
                reasons = [unfit(o) for name in lacking for o in cells[name] if o.run.seed == seed]
                why = "; ".join(reason or "" for reason in reasons)
                found[f"Seed {seed} does not count, as not every cell has it: {why}."] = True
            if together:
                for name in [name for name in group.values if name not in together]:
                    found[f"{name} is compared under one seed only."] = True
        return list(found)

    def runs(self, *names: str) -> list[Outcome]:
        """The runs of these cells that count."""
        return [outcome for name in names for outcome in self.cells[name].runs.values()]

    def judged_runs(self, cell: str) -> list[Outcome]:
        """The runs that a cell's own loss is of."""
        own = self.by_documents[self.cells[cell].documents]
        together, seeds = own.together
        runs = self.cells[cell].runs
        return [runs[seed] for seed in (seeds if cell in together else (min(runs),))]

    def _kind(self, a: str, b: str) -> str | Unavailable:
        """The documents that a pair is compared on; empty for the text itself, across tokenizers."""
        one, other = self.cells[a], self.cells[b]
        if one.revision != other.revision:
            return Unavailable("trained on other data")
        if one.documents == other.documents:
            return one.documents
        return "" if one.tokenizer != other.tokenizer and one.text == other.text else OTHER_DATA

    def _by_documents(self) -> dict[str, Measurement]:
        groups: dict[str, dict[str, Judged]] = {}
        for name, cell in self.cells.items():
            groups.setdefault(cell.documents, {})[name] = cell
        return {documents: _same_documents(cells) for documents, cells in groups.items()}

    def _measurements(self, pairs: Sequence[tuple[str, str]]) -> list[Measurement]:
        asked: dict[str, list[Pair]] = {}
        for a, b in pairs:
            if a in self.cells and b in self.cells:
                kind = self._kind(a, b)
                if not isinstance(kind, Unavailable):
                    asked.setdefault(kind, []).append((a, b))
        groups = dict(self.by_documents)
        if "" in asked:
            groups[""] = _same_text({name: self.cells[name] for pair in asked[""] for name in pair})
        return [replace(groups[kind], pairs=tuple(own)) for kind, own in asked.items()]


def _judged(outcomes: Sequence[Outcome]) -> Judged | Unavailable:
    why = left_out(outcomes)
    if why is not None:
        return why
    runs = {outcome.run.seed: outcome for outcome in outcomes if unfit(outcome) is None}
    facts = [outcome.result.data if outcome.result else {} for outcome in runs.values()]
    first = facts[0]
    if "validation_digest" not in first:
        return Unavailable(f"{next(iter(runs.values())).run.name} doesn't say what it was judged on; train it again")
    pinned = ("validation_digest", "tokenizer_digest", "revision")
    if any(one.get(key) != first.get(key) for one in facts for key in pinned):
        return OTHER_DATA
    shares = next(iter(runs.values())).run.facts.judged_shares
    text = (first.get("source"), first.get("revision"), *shares)
    return Judged(runs, first["validation_digest"], first.get("tokenizer_digest"), text, first.get("revision"))


def _loss(own: DocumentLosses, in_nats: bool) -> float:
    """A run's loss in nats per token, or in bits per byte."""
    if in_nats:
        return float(own.nll.sum() / own.tokens.sum())
    return float(own.nll[own.bytes > 0].sum() / (math.log(2) * own.bytes.sum()))


def _same_documents(cells: Mapping[str, Judged]) -> Measurement:
    """Losses in nats per token of cells on the same documents."""
    tokens = next(iter(next(iter(cells.values())).losses.values())).tokens
    values = {name: {seed: one.nll for seed, one in cell.losses.items()} for name, cell in cells.items()}
    return Measurement(values, lambda arrays: read_losses(arrays, tokens))


def _same_text(cells: Mapping[str, Judged]) -> Measurement:
    """Losses in bits per byte of cells that cut the same text into tokens differently.

    Documents can't be paired: each tokenizer's share of the text ends elsewhere. So those of one tokenizer count as
    independent of those of another, which makes no interval too short.
    """
    sizes = {name: next(iter(cell.losses.values())).bytes for name, cell in cells.items()}
    values = {
        name: {seed: one.nll[sizes[name] > 0] for seed, one in cell.losses.items()} for name, cell in cells.items()
    }

    def read(arrays: dict[str, Floats]) -> Sample:
        groups: dict[str, dict[str, Floats]] = {}
        for name, array in arrays.items():
            groups.setdefault(cells[name].documents, {})[name] = array
        samples = []
        for own in groups.values():
            weights = sizes[next(iter(own))]
            samples.append(read_losses(own, None, bytes=weights[weights > 0]))
        return _side_by_side(samples)

    return Measurement(values, read)


def _side_by_side(samples: Sequence[Sample]) -> Sample:
    """Samples of different documents as one, whose documents are independent."""
    first = samples[0]
    if len(samples) == 1:
        return first
    cells = [(sample.first[i], sample.cells[i], sample.rows[i]) for sample in samples for i in range(len(sample.cells))]
    cells.sort(key=lambda cell: (cell[0], cell[1]))
    names = [name for _, name, _ in cells]
    seeds = min(sample.seeds for sample in samples)
    data = None
    if all(sample.data is not None for sample in samples):
        counts = [sample.clusters or 0 for sample in samples]
        means = np.zeros((len(names), seeds))
        influence = np.zeros((len(names), seeds, sum(counts)))
        start = 0
        for sample, count in zip(samples, counts, strict=True):
            assert sample.data is not None
            for row, place in enumerate(sample.together):
                where = names.index(sample.cells[place])
                means[where] = sample.data.means[row]
                influence[where, :, start : start + count] = sample.data.influence[row]
            start += count
        data = Clustered(means, influence, min(sample.data.degrees_of_freedom for sample in samples if sample.data))
    return Sample(
        tuple(names),
        tuple(rows for _, _, rows in cells),
        np.array([value for value, _, _ in cells]),
        tuple(range(len(names))) if data is not None else (),
        data,
        min(sample.clusters or 0 for sample in samples),
        first.unit,
        varying=None if data is None else np.ones(len(names), dtype=bool),
    )
