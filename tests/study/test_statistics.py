"""Coverage and error rates of the intervals, on simulated studies with crossed noise."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from decaystudy.study.analysis.statistics import Estimate, crossed_mean, holm, seed_mean, widened

SEQUENCES = 70
# Standard deviations between seeds, between sequences, and of the rest, as shares of the last.
NOISE = [(0.1, 0.3), (0.2, 0.2), (0.05, 0.5), (0.5, 0.5), (0.3, 0.05)]


def simulate(studies: int, seeds: int, noise: tuple[float, float], effect: float, key: int) -> np.ndarray:
    rng = np.random.default_rng(key)
    table = rng.standard_normal((studies, seeds, SEQUENCES))
    table += noise[0] * rng.standard_normal((studies, seeds, 1)) + noise[1] * rng.standard_normal(
        (studies, 1, SEQUENCES)
    )
    return effect + table


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize(("seeds", "least", "most"), [(3, 0.91, 1.0), (5, 0.93, 0.97), (10, 0.93, 0.97)])
def test_intervals_cover_the_truth(seeds: int, least: float, most: float, noise: tuple[float, float]) -> None:
    effect = 0.7
    covered = 0
    for table in simulate(1000, seeds, noise, effect, key=seeds):
        low, high = crossed_mean(table).interval()
        covered += low <= effect <= high
    assert least <= covered / 1000 <= most


@pytest.mark.parametrize("noise", [(0.1, 0.0), (0.3, 0.0), (1.0, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize(("seeds", "most"), [(3, 0.07), (5, 0.05), (10, 0.05)])
def test_identical_cells_are_rarely_called_different(seeds: int, most: float, noise: tuple[float, float]) -> None:
    studies = 1000
    called = sum(crossed_mean(table).p_value() < 0.05 for table in simulate(studies, seeds, noise, 0.0, key=11))
    # The rate of 1,000 studies has a standard error of 0.007.
    assert called / studies <= most + 2 * math.sqrt(most * (1 - most) / studies)


@pytest.mark.parametrize(
    ("noise", "seeds", "most"),
    [((1.0, 0.0), 5, 0.05), ((0.5, 0.0), 10, 0.05), ((0.2, 0.0), 5, 0.10)],  # the last is the weakest spot
)
def test_identical_cells_of_a_whole_study_are_rarely_called_different(
    noise: tuple[float, float], seeds: int, most: float
) -> None:
    """Eight comparisons a study, none of them real: how many studies report any."""
    studies = 500
    false_alarms = 0
    for study in simulate(8 * studies, seeds, noise, 0.0, key=3).reshape(studies, 8, seeds, SEQUENCES):
        corrected, _ = holm([crossed_mean(table).p_value() for table in study])
        false_alarms += min(corrected) < 0.05
    assert false_alarms / studies <= most + 2 * math.sqrt(most * (1 - most) / studies)


def test_one_seed_is_the_t_interval_over_sequences() -> None:
    values = np.random.default_rng(0).standard_normal((1, 40))
    estimate = crossed_mean(values)
    reach = student.ppf(0.975, 39) * values.std(ddof=1) / math.sqrt(40)
    assert estimate.df == 39
    assert estimate.interval() == pytest.approx((values.mean() - reach, values.mean() + reach), abs=1e-12)


def test_seeds_alone_are_the_t_interval_over_seeds() -> None:
    """Where sequences don't differ, all noise is between seeds."""
    by_seed = np.array([0.1, 0.4, -0.2, 0.3])
    estimate = crossed_mean(np.repeat(by_seed[:, None], 50, axis=1))
    other = seed_mean(list(by_seed))
    assert estimate.value == pytest.approx(other.value)
    assert estimate.error == pytest.approx(other.error)
    assert estimate.df == pytest.approx(3)


def test_what_never_varies_is_exact() -> None:
    assert crossed_mean(np.full((3, 10), 0.25)).interval() == (0.25, 0.25)
    assert seed_mean([0.5]).interval() == (0.5, 0.5)
    assert seed_mean([0.5]).p_value() == 0.0
    assert Estimate(0.0, 0.0, math.inf).p_value() == 1.0


def test_holm_against_its_definition() -> None:
    corrected, levels = holm([0.01, 0.04, 0.03, 0.005])
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert levels == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4])


def test_holm_intervals_agree_with_holm_verdicts() -> None:
    """An interval of Holm's level holds zero exactly where the corrected p is not below 5 %."""
    rng = np.random.default_rng(5)
    for _ in range(200):
        estimates = [Estimate(rng.normal(0, 2), 1.0, rng.integers(3, 30)) for _ in range(6)]
        corrected, levels = holm([estimate.p_value() for estimate in estimates])
        for estimate, p, level in zip(estimates, corrected, levels, strict=True):
            low, high = estimate.interval(level)
            assert (low <= 0 <= high) == (p >= 0.05)


def test_another_source_of_noise_widens() -> None:
    wide = widened(Estimate(0.3, 0.03, 20), 0.04**2, 50)
    assert wide.value == 0.3 and wide.error == pytest.approx(0.05)
    assert wide.df == pytest.approx(0.05**4 / (0.03**4 / 20 + 0.04**4 / 50))  # Satterthwaite's
    exact = widened(Estimate(0.3, 0.0, math.inf), 0.04**2, 50)
    assert exact.error == pytest.approx(0.04) and exact.df == pytest.approx(50)
