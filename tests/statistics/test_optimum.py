"""Where the loss is lowest along the half-life."""

import math

import numpy as np
import pytest

from decaystudy.statistics.comparison import read_losses
from decaystudy.statistics.half_life import log_half_life
from decaystudy.statistics.optimum import fit_optimum, judge_optimum, loss_optimum
from tests.statistics.samples import losses

DECAYS = [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98]
POSITIONS = log_half_life(DECAYS)


def curve(best):
    return 3 + 0.02 * (POSITIONS - float(log_half_life(best))) ** 2


def test_a_parabola_is_found_again():
    found = fit_optimum(POSITIONS, curve(0.8), 1e-12 * np.eye(7), degrees_of_freedom=12)
    assert found.position == pytest.approx(float(log_half_life(0.8)))
    assert found.curvature == pytest.approx(0.02)
    assert found.low < found.position < found.high and found.high - found.low < 1e-2
    assert found.misfit < 1e-6


@pytest.mark.parametrize("best", [0.6, 0.8, 0.95])
def test_claims_about_other_places_are_refuted(best):
    found = fit_optimum(POSITIONS, curve(best), 1e-8 * np.eye(7), degrees_of_freedom=12)
    for at in (0.6, 0.8, 0.95):
        assert str(judge_optimum(found, at)) == ("supported" if at == best else "refuted")


def test_the_interval_is_fiellers():
    """The ends are where the slope of the curve is exactly critical · its error from 0."""
    covariance = np.diag(np.linspace(1, 3, 7)) * 1e-5 + 1e-6
    found = fit_optimum(POSITIONS, curve(0.8), covariance, degrees_of_freedom=10)
    design = np.stack([np.ones(7), POSITIONS, POSITIONS**2], axis=1)
    solve = np.linalg.inv(design.T @ design) @ design.T
    estimate, errors = solve @ curve(0.8), solve @ covariance @ solve.T
    for end in (found.low, found.high):
        slope = np.array([0, 1, 2 * end])
        assert abs(slope @ estimate) / math.sqrt(slope @ errors @ slope) == pytest.approx(found.critical_value)


def test_the_interval_covers():
    draw = np.random.default_rng(0)
    truth, error = float(log_half_life(0.8)), 0.004
    for misfit, least in ((0.0, 0.93), (0.004, 0.88)):
        hits = 0
        for _ in range(1500):
            means = curve(0.8) + error * draw.standard_normal(7) + misfit * draw.standard_normal(7)
            scale = draw.chisquare(12) / 12
            found = fit_optimum(POSITIONS, means, error**2 * scale * np.eye(7), degrees_of_freedom=12)
            hits += found.low <= truth <= found.high
        assert hits / 1500 > least


def test_a_flat_or_hollow_curve_bounds_nothing():
    draw = np.random.default_rng(1)
    flat = fit_optimum(POSITIONS, 3 + 0.01 * draw.standard_normal(7), 1e-4 * np.eye(7), degrees_of_freedom=12)
    assert (flat.low, flat.high) == (-math.inf, math.inf)
    assert str(judge_optimum(flat, 0.8)) == "not resolved"
    hill = fit_optimum(POSITIONS, -curve(0.8), 1e-8 * np.eye(7), degrees_of_freedom=12)
    assert math.isnan(hill.position) and hill.high == math.inf


def test_what_all_cells_share_does_not_matter():
    covariance = 1e-5 * np.eye(7)
    one = fit_optimum(POSITIONS, curve(0.8), covariance, degrees_of_freedom=10)
    other = fit_optimum(POSITIONS, curve(0.8) + 5, covariance + 3, degrees_of_freedom=10)
    assert (other.low, other.high) == pytest.approx((one.low, one.high), rel=1e-4)


def test_related_cells_are_one_group():
    """Ablations of one decay that are off the curve together count once."""
    positions = np.r_[POSITIONS, POSITIONS[4] + np.array([0.01, 0.02, 0.03, 0.04])]
    off = np.r_[np.zeros(4), 0.01, -0.01, 0.01, np.full(4, 0.01)]
    means = 3 + 0.02 * (positions - 1.13) ** 2 + off
    names = ["a", "b", "c", "d", "mamba2", "e", "f", *["mamba2"] * 4]
    apart = fit_optimum(positions, means, 1e-8 * np.eye(11), degrees_of_freedom=20)
    grouped = fit_optimum(positions, means, 1e-8 * np.eye(11), degrees_of_freedom=20, groups=names)
    assert grouped.degrees_of_freedom < apart.degrees_of_freedom
    assert grouped.high - grouped.low > apart.high - apart.low


def test_the_critical_value_of_the_family_counts_if_it_is_larger():
    alone = fit_optimum(POSITIONS, curve(0.8), 1e-5 * np.eye(7), degrees_of_freedom=10)
    family = fit_optimum(POSITIONS, curve(0.8), 1e-5 * np.eye(7), degrees_of_freedom=10, critical=5.0)
    assert family.critical_value == 5 and family.low < alone.low < alone.high < family.high


def test_losses_of_a_study():
    nll, tokens = losses(effects=curve(0.8) - 3, seed_sd=0.003, noise=0.01)
    sample = read_losses(nll, tokens)
    places = {f"cell{i}": float(x) for i, x in enumerate(POSITIONS)}
    assert str(judge_optimum(loss_optimum(sample, places), 0.8)) == "supported"
    assert str(judge_optimum(loss_optimum(sample, places), 0.95)) == "refuted"
    few = {cell: places[cell] for cell in list(places)[:3]}
    assert "four unrelated cells" in str(judge_optimum(loss_optimum(sample, few), 0.8))
    related = dict.fromkeys(places, "mamba2")
    assert loss_optimum(sample, places, groups=related) is None
    one = read_losses(losses(seeds=1)[0], tokens)
    assert judge_optimum(loss_optimum(one, places), 0.8).verdict == "not judged"


def test_input_that_means_nothing_is_refused():
    with pytest.raises(ValueError, match="don't fit together"):
        fit_optimum(POSITIONS, curve(0.8)[:5], np.eye(7), degrees_of_freedom=3)
    with pytest.raises(ValueError, match="2 groups are given for 7 cells"):
        fit_optimum(POSITIONS, curve(0.8), np.eye(7), degrees_of_freedom=3, groups=["a", "b"])
    with pytest.raises(ValueError, match="at is 1"):
        judge_optimum(None, 1.0)
    with pytest.raises(ValueError, match="near is 1"):
        judge_optimum(None, 0.8, near=1.0)
