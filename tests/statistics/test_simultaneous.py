"""One critical value for a family, against exact ones."""

import math

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import ndtr

from decaystudy.statistics.simultaneous import Component, Estimates, critical_value, effective_df, family


def dunnett_coverage(q, comparisons, df, correlation=0.5):
    """P(max |t| ≤ q) by quadrature, for equally correlated contrasts."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    near, far = math.sqrt(correlation), math.sqrt(1 - correlation)

    def given(scale):
        inside = ndtr((q * scale + nodes * near) / far) - ndtr((-q * scale + nodes * near) / far)
        return float((weights / weights.sum()) @ inside**comparisons)

    if math.isinf(df):
        return given(1.0)
    density = stats.chi2(df).pdf
    return integrate.quad(lambda u: given(math.sqrt(u / df)) * density(u), 0, df * 12, limit=400)[0]


def equal(comparisons, correlation=0.5):
    return np.full((comparisons, comparisons), correlation) + (1 - correlation) * np.eye(comparisons)


@pytest.mark.parametrize("comparisons", [2, 6, 12])
@pytest.mark.parametrize("df", [3.0, 6.0, 12.0, 24.0, math.inf])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_a_shared_baseline_gives_dunnetts_value(comparisons, df, level):
    q = critical_value(equal(comparisons), np.ones((comparisons, 1)), [df], level)
    assert dunnett_coverage(q, comparisons, df) == pytest.approx(level, abs=0.002)


def test_dunnetts_table():
    """Two-sided 5 % points for six comparisons: 2.97 at 12 degrees of freedom, 2.57 at infinity (Dunnett 1964)."""
    assert critical_value(equal(6), np.ones((6, 1)), [12.0], 0.95) == pytest.approx(2.97, abs=0.02)
    assert critical_value(equal(6), np.ones((6, 1)), [math.inf], 0.95) == pytest.approx(2.57, abs=0.01)


@pytest.mark.parametrize("df", [1.0, 2.0, 7.5, 60.0])
def test_a_single_contrast_has_students_value(df):
    assert critical_value(np.eye(1), np.ones((1, 1)), [df], 0.95) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-9)


def test_two_parts_are_behrens_and_fishers_solution():
    """|z| · √(½ df₁/χ² + ½ df₂/χ²), by other random numbers."""
    draw = np.random.default_rng(0)
    inflation = 0.5 * 6 / draw.chisquare(6, 10**6) + 0.5 * 12 / draw.chisquare(12, 10**6)
    expected = np.quantile(np.abs(draw.standard_normal(10**6)) * np.sqrt(inflation), 0.95)
    q = critical_value(np.eye(1), np.array([[0.5, 0.5]]), [6.0, 12.0], 0.95)
    assert q == pytest.approx(expected, rel=0.01)


def test_contrasts_that_repeat_cost_nothing():
    once = critical_value(np.eye(1), np.array([[0.5, 0.5]]), [8.0, 40.0], 0.95)
    twice = critical_value(np.array([[1.0, -1], [-1, 1]]), np.full((2, 2), 0.5), [8.0, 40.0], 0.95)
    assert twice == pytest.approx(once, rel=0.01)


def test_satterthwaite():
    assert effective_df(np.array([1.0, 0.0]), [7.0, 30.0]) == pytest.approx(7)
    assert effective_df(np.array([0.5, 0.5]), [10.0, 10.0]) == pytest.approx(20)
    assert effective_df(np.array([0.0]), [3.0]) == math.inf


def test_a_variance_is_seeds_plus_clusters_minus_what_is_in_both():
    part = Component(np.diag([4.0, 4.0, 1.0]), 10)
    clusters = Component(np.diag([9.0, 1.0, 1.0]), 50)
    block = Estimates(np.zeros(3), (part,), clusters, np.array([2.0, 3.0, 5.0]), np.array([0.0, 0.0, 6.0]))
    assert block.variances() == pytest.approx([11, 4, 6])


def test_blocks_are_one_family():
    block = Estimates(np.array([1.0, 2.0]), (Component(np.eye(2), 10.0),))
    other = Estimates(np.array([5.0]), (), Component(np.eye(1), 30.0))
    first, empty, second = family([block, Estimates(np.zeros(0)), other])
    assert empty == [] and [i.estimate for i in (*first, *second)] == [1, 2, 5]
    (alone,) = family([block])
    assert first[0].critical_value == second[0].critical_value > alone[0].critical_value
    assert second[0].degrees_of_freedom == pytest.approx(30)
    assert family([]) == []


def test_an_exact_estimate_has_no_width():
    ((interval,),) = family([Estimates(np.array([2.0]))])
    assert (interval.low, interval.high, interval.standard_error, interval.resolvable) == (2, 2, 0, 0)


def test_resolvable_is_found_with_a_probability_of_four_fifths():
    ((interval,),) = family([Estimates(np.zeros(1), (Component(np.eye(1), 12.0),))])
    power = stats.nct.sf(stats.t.ppf(0.975, 12), 12, interval.resolvable)
    assert power == pytest.approx(0.8, abs=0.02)
