"""Errors from documents, against formulas written out."""

import math

import numpy as np
import pytest

from decaystudy.statistics.clusters import cluster_component, clustered, residual_variance


def test_equal_documents_are_cochrans_formula():
    values = np.random.default_rng(0).standard_normal((2, 3, 50)) + 10
    sample = clustered(values, np.full(50, 2.0))
    difference = (values[0] - values[1]).mean(axis=0) / 2
    found = cluster_component(sample, np.array([[1.0, -1.0]]))
    assert found.covariance[0, 0] == pytest.approx(difference.var(ddof=1) / 50)


def test_unequal_documents_are_a_ratio_estimate():
    """Cochran 1977, equation 6.13: Σ (y − R x)² / (Σ x)², each term over 1 − x/Σ x."""
    draw = np.random.default_rng(1)
    weights = draw.integers(10, 500, 40).astype(float)
    values = draw.uniform(1, 2, (1, 1, 40)) * weights
    ratio, total, expected = values.sum() / weights.sum(), weights.sum(), 0.0
    for y, x in zip(values[0, 0], weights, strict=True):
        expected += (y - ratio * x) ** 2 / total**2 / (1 - x / total)
    sample = clustered(values, weights)
    assert sample.means[0, 0] == pytest.approx(ratio)
    assert cluster_component(sample, np.eye(1)).covariance[0, 0] == pytest.approx(expected)


def test_the_variance_of_unequal_documents_is_right_on_average():
    draw = np.random.default_rng(2)
    weights = np.exp(draw.normal(5, 0.8, 30))
    told, values = [], []
    for _ in range(4000):
        sums = weights + np.sqrt(weights) * draw.standard_normal(30)
        sample = clustered(sums[None, None], weights)
        told.append(cluster_component(sample, np.eye(1)).covariance[0, 0])
        values.append(sample.means[0, 0])
    assert np.mean(told) == pytest.approx(np.var(values), rel=0.08)


def test_degrees_of_freedom_follow_the_documents_that_matter():
    draw = np.random.default_rng(3)
    alike = draw.standard_normal((1, 1, 2000)) + 10
    assert cluster_component(clustered(alike, np.ones(2000)), np.eye(1)).degrees_of_freedom > 1500
    few = np.full((1, 1, 2000), 10.0)
    few[0, 0, :8] += draw.standard_normal(8) * 5
    assert cluster_component(clustered(few, np.ones(2000)), np.eye(1)).degrees_of_freedom < 20
    one = np.full((1, 1, 2000), 10.0)
    one[0, 0, 0] = 11
    assert cluster_component(clustered(one, np.ones(2000)), np.eye(1)).degrees_of_freedom == pytest.approx(1, abs=0.1)
    long = np.r_[np.full(10, 1e5), np.ones(990)]
    values = (10 + draw.standard_normal((1, 1, 1000))) * long
    assert cluster_component(clustered(values, long), np.eye(1)).degrees_of_freedom < 10


def test_the_residual_is_of_seeds_on_documents():
    draw = np.random.default_rng(4)
    difference = draw.standard_normal((4, 1)) + draw.standard_normal(60) + 3 * draw.standard_normal((4, 60))
    values = np.stack([20 + difference, np.full((4, 60), 20.0)])
    found = residual_variance(clustered(values, np.ones(60)), np.array([[1.0, -1.0]]))
    mean = difference.mean()
    rest = difference - difference.mean(1)[:, None] - difference.mean(0) + mean
    assert found == pytest.approx((rest**2).sum() / (3 * 59) / (4 * 60))
    assert residual_variance(clustered(values[:, :1], np.ones(60)), np.eye(2)).tolist() == [0, 0]


def test_one_document_says_nothing():
    sample = clustered(np.ones((2, 2, 1)), np.ones(1))
    assert not sample.influence.any() and math.isfinite(sample.degrees_of_freedom)
