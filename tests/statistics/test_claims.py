"""Verdicts on comparisons and claims, from intervals alone."""

import pytest

from decaystudy.statistics.claims import (
    Bound,
    ClaimVerdict,
    Judgement,
    judge,
    judge_all,
    judge_every_scale,
    judge_winner,
    stricter_level,
)
from decaystudy.statistics.verdicts import Verdict, verdict

SUPPORTED, REFUTED = Judgement(ClaimVerdict.SUPPORTED), Judgement(ClaimVerdict.REFUTED)
OPEN, ONE_SEED = Judgement(ClaimVerdict.NOT_RESOLVED), Judgement(ClaimVerdict.NOT_JUDGED, "one seed")


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (-0.2, -0.1, None, "better"),
        (0.1, 0.2, None, "worse"),
        (-0.1, 0.2, None, "not resolved"),
        (0.0, 0.2, None, "not resolved"),
        (-0.2, 0.0, None, "not resolved"),
        (-0.01, 0.01, None, "not resolved"),
        (-0.01, 0.01, 0.02, "equivalent"),
        (-0.015, -0.005, 0.02, "equivalent"),
        (-0.03, -0.005, 0.02, "better"),
        (0.005, 0.02, 0.02, "worse"),
        (-0.02, 0.01, 0.02, "not resolved"),
    ],
)
def test_the_first_verdict_that_fits(low, high, margin, expected):
    found = verdict(low, high, margin)
    assert found == expected and isinstance(found, Verdict)


def test_higher_accuracies_are_better():
    assert verdict(0.1, 0.2, higher_is_better=True) == "better"
    assert verdict(-0.2, -0.1, higher_is_better=True) == "worse"
    assert verdict(-0.2, 0.1, higher_is_better=True) == "not resolved"


@pytest.mark.parametrize(
    ("bound", "low", "high", "expected"),
    [
        (Bound.above(0.1), 0.11, 0.2, "supported"),
        (Bound.above(0.1), 0.0, 0.09, "refuted"),
        (Bound.above(0.1), 0.1, 0.2, "not resolved"),
        (Bound.above(0.1), 0.05, 0.1, "not resolved"),
        (Bound.below(0), -0.2, -0.1, "supported"),
        (Bound.below(0), 0.1, 0.2, "refuted"),
        (Bound.below(0), -0.1, 0.2, "not resolved"),
        (Bound.within(0.1), -0.09, 0.09, "supported"),
        (Bound.within(0.1), 0.11, 0.3, "refuted"),
        (Bound.within(0.1), -0.3, -0.11, "refuted"),
        (Bound.within(0.1), -0.1, 0.05, "not resolved"),
        (Bound.within(0.1), -0.5, 0.5, "not resolved"),
        (Bound.outside(0.1), 0.11, 0.3, "supported"),
        (Bound.outside(0.1), -0.3, -0.11, "supported"),
        (Bound.outside(0.1), -0.09, 0.09, "refuted"),
        (Bound.outside(0.1), -0.2, 0.05, "not resolved"),
        (Bound(0.7, 0.9), 0.75, 0.85, "supported"),
        (Bound(0.7, 0.9), 0.91, 0.95, "refuted"),
        (Bound.above(0), None, None, "not judged (one seed)"),
    ],
)
def test_claims(bound, low, high, expected):
    assert str(judge(low, high, bound)) == expected


def test_bounds_that_mean_nothing_are_refused():
    for wrong in (lambda: Bound.within(0), lambda: Bound.outside(-1), lambda: Bound(2, 1), lambda: Bound(1, 1)):
        with pytest.raises(ValueError):
            wrong()


def test_a_list_is_supported_by_all_and_refuted_by_any():
    assert judge_all([SUPPORTED, SUPPORTED]) == SUPPORTED
    assert judge_all([SUPPORTED, OPEN]) == OPEN
    assert judge_all([OPEN, REFUTED, ONE_SEED]) == REFUTED
    assert judge_all([SUPPORTED, ONE_SEED, OPEN]) == ONE_SEED
    with pytest.raises(ValueError, match="without parts"):
        judge_all([])


def test_the_winner_is_judged_only_if_there_is_one():
    assert judge_winner(Verdict.BETTER, 0.1, 0.2) == SUPPORTED
    assert judge_winner(Verdict.BETTER, -0.2, -0.1) == REFUTED
    assert judge_winner(Verdict.WORSE, -0.2, -0.1) == SUPPORTED
    assert str(judge_winner(Verdict.NOT_RESOLVED, 0.1, 0.2)) == "not judged (no winner)"
    assert str(judge_winner(Verdict.EQUIVALENT, 0.1, 0.2)) == "not judged (no winner)"
    assert judge_winner(Verdict.ONE_SEED, None, None) == ONE_SEED


def test_every_size_supports_or_any_size_refutes_at_a_stricter_level():
    assert stricter_level(0.95, 5) == pytest.approx(0.99)
    assert judge_every_scale([SUPPORTED] * 3, [OPEN, SUPPORTED, SUPPORTED]) == SUPPORTED
    assert judge_every_scale([SUPPORTED, REFUTED], [SUPPORTED, OPEN]) == OPEN
    assert judge_every_scale([SUPPORTED, REFUTED], [SUPPORTED, REFUTED]) == REFUTED
    assert judge_every_scale([SUPPORTED, ONE_SEED], [OPEN, ONE_SEED]) == ONE_SEED
    with pytest.raises(ValueError, match="2 scales"):
        judge_every_scale([SUPPORTED] * 2, [SUPPORTED])
