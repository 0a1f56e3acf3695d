"""Simulated studies for ``statistics.py``: which settings are tried, and how their losses are drawn."""

import math
from dataclasses import dataclass

import numpy as np

from decaystudy.statistics.simultaneous import Component, correlations

SHARED_SD = 0.03
DOCUMENT_SD = 0.05
RESIDUAL_SD = 0.05
LEVEL_SD = 0.5
KINDS = {
    "equal": {},
    "one 2×": {-1: 2},
    "one 4×": {-1: 4},
    "two 4×": {-1: 4, -2: 4},
    "baseline 2×": {0: 2},
    "baseline 4×": {0: 4},
}


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    what: str = "losses"
    seeds: int = 3
    documents: int = 128
    """Or questions."""
    sd: float = 0.01
    kind: str = "equal"
    draws: str = "normal"
    cells: int = 7
    pairs: bool = False
    """Whether cells are compared in pairs rather than with one baseline."""
    accuracy: float = 0.5

    def sds(self):
        """(cells,) standard deviation between seeds."""
        sds = np.full(self.cells, self.sd)
        for cell, factor in KINDS[self.kind].items():
            sds[cell] *= factor
        return sds

    def baselines(self):
        """{cell: its baseline}."""
        if self.pairs:
            return {cell + 1: cell for cell in range(0, self.cells, 2)}
        return {cell: 0 for cell in range(1, self.cells)}

    def contrasts(self):
        """(comparisons, cells)."""
        rows = np.zeros((len(self.baselines()), self.cells))
        for row, (cell, baseline) in zip(rows, self.baselines().items(), strict=True):
            row[cell], row[baseline] = 1, -1
        return rows


def noise(draw, shape, draws):
    """Numbers of variance 1: normal, or Student's t with 3 degrees of freedom."""
    return draw.standard_normal(shape) if draws == "normal" else draw.standard_t(3, shape) / math.sqrt(3)


def document_tokens(documents):
    """Lengths of documents: skewed, and the same in all studies of a setting."""
    return np.clip(np.exp(np.random.default_rng(5).normal(math.log(300), 0.8, documents)), 20, 2000).round()


def loss_study(draw, setting, tokens):
    """Summed nats (cells, seeds, documents) of one null study."""
    cells, seeds, documents = setting.cells, setting.seeds, setting.documents
    by_seed = setting.sds()[:, None] * noise(draw, (cells, seeds), setting.draws)
    by_seed += SHARED_SD * noise(draw, seeds, setting.draws)
    by_document = LEVEL_SD * draw.standard_normal(documents).clip(-4, 4)
    rest = RESIDUAL_SD * draw.standard_normal((cells, seeds, documents))
    rest += DOCUMENT_SD * draw.standard_normal((cells, 1, documents))
    # Student's t is now and then so far out that the loss would be negative.
    return np.maximum(4 + by_seed[:, :, None] + by_document + rest, 0) * tokens


def true_errors(setting, tokens):
    """Standard errors (comparisons,) of a study's differences, and their correlation."""
    concentration = (tokens**2).sum() / tokens.sum() ** 2
    of_documents = (DOCUMENT_SD**2 + RESIDUAL_SD**2 / setting.seeds) * concentration
    contrasts = setting.contrasts()
    covariance = (contrasts * (setting.sds() ** 2 / setting.seeds + of_documents)) @ contrasts.T
    correlation, _ = correlations([Component(covariance, math.inf)], len(contrasts))
    return np.sqrt(np.diag(covariance)), correlation


def settings(quick):
    """All rows; the fast subset has one of each sort."""
    if quick:
        yield Setting(seeds=3, documents=40, sd=0.01)
        yield Setting(seeds=3, documents=128, sd=0.03, kind="one 4×")
        yield Setting("one seed", seeds=1, documents=40)
        yield Setting("accuracies", seeds=3, documents=200, sd=0.1)
        yield Setting("λ", sd=0.1, cells=8)
        yield Setting("tuned rates", seeds=3, documents=40, sd=0.02)
        return
    for seeds in (2, 3, 5):
        for documents in (40, 128, 512):
            for sd in (0.001, 0.003, 0.01, 0.03):
                yield Setting(seeds=seeds, documents=documents, sd=sd)
        for sd in (0.001, 0.003, 0.01, 0.03):
            yield Setting(seeds=seeds, sd=sd, draws="t3")
        for kind in list(KINDS)[1:]:
            for documents, sd in ((40, 0.01), (128, 0.03), (512, 0.01)):
                yield Setting(seeds=seeds, documents=documents, sd=sd, kind=kind)
            yield Setting(seeds=seeds, sd=0.03, kind=kind, draws="t3")
        for cells, pairs in ((2, False), (3, False), (5, False), (10, False), (8, True)):
            yield Setting(seeds=seeds, sd=0.01, cells=cells, pairs=pairs)
        for questions, accuracy in ((50, 0.5), (200, 0.9), (1000, 0.5)):
            yield Setting("accuracies", seeds=seeds, documents=questions, sd=0.1, accuracy=accuracy)
        for draws in ("normal", "t3"):
            yield Setting("λ", seeds=seeds, sd=0.1, draws=draws, cells=8)
        yield Setting("λ", seeds=seeds, sd=0.1, cells=8, pairs=True)
    yield Setting("one seed", seeds=1, documents=40)
    yield Setting("one seed", seeds=1, documents=512)
    for documents, sd in ((40, 0.003), (512, 0.02)):
        yield Setting("tuned rates", documents=documents, sd=sd)
