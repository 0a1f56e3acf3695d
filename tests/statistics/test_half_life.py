"""Statistics of λ over seeds."""

import math

import numpy as np
import pytest
from scipy import stats

from decaystudy.statistics.claims import Bound
from decaystudy.statistics.half_life import DecayQuestion, decay_at, decay_effects, log_half_life


def test_log_half_life():
    assert log_half_life(0.5) == pytest.approx(0)
    assert np.exp(log_half_life([0.25, 0.8, 0.99])) == pytest.approx([0.5, 3.1063, 68.968], rel=1e-4)
    assert np.exp(log_half_life([0.0, 1.0, 1 - 1e-12])) == pytest.approx([1e-3, 1e6, 1e6])
    assert decay_at(float(log_half_life(0.93))) == pytest.approx(0.93)
    for wrong in (1.1, -0.1, math.nan):
        with pytest.raises(ValueError, match="from 0 to 1"):
            log_half_life([0.5, wrong])


def question(end, start=0.0, pairs=(("a", "b"),), **settings):
    starts = {cell: np.full(len(values), start) for cell, values in end.items()}
    return DecayQuestion(end, starts, pairs, **settings)


def judged(end, bound=None, **settings):
    ((found,),) = decay_effects([question(end, **settings)])
    return found, str(found.judge(bound or Bound.above(0)))


def test_a_cell_alone_is_a_t_test_over_seeds():
    end = {"a": np.array([2.0, 2.2, 2.1, 2.5])}
    found, verdict = judged(end, pairs=[("a", None)])
    expected = stats.ttest_1samp(end["a"], 0).confidence_interval(0.95)
    assert (found.end.low, found.end.high) == pytest.approx((expected.low, expected.high))
    assert verdict == "supported" and found.end.unit == "log half-life"


def test_a_difference_is_paired_by_seed():
    draw = np.random.default_rng(0)
    a, b = draw.standard_normal((2, 4)) + 5 * draw.standard_normal(4)
    found, _ = judged({"a": a, "b": b})
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.end.low, found.end.high) == pytest.approx((expected.low, expected.high))


def test_what_has_not_left_its_start_is_not_judged():
    still = {"a": np.array([2.01, 2.02, 2.03]), "b": np.array([1.0, 1.01, 1.0])}
    ((found,),) = decay_effects([question(still, pairs=[("a", None)], start=2.0)])
    assert found.end.low > 0 and not found.moved  # less than 0.05
    assert str(found.judge(Bound.above(0))) == "not judged (λ has not left its start)"
    wild = {"a": np.array([2.0, 3.0, 1.0]), "b": np.array([1.0, 1.01, 1.0])}
    ((found,),) = decay_effects([question(wild, pairs=[("a", None)], start=1.5)])
    assert abs(found.change.estimate) == pytest.approx(0.5) and not found.moved  # less than two standard errors
    ((found,),) = decay_effects([question(still, pairs=[("a", None)], start=0.5)])
    assert found.moved and str(found.judge(Bound.above(1.0))) == "supported"
    assert str(found.judge_change(Bound.below(0))) == "refuted"


def test_a_difference_that_was_there_from_the_start_is_not_judged():
    end = {"a": np.array([3.0, 3.1, 3.05]), "b": np.array([1.0, 1.1, 1.05])}
    start = {"a": np.array([2.5, 2.6, 2.5]), "b": np.array([0.5, 0.6, 0.5])}
    ((found,),) = decay_effects([DecayQuestion(end, start, [("a", "b")])])
    assert found.end.low > 0 and str(found.judge(Bound.above(0))) == "not judged (λ has not left its start)"


def test_constant_cells_are_exact():
    draw = np.random.default_rng(1)
    end = {name: 2 + 0.1 * draw.standard_normal(4) for name in "abcde"}
    pairs = [("a", "c0"), ("a", None), ("c0", None)]
    with_constant = {**end, "c0": np.full(4, 1.0)}
    ((found, alone, exact),) = decay_effects([question(with_constant, pairs=pairs, constant=["c0"])])
    assert found.end.standard_error == pytest.approx(alone.end.standard_error)
    assert found.end.estimate == pytest.approx(end["a"].mean() - 1)
    assert (exact.end.low, exact.end.high, exact.moved) == (1, 1, True)
    ((without,),) = decay_effects([question(end, pairs=[("a", "b")])])
    ((with_,),) = decay_effects([question(with_constant, pairs=[("a", "b")], constant=["c0"])])
    assert with_.end.standard_error == pytest.approx(without.end.standard_error)


def test_counts_of_layers_vary_by_half_a_layer_at_least():
    end = {name: np.full(4, float(n)) for n, name in enumerate("abcdef")}
    ((found,),) = decay_effects([question(end, pairs=[("c", "a")], start=-1.0, count=True)])
    assert found.end.standard_error == pytest.approx(math.sqrt(2 * 0.25 / 4))
    assert found.end.unit == "layers"


def test_all_questions_are_one_family():
    draw = np.random.default_rng(2)
    end = {name: draw.standard_normal(5) for name in "abcdef"}
    one = decay_effects([question(end)])[0][0]
    both = decay_effects([question(end), question({c: x**2 for c, x in end.items()})])
    assert both[0][0].end.critical_value == both[1][0].end.critical_value > one.end.critical_value


def test_one_seed_is_not_judged():
    assert judged({"a": [2.0], "b": [1.0]})[1] == "not judged (one seed)"


def test_input_that_means_nothing_is_refused():
    with pytest.raises(ValueError, match="step 0 is missing"):
        decay_effects([DecayQuestion({"a": [1.0, 2]}, {}, [("a", None)])])
    with pytest.raises(ValueError, match=r"shape \(2,\) at the end and \(3,\) at step 0"):
        decay_effects([DecayQuestion({"a": [1.0, 2]}, {"a": [1.0, 2, 3]}, [("a", None)])])
    with pytest.raises(ValueError, match=r"shape \(1, 2\): give \(seeds,\)"):
        decay_effects([DecayQuestion({"a": [[1.0, 2]]}, {"a": [[1.0, 2]]}, [("a", None)])])
    with pytest.raises(ValueError, match="no cell"):
        decay_effects([DecayQuestion({}, {}, [])])
