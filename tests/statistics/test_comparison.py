"""Comparisons of cells against their baselines."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from decaystudy.statistics import Verdict, compare, differences
from tests.statistics.samples import losses


def test_a_comparison_per_cell_in_the_order_of_the_losses():
    nll, tokens = losses(effects=[0, 0, 0.3, -0.3, 0, 0, 0])
    found = compare(nll, tokens, "cell1")
    assert [c.cell for c in found] == ["cell0", "cell2", "cell3", "cell4", "cell5", "cell6"]
    assert {c.baseline for c in found} == {"cell1"}
    assert [c.verdict for c in found if c.cell in ("cell2", "cell3")] == ["worse", "better"]
    assert len({c.critical_value for c in found}) == 1
    for c in found:
        assert c.low < c.difference < c.high
        assert c.high - c.difference == pytest.approx(c.critical_value * c.standard_error)
        assert (c.seeds, c.documents, c.unit) == (5, 300, "nats per token")


def test_the_difference_is_of_token_weighted_means():
    nll, tokens = losses()
    expected = nll["cell1"].sum(axis=1) / tokens.sum() - nll["cell0"].sum(axis=1) / tokens.sum()
    assert compare(nll, tokens, "cell0")[0].difference == pytest.approx(expected.mean(), abs=1e-14)


def test_two_cells_without_noise_from_documents_are_a_paired_t_test():
    draw = np.random.default_rng(1)
    tokens = draw.integers(10, 50, 40)
    shared, a, b = draw.standard_normal((3, 4))
    nll = {"a": np.outer(10 + shared + a, tokens), "b": np.outer(10 + shared + b, tokens)}
    (found,) = compare(nll, tokens, "b")
    expected = stats.ttest_rel(shared + a, shared + b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.degrees_of_freedom == 3


def test_crossed_errors_are_those_of_the_analysis_of_variance():
    """For documents of one length: (MS seeds + MS documents − MS rest) / (seeds · documents)."""
    seeds, documents = 4, 60
    draw = np.random.default_rng(2)
    difference = draw.standard_normal((seeds, 1)) + draw.standard_normal(documents) * 3
    difference = difference + draw.standard_normal((seeds, documents))
    base = draw.uniform(100, 200, (seeds, documents))
    (found,) = compare({"a": base + difference, "b": base}, np.full(documents, 10), "b")
    mean = difference.mean()
    ms_seed = documents * ((difference.mean(1) - mean) ** 2).sum() / (seeds - 1)
    ms_document = seeds * ((difference.mean(0) - mean) ** 2).sum() / (documents - 1)
    rest = difference - difference.mean(1)[:, None] - difference.mean(0) + mean
    ms_rest = (rest**2).sum() / (seeds - 1) / (documents - 1)
    expected = math.sqrt((ms_seed + ms_document - ms_rest) / (seeds * documents)) / 10
    assert found.standard_error == pytest.approx(expected, rel=1e-9)


def test_the_error_is_never_less_than_that_of_documents_or_seeds_alone():
    """Residuals that balance between seeds leave a seed part of nothing."""
    documents = 40
    draw = np.random.default_rng(3)
    rest = draw.standard_normal(documents)
    rest -= rest.mean()
    wave = draw.standard_normal(documents)
    base = draw.uniform(100, 200, (2, documents))
    pair = np.stack([wave + 5 * rest, wave - 5 * rest])
    nll = {"a": base + pair, **{f"b{i}": base + 0.01 * draw.standard_normal((2, documents)) for i in range(5)}}
    found = compare(nll, np.ones(documents), {"a": "b0"})[0]
    documents_alone = math.sqrt(wave.var(ddof=1) / documents)
    assert found.standard_error >= 0.99 * documents_alone


def test_shared_effects_of_seeds_and_documents_cancel():
    nll, tokens = losses()
    draw = np.random.default_rng(4)
    moved = {c: x + tokens * (5 + draw.spawn(1)[0].standard_normal(0).sum()) for c, x in nll.items()}
    by_seed = np.abs(draw.standard_normal((5, 1))) * tokens
    by_document = draw.uniform(0, 900, 300)
    moved = {c: x + by_seed + by_document for c, x in moved.items()}
    for a, b in zip(compare(nll, tokens, "cell0"), compare(moved, tokens, "cell0"), strict=True):
        assert (a.difference, a.low, a.high) == pytest.approx((b.difference, b.low, b.high), abs=1e-9)


def test_same_input_same_output_whatever_the_order_and_names_of_cells():
    nll, tokens = losses()
    found = {c.cell: c for c in compare(nll, tokens, "cell3", margin=0.01)}
    shuffled = {c: nll[c] for c in ["cell5", "cell3", "cell0", "cell6", "cell1", "cell4", "cell2"]}
    for c in compare(shuffled, tokens, "cell3", margin=0.01):
        assert c == found[c.cell]
    renamed = compare({f"{9 - int(c[-1])}": x for c, x in nll.items()}, tokens, "6", margin=0.01)
    for c in renamed:
        old = found[f"cell{9 - int(c.cell)}"]
        assert replace(c, cell=old.cell, baseline=old.baseline) == old


def test_arrays_may_have_any_layout_and_type():
    nll, tokens = losses()
    fortran = {c: np.asfortranarray(x) for c, x in nll.items()}
    assert compare(fortran, tokens.tolist(), "cell0") == compare(nll, tokens, "cell0")
    rough = compare({c: x.astype(np.float32) for c, x in nll.items()}, tokens, "cell0")
    assert rough[0].difference == pytest.approx(compare(nll, tokens, "cell0")[0].difference, abs=1e-6)


def test_one_seed_ranks_nothing():
    nll, tokens = losses(seeds=1, effects=[0, 5, 0, 0, 0, 0, 0])
    for c in compare(nll, tokens, "cell0", margin=0.1):
        assert c.verdict == "one seed"
        assert c.low is c.high is c.resolvable is c.standard_error is None
    assert compare(nll, tokens, "cell0")[0].difference == pytest.approx(5, abs=0.2)


def test_a_cell_with_one_seed_leaves_the_others_alone():
    nll, tokens = losses()
    late = {**nll, "cell6": nll["cell6"][:1]}
    found = compare(late, tokens, "cell0")
    assert [c.verdict for c in found].count("one seed") == 1
    assert found[-1].verdict is Verdict.ONE_SEED
    expected = (nll["cell6"][0] - nll["cell0"][0]).sum() / tokens.sum()
    assert found[-1].difference == pytest.approx(expected, abs=1e-12)
    without = {c: x for c, x in nll.items() if c != "cell6"}
    assert found[:-1] == compare(without, tokens, "cell0")
    assert {c.verdict for c in compare(late, tokens, "cell6")} == {"one seed"}


def test_cells_with_fewer_seeds_have_the_first_ones():
    nll, tokens = losses()
    found = compare({**nll, "cell2": nll["cell2"][:3]}, tokens, "cell0")
    same = compare({c: x[:3] for c, x in nll.items()}, tokens, "cell0")
    for a, b in zip(found, same, strict=True):
        assert replace(a, notes=()) == replace(b, notes=())
    assert "of cell0 only the first 3 seeds count" in found[1].notes[0]
    assert not same[1].notes


def test_few_documents_give_no_verdict():
    nll, tokens = losses(documents=19, effects=[0, 5, 0, 0, 0, 0, 0])
    for c in compare(nll, tokens, "cell0", margin=10):
        assert c.verdict == "few documents"
        assert "19 documents" in c.notes[-1]
    enough, tokens = losses(documents=20, effects=[0, 5, 0, 0, 0, 0, 0])
    assert compare(enough, tokens, "cell0")[0].verdict == "worse"
    one, tokens = losses(documents=1)
    assert {c.verdict for c in compare(one, tokens, "cell0")} == {"few documents"}


def test_two_seeds_need_five_cells():
    for cells, expected in ((2, "not resolved"), (4, "not resolved"), (5, "worse")):
        nll, tokens = losses(cells=cells, seeds=2, effects=[0] + [3] * (cells - 1))
        found = compare(nll, tokens, "cell0", margin=100)
        assert {c.verdict for c in found} == {expected if cells < 5 else "equivalent"}
        assert {c.verdict for c in compare(nll, tokens, "cell0")} == {expected}
        assert all(math.isinf(c.high) == (cells < 5) for c in found)


def test_equivalence_needs_a_margin_and_goes_before_better():
    nll, tokens = losses(seed_sd=0.001, noise=0.001, effects=[0, -0.05, 0, 0, 0, 0, 0])
    plain = compare(nll, tokens, "cell0")
    assert plain[0].verdict == "better" and plain[1].verdict == "not resolved"
    assert {c.verdict for c in compare(nll, tokens, "cell0", margin=0.1)} == {"equivalent"}
    assert compare(nll, tokens, "cell0", margin=0.04)[0].verdict == "better"
    assert [(c.low, c.high) for c in compare(nll, tokens, "cell0", margin=0.1)] == [(c.low, c.high) for c in plain]


def test_each_cell_may_have_its_own_baseline():
    nll, tokens = losses(cells=8)
    baseline = {"cell5": "cell4", "cell1": "cell0", "cell3": "cell2", "cell2": "cell2"}
    found = compare(nll, tokens, baseline)
    assert [(c.cell, c.baseline) for c in found] == [("cell1", "cell0"), ("cell3", "cell2"), ("cell5", "cell4")]
    fewer = compare({c: nll[c] for c in list(nll)[:6]}, tokens, baseline)
    assert fewer[0].degrees_of_freedom < found[0].degrees_of_freedom  # cells without a comparison help, too
    assert compare(nll, tokens, {}) == []
    assert compare({"cell0": nll["cell0"]}, tokens, "cell0") == []


def test_a_family_of_more_comparisons_has_longer_intervals():
    nll, tokens = losses()
    one, all_ = compare(nll, tokens, {"cell1": "cell0"})[0], compare(nll, tokens, "cell0")[0]
    assert one.standard_error == all_.standard_error and one.high - one.low < all_.high - all_.low
    wide = compare(nll, tokens, "cell0", level=0.99)[0]
    assert wide.low < all_.low and wide.high > all_.high


def test_a_pair_asked_for_twice_or_the_other_way_round_is_one():
    nll, tokens = losses()
    once = differences(nll, tokens, [("cell1", "cell0"), ("cell2", "cell1")])
    often = differences(nll, tokens, [("cell1", "cell0"), ("cell0", "cell1"), ("cell2", "cell1"), ("cell1", "cell0")])
    assert often[0] == often[3] == once[0] and often[2] == once[1]
    assert (often[1].low, often[1].high) == (-once[0].high, -once[0].low)
    assert often[1].difference == -once[0].difference


def test_bytes_give_bits_per_byte():
    nll, tokens = losses()
    size = tokens * 4
    found = compare(nll, tokens, "cell0", bytes=size)[0]
    assert found.unit == "bits per byte"
    expected = (nll["cell1"].mean(0).sum() - nll["cell0"].mean(0).sum()) / math.log(2) / size.sum()
    assert found.difference == pytest.approx(expected, rel=1e-9)
    assert compare(nll, None, "cell0", bytes=size)[0] == found


def test_identical_cells_are_not_resolved():
    nll, tokens = losses(cells=1)
    copies = {name: nll["cell0"] for name in "abcdef"}
    found = compare(copies, tokens, "a")
    assert {(c.difference, c.verdict) for c in found} == {(0, "not resolved")}
    assert all(c.high - c.low < 1e-12 for c in found)
    assert {c.verdict for c in compare(copies, tokens, "a", margin=0.1)} == {"equivalent"}


def test_a_noisy_cell_is_named():
    nll, tokens = losses(seeds=5)
    wild = nll["cell4"] + np.array([1, -1, 1.5, -1.5, 0])[:, None] * 0.3 * tokens
    found = compare({**nll, "cell4": wild}, tokens, "cell0")
    assert [c.cell for c in found if "differ over 2.5 times" in " ".join(c.notes)] == ["cell4"]
    assert found[3].standard_error > 2.5 * found[2].standard_error


def test_seven_cells_take_less_than_a_fifth_of_a_second():
    nll, tokens = losses()
    compare(nll, tokens, "cell0")
    started = time.process_time()
    compare(nll, tokens, "cell0")
    assert time.process_time() - started < 0.2


GOOD, TOKENS = losses(cells=2, seeds=2, documents=30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nll": {}}, "nll has no cells"),
        ({"nll": {**GOOD, "x": np.ones((2, 29))}}, r"'cell0' has shape \(2, 30\), that of 'x' \(2, 29\)"),
        ({"nll": {"a": np.ones(30), "cell0": np.ones((2, 30))}}, r"nll of 'a' has shape \(30,\)"),
        ({"nll": {"a": np.ones((0, 30))}}, r"nll of 'a' has shape \(0, 30\)"),
        ({"nll": {**GOOD, "x": np.full((2, 30), np.nan)}}, r"nll of 'x', shape \(2, 30\), holds values that are not"),
        ({"nll": {**GOOD, "x": np.full((2, 30), np.inf)}}, "nll of 'x'.*not finite"),
        ({"nll": {**GOOD, "x": -np.ones((2, 30))}}, "nll of 'x'.*negative"),
        ({"nll": {**GOOD, "x": [[1.0], [1.0, 2.0]]}}, "nll of 'x' is no array of numbers"),
        ({"nll": {**GOOD, "x": [["a"] * 30] * 2}}, "nll of 'x' is no array of numbers"),
        ({"tokens": np.ones(29)}, r"tokens has shape \(29,\), but the cells have 30 documents"),
        ({"tokens": None}, "tokens"),
        ({"tokens": np.r_[0, np.ones(29)]}, "tokens.*above 0"),
        ({"tokens": np.r_[np.nan, np.ones(29)]}, "tokens.*above 0"),
        ({"bytes": np.zeros(30)}, "bytes.*above 0"),
        ({"bytes": np.ones(3)}, r"bytes has shape \(3,\)"),
        ({"baseline": "mamba"}, "baseline 'mamba' is no cell"),
        ({"baseline": ["cell0"]}, "is no cell"),
        ({"baseline": {"cell1": "mamba"}}, "no cell 'mamba'"),
        ({"baseline": {"mamba": "cell1"}}, "no cell 'mamba'"),
        ({"margin": 0}, "margin is 0"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"margin": math.nan}, "margin is nan"),
        ({"level": 1}, "level is 1"),
        ({"level": 0.0}, "level is 0.0"),
        ({"level": 95}, "level is 95"),
    ],
)
def test_input_that_means_nothing_is_refused(change, message):
    call = {"nll": GOOD, "tokens": TOKENS, "baseline": "cell0", **change}
    with pytest.raises(ValueError, match=message):
        compare(call.pop("nll"), call.pop("tokens"), call.pop("baseline"), **call)
