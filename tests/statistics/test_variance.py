"""Variances between seeds, against formulas written out and maximised by other means."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from decaystudy.statistics.variance import (
    PRIOR_DF,
    LentVariances,
    fit_scaled_f,
    seed_components,
    seed_variances,
)


def test_raw_variances_are_those_of_the_additive_fit():
    table = np.random.default_rng(0).standard_normal((7, 3)) * np.arange(1, 8)[:, None]
    found = seed_variances(table)
    for c in range(7):
        squares = 0.0
        for s in range(3):
            squares += (table[c, s] - table[c].mean() - table[:, s].mean() + table.mean()) ** 2
        assert found.raw[c] == pytest.approx(7 / 6 * squares / 2)
    rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    assert found.pooled == pytest.approx((rest**2).sum() / (6 * 2))


def test_seeds_shared_by_all_cells_don_t_count():
    table = np.random.default_rng(1).standard_normal((6, 4))
    moved = table + 100 * np.arange(4) + np.arange(6)[:, None]
    assert seed_variances(moved).moderated == pytest.approx(seed_variances(table).moderated)


def test_up_to_three_cells_share_the_interaction():
    for cells in (2, 3):
        table = np.random.default_rng(2).standard_normal((cells, 4))
        found = seed_variances(table)
        rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
        assert found.moderated == pytest.approx((rest**2).sum() / (3 * (cells - 1)))
        assert (found.degrees_of_freedom, found.prior_df) == (3 * (cells - 1), math.inf)
    table = np.random.default_rng(3).standard_normal((9, 4)) * np.r_[np.ones(8), 20][:, None]
    assert len(set(seed_variances(table, pooled=True).moderated)) == 1 < len(set(seed_variances(table).moderated))


def test_the_scaled_f_is_fitted_by_maximum_likelihood():
    draw = np.random.default_rng(4)
    for df in (1.4, 2.9):
        true = 0.3 * 5 / draw.chisquare(5, 40)
        variances = true * draw.chisquare(df, 40) / df
        prior_df, prior = fit_scaled_f(variances, np.full(40, df))

        def cost(log_prior, prior_df, variances=variances, df=df):
            scale = math.exp(log_prior)
            ratio = variances / scale
            if math.isinf(prior_df):
                return -(stats.chi2.logpdf(ratio * df, df) + math.log(df / scale)).sum()
            return -(stats.f.logpdf(ratio, df, prior_df) - math.log(scale)).sum()

        best = {n: optimize.minimize_scalar(cost, bracket=(-3, 1), args=(n,)) for n in PRIOR_DF}
        expected = min(best, key=lambda n: best[n].fun)
        assert prior_df == expected
        assert prior == pytest.approx(math.exp(best[expected].x), rel=1e-4)


def test_moderation_is_smyths():
    table = np.random.default_rng(5).standard_normal((8, 5)) * np.r_[np.ones(6), 9, 9][:, None]
    found = seed_variances(table)
    own = 4 * 6 / 8
    assert math.isfinite(found.prior_df)
    expected = (found.prior_df * found.prior_variance + own * found.raw) / (found.prior_df + own)
    assert found.moderated == pytest.approx(expected)
    assert found.degrees_of_freedom == min(found.prior_df + own, 28)


def test_degrees_of_freedom_are_never_more_than_the_table_has():
    draw = np.random.default_rng(6)
    for seed in range(20):
        table = draw.standard_normal((5, 2 + seed % 3))
        assert seed_variances(table).degrees_of_freedom <= (table.shape[1] - 1) * 4


def test_alike_variances_become_one():
    draw = np.random.default_rng(7)
    shared = sum(math.isinf(seed_variances(draw.standard_normal((7, 5))).prior_df) for _ in range(200))
    assert shared > 120


def test_constant_cells_stay_out():
    table = np.random.default_rng(8).standard_normal((6, 4))
    table[2] = 7.0
    varying = np.array([True, True, False, True, True, True])
    found, rest = seed_variances(table, varying=varying), seed_variances(table[varying])
    assert found.moderated[2] == 0
    assert found.moderated[varying] == pytest.approx(rest.moderated)
    assert found.degrees_of_freedom == rest.degrees_of_freedom
    nothing = seed_variances(table, varying=np.zeros(6, dtype=bool))
    assert not nothing.moderated.any() and nothing.degrees_of_freedom == 0


def test_no_variance_is_far_below_the_median():
    table = np.random.default_rng(9).standard_normal((40, 3))
    table[0] = table[1:].mean(axis=0)  # no residual at all
    found = seed_variances(table)
    assert found.raw[0] < 1e-6 < 1e-4 * np.median(found.moderated) <= found.moderated[0]
    assert not seed_variances(np.ones((5, 3))).moderated.any()


def test_a_cell_far_noisier_than_the_others_is_marked():
    table = np.random.default_rng(10).standard_normal((7, 5))
    table[3] *= 8
    assert seed_variances(table).noisy.tolist() == [False, False, False, True, False, False, False]
    assert not seed_variances(table[:, :2]).noisy.any()


def test_finished_studies_lend_variances():
    draw = np.random.default_rng(11)
    table = draw.standard_normal((2, 2))
    lent = LentVariances("sharing at 160m", tuple(seed_variances(draw.standard_normal((8, 5))).raw), 5)
    found = seed_variances(table, lent=[lent])
    assert found.degrees_of_freedom == 1 + 4 * 7
    alone = seed_variances(table).moderated[0]
    assert found.moderated[0] == pytest.approx((alone + 28 * np.mean(lent.variances)) / 29)
    for wrong in ({"seeds": 1}, {"variances": (1.0,)}, {"variances": (1.0, -1.0)}, {"variances": (1.0, math.inf)}):
        with pytest.raises(ValueError, match="small study"):
            LentVariances(**{"name": "small study", "variances": (1.0, 2.0), "seeds": 3, **wrong})
    seven = draw.standard_normal((7, 2))
    assert seed_variances(seven, lent=[lent]).degrees_of_freedom > seed_variances(seven).degrees_of_freedom


def test_differences_and_single_cells_have_the_right_variance():
    """Contrasts over many made-up tables: what components say on average is what the contrasts vary by."""
    draw = np.random.default_rng(12)
    contrasts = np.array([[1.0, -1, 0, 0, 0], [1, 0, 0, 0, 0], [0.2] * 5, [1, 1, -2, 0, 0]])
    values, told = [], []
    for _ in range(3000):
        table = 2 * draw.standard_normal((1, 4)) + draw.standard_normal((5, 4))
        parts = seed_components(table, contrasts, seed_variances(table, pooled=True))
        told.append(sum(np.diag(part.covariance) for part in parts))
        values.append(contrasts @ table.mean(axis=1))
    assert np.mean(told, axis=0) == pytest.approx(np.var(values, axis=0), rel=0.08)
    assert [part.degrees_of_freedom for part in parts] == [12, 3]
    assert len(seed_components(table, contrasts[[0, 3]], seed_variances(table))) == 1
