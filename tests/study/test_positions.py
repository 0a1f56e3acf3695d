"""Intervals of the loss by position: against the formula, and none where seeds can't give one."""

import math

import numpy as np
import pytest
from scipy.stats import t

from decaystudy.runs.evaluation import Evaluation, PositionLoss
from decaystudy.study.analysis.positions import position_rows

BINS = [(0, 15), (16, 31), (32, 63)]


def evaluation(losses: list[float], bins: list[tuple[int, int]] = BINS) -> Evaluation:
    found = tuple(PositionLoss(first, last, loss, 0.01, 8) for (first, last), loss in zip(bins, losses, strict=True))
    return Evaluation(weights="of-a-test", positions=found)


def test_an_interval_is_that_of_a_pooled_variance() -> None:
    """Three cells share one variance: residuals of seed + cell, (C − 1)(S − 1) degrees of freedom."""
    values = np.random.default_rng(0).normal(4.0, 0.05, (3, 4, 3)) + np.arange(4)[:, None]  # a seed shifts all cells
    rows = position_rows({f"c{i}": [evaluation(list(seed)) for seed in cell] for i, cell in enumerate(values)})
    for at in range(3):
        table = values[:, :, at]
        residuals = table - table.mean(0) - table.mean(1)[:, None] + table.mean()
        half = t.ppf(0.975, 6) * math.sqrt((residuals**2).sum() / 6 / 4)
        for i in range(3):
            got = rows[f"c{i}"][at]
            assert got.loss == pytest.approx(table[i].mean(), rel=1e-12)
            assert got.low == pytest.approx(table[i].mean() - half, rel=1e-9)
            assert got.high == pytest.approx(table[i].mean() + half, rel=1e-9)


@pytest.mark.parametrize("seeds", [(1, 1), (2, 3), (3,)])
def test_there_is_none_with_one_seed_one_cell_or_unlike_numbers_of_seeds(seeds: tuple[int, ...]) -> None:
    rows = position_rows({f"c{i}": [evaluation([4.0, 3.5, 3.0])] * n for i, n in enumerate(seeds)})
    assert all(at.low is None and at.high is None and at.loss > 0 for cell in rows.values() for at in cell)


def test_only_positions_that_every_seed_reached_are_means() -> None:
    rows = position_rows({"a": [evaluation([4.0, 3.5, 3.0]), evaluation([4.2, 3.7], BINS[:2])], "b": []})
    assert [(at.first, at.loss) for at in rows["a"]] == [(0, pytest.approx(4.1)), (16, pytest.approx(3.6))]
    assert rows["b"] == ()
