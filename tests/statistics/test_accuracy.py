"""Accuracies by the same path as losses."""

import math

import numpy as np
import pytest

from decaystudy.statistics.accuracy import accuracy_effects, mean_over_tasks, read_answers
from decaystudy.statistics.comparison import judged


def answers(seed=0, *, cells=6, seeds=3, questions=400, accuracies=None):
    draw = np.random.default_rng(seed)
    easy = draw.standard_normal((1, 1, questions))
    shift = np.zeros(cells) if accuracies is None else np.asarray(accuracies)
    logit = easy + shift[:, None, None] + 0.1 * draw.standard_normal((cells, seeds, 1))
    right = draw.random((cells, seeds, questions)) < 1 / (1 + np.exp(-logit))
    return {f"cell{i}": right[i].astype(int) for i in range(cells)}


def test_differences_of_accuracies():
    right = answers(accuracies=[0, 1.5, 0, 0, 0, -1.5])
    sample = read_answers(right)
    found = accuracy_effects({"piqa": sample}, [("cell1", "cell0"), ("cell5", "cell0"), ("cell2", "cell0")])["piqa"]
    assert found[0].estimate == pytest.approx(right["cell1"].mean() - right["cell0"].mean())
    verdicts = [judged(effect, higher_is_better=True).verdict for effect in found]
    assert verdicts == ["better", "worse", "not resolved"]
    assert len({round(effect.degrees_of_freedom) for effect in found}) > 0 and found[0].unit == "accuracy"


def test_the_error_is_that_of_questions_and_seeds():
    """Two cells, (MS seeds + MS questions − MS rest) / (seeds · questions) of the differences."""
    right = answers(cells=2, seeds=4)
    difference = right["cell0"] - right["cell1"]
    seeds, questions = difference.shape
    mean = difference.mean()
    ms_seed = questions * ((difference.mean(1) - mean) ** 2).sum() / (seeds - 1)
    ms_question = seeds * ((difference.mean(0) - mean) ** 2).sum() / (questions - 1)
    rest = difference - difference.mean(1)[:, None] - difference.mean(0) + mean
    ms_rest = (rest**2).sum() / (seeds - 1) / (questions - 1)
    expected = max(ms_seed + ms_question - ms_rest, ms_seed, ms_question) / difference.size
    (found,) = accuracy_effects({"t": read_answers(right)}, [("cell0", "cell1")], mean=None)["t"]
    assert found.standard_error == pytest.approx(math.sqrt(expected))


def test_questions_on_one_passage_are_one_cluster():
    # All seeds answer alike, so that the questions are the only source of noise.
    right = {cell: np.repeat(x[:1], 3, axis=0) for cell, x in answers(questions=120).items()}
    doubled = {cell: np.repeat(x, 3, axis=1) for cell, x in right.items()}
    passages = [f"passage {i // 3}" for i in range(360)]
    pair = [("cell1", "cell0")]
    (single,) = accuracy_effects({"t": read_answers(right)}, pair, mean=None)["t"]
    (clustered,) = accuracy_effects({"t": read_answers(doubled, passages)}, pair, mean=None)["t"]
    (unaware,) = accuracy_effects({"t": read_answers(doubled)}, pair, mean=None)["t"]
    assert clustered.standard_error == pytest.approx(single.standard_error)
    assert unaware.standard_error == pytest.approx(single.standard_error / math.sqrt(3), rel=0.01)
    assert clustered.clusters == 120
    # Passages needn't be neighbours.
    order = np.random.default_rng(0).permutation(360)
    shuffled = read_answers({c: x[:, order] for c, x in doubled.items()}, [passages[i] for i in order])
    (again,) = accuracy_effects({"t": shuffled}, pair, mean=None)["t"]
    assert (again.estimate, again.low) == pytest.approx((clustered.estimate, clustered.low))


def test_answers_all_alike_are_no_certainty():
    right = {f"cell{i}": np.ones((3, 100)) for i in range(6)}
    found = accuracy_effects({"t": read_answers(right)}, [("cell1", "cell0"), ("cell1", None)], mean=None)["t"]
    assert all(effect.standard_error == pytest.approx(1 / 100) for effect in found)
    assert found[0].low < 0 < found[0].high
    assert found[1].low < 1 and found[1].high == 1  # no accuracy above 1


def test_the_mean_is_of_these_tasks():
    tasks = {name: answers(seed, questions=n) for seed, (name, n) in enumerate({"a": 100, "b": 400}.items())}
    samples = {name: read_answers(right) for name, right in tasks.items()}
    found = accuracy_effects(samples, [("cell1", "cell0"), ("cell1", None)])
    assert list(found) == ["a", "b", "mean"]
    for i in range(2):
        assert found["mean"][i].estimate == pytest.approx((found["a"][i].estimate + found["b"][i].estimate) / 2)
    assert len({effect.critical_value for effects in found.values() for effect in effects}) == 1
    mean = mean_over_tasks(list(samples.values()))
    assert mean.clusters == 500 and mean.least_error == pytest.approx(math.hypot(1 / 100, 1 / 400) / 2)


def test_one_seed_has_no_interval():
    found = accuracy_effects({"t": read_answers(answers(seeds=1))}, [("cell1", "cell0")])
    assert all(effect.low is None for effects in found.values() for effect in effects)
    assert judged(found["t"][0]).verdict == "one seed"


def test_input_that_means_nothing_is_refused():
    good = answers(cells=2)
    with pytest.raises(ValueError, match=r"piqa: cells must answer the same questions.*\(3, 400\).*\(3, 399\)"):
        read_answers({**good, "x": np.ones((3, 399))}, task="piqa")
    with pytest.raises(ValueError, match=r"answers of 'x'.*must be 0"):
        read_answers({**good, "x": np.full((3, 400), 0.5)})
    with pytest.raises(ValueError, match="3 passages are given for 400 questions"):
        read_answers(good, ["a", "b", "c"])
    with pytest.raises(ValueError, match="no cell"):
        read_answers({})
    with pytest.raises(ValueError, match="called 'mean'"):
        accuracy_effects({"mean": read_answers(good)}, [("cell1", "cell0")])
    with pytest.raises(ValueError, match="same cells and seeds"):
        mean_over_tasks([read_answers(good), read_answers(answers(cells=3))])
    with pytest.raises(ValueError, match="'other' is to be compared"):
        accuracy_effects({"t": read_answers(good)}, [("other", "cell0")])
