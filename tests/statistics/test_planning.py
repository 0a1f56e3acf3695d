"""What a study could resolve, before it runs."""

import math

import numpy as np
import pytest
from scipy import stats

from decaystudy.statistics import compare
from decaystudy.statistics.planning import Design, Goal, resolvable_difference, seeds_needed
from tests.statistics.samples import losses

SEVEN = Design([(f"cell{i}", "cell0") for i in range(1, 7)], cells=7, seed_sd=0.01)


def test_two_cells_are_a_t_test():
    design = Design([("a", "b")], cells=2, seed_sd=0.02)
    expected = (stats.t.ppf(0.975, 4) + stats.t.ppf(0.8, 4)) * 0.02 * math.sqrt(2 / 5)
    assert resolvable_difference(design, 5) == pytest.approx(expected)
    expected = (stats.t.ppf(0.975, 4) + stats.t.ppf(0.9, 4)) * 0.02 * math.sqrt(2 / 5)
    assert resolvable_difference(design, 5, Goal.EQUIVALENCE) == pytest.approx(expected)


def test_one_seed_resolves_nothing_and_two_need_five_cells():
    assert resolvable_difference(SEVEN, 1) is None
    assert math.isfinite(resolvable_difference(SEVEN, 2))
    assert resolvable_difference(Design([("a", "b")], cells=4, seed_sd=0.01), 2) == math.inf


def test_plans_agree_with_reports():
    reported = [
        np.mean([c.resolvable for c in compare(*losses(seed, seeds=3, seed_sd=0.01, noise=1e-4), "cell0")])
        for seed in range(60)
    ]
    assert np.mean(reported) == pytest.approx(resolvable_difference(SEVEN, 3), rel=0.1)


def test_the_fewest_seeds_for_a_margin():
    for goal in Goal:
        for margin in (0.05, 0.02, 0.008):
            seeds = seeds_needed(SEVEN, margin, goal)
            assert resolvable_difference(SEVEN, seeds, goal) <= margin
            fewer = resolvable_difference(SEVEN, seeds - 1, goal)
            assert fewer is None or fewer > margin


def test_documents_can_make_a_margin_impossible():
    design = Design(SEVEN.pairs, cells=7, seed_sd=0.01, document_error=0.02, documents=100)
    assert seeds_needed(design, 0.02) is None
    assert seeds_needed(design, 0.09) is not None
    assert resolvable_difference(design, 3) > resolvable_difference(SEVEN, 3)


def test_plans_that_mean_nothing_are_refused():
    for change, message in (
        ({"pairs": []}, "at least one pair"),
        ({"cells": 3}, "cells is 3, but the pairs name 7"),
        ({"seed_sd": 0.0}, "seed_sd is 0.0"),
        ({"level": 2.0}, "level is 2.0"),
        ({"document_error": -1.0}, "document_error is -1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            Design(**{"pairs": SEVEN.pairs, "cells": 7, "seed_sd": 0.01, **change})
    with pytest.raises(ValueError, match="margin is 0"):
        seeds_needed(SEVEN, 0)
