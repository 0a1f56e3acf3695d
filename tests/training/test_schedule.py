"""The learning rate over a run."""

import itertools

import pytest

from decaystudy.training.schedule import wsd


def curve(total, **changes):
    settings = {"warmup": 10, "decay_fraction": 0.2, "final_fraction": 0.1, **changes}
    return [wsd(step, total, **settings) for step in range(total)]


def test_warmup_stable_decay():
    rates = curve(100)
    assert rates[0] == pytest.approx(0.1) and rates[4] == pytest.approx(0.5) and rates[9] == 1.0
    assert all(rate == 1.0 for rate in rates[9:80])
    assert (
        rates[80] == pytest.approx(1 - 0.9 / 20)
        and rates[89] == pytest.approx(0.55)
        and rates[99] == pytest.approx(0.1)
    )
    falls = [a - b for a, b in itertools.pairwise(rates[79:])]
    assert all(fall == pytest.approx(0.9 / 20) for fall in falls)


def test_edges():
    assert curve(50, warmup=0)[0] == 1.0
    assert curve(50, decay_fraction=0.0)[-1] == 1.0
    assert curve(1, warmup=0) == [1.0]  # a fifth of one step is none
    assert curve(1, warmup=0, decay_fraction=1.0) == [pytest.approx(0.1)]
    assert min(curve(10, warmup=100)) > 0 and max(curve(10, warmup=100)) <= 0.1
    assert curve(20, final_fraction=0.0)[-1] == 0.0
