"""Claims about losses, decays and optima, judged on studies with planted effects."""

import math
from pathlib import Path

import pytest

from tests.study.judged import CONSTANTS, NOISY, answer, claim, make

KINDS = [
    ("difference: [b, a], above: 0.02", {"b": 0.1}, {"b": 0.0}, {"b": 0.02}),
    ("difference: [b, a], below: 0", {"b": -0.1}, {"b": 0.1}, {}),
    ("difference: [b, a], within: 0.02", {"b": 0.0}, {"b": 0.1}, {"b": 0.02}),
    ("difference: [b, a], outside: 0.02", {"b": -0.1}, {"b": 0.0}, {"b": 0.02}),
    ("difference: [[b, a], [c, a]], above: 0", {"b": 0.1, "c": 0.1}, {"b": 0.1, "c": -0.1}, {"b": 0.1}),
    ("ordering: [a, b, c]", {"b": 0.1, "c": 0.2}, {"b": 0.2, "c": 0.1}, {"b": 0.1, "c": 0.1}),
]


@pytest.mark.parametrize(("words", "supporting", "refuting", "between"), KINDS)
def test_claims_about_losses(
    tmp_path: Path, words: str, supporting: dict[str, float], refuting: dict[str, float], between: dict[str, float]
) -> None:
    for i, (effects, verdict) in enumerate(
        [(supporting, "supported"), (refuting, "refuted"), (between, "not resolved"), (supporting, "not resolved")]
    ):
        noise = NOISY if i == 3 else {}
        found = claim(tmp_path / str(i), words, effects, **noise)
        assert (found.verdict, found.why) == (verdict, None), (effects, found)
        part = found.decisive
        assert part is not None and part.verdict == verdict
        assert part.low is not None and part.effect is not None and part.high is not None
        assert part.low < part.effect < part.high


@pytest.mark.parametrize(
    ("words", "supporting", "refuting", "between"),
    [
        ("decay: {cell: b, layers: every}, above: 0.6", [0.7, 0.9, 0.8], [0.7, 0.5, 0.8], [0.9, 0.6, 0.8]),
        ("decay: {cell: b, layers: every}, between: [0.6, 0.9]", [0.7, 0.8, 0.8], [0.7, 0.95, 0.8], [0.7, 0.9, 0.8]),
        ("decay: {cell: b, layers: some}, below: 0.3", [0.7, 0.2, 0.8], [0.7, 0.4, 0.8], [0.7, 0.3, 0.8]),
        ("decay: {cell: b, layers: mean}, between: [0.7, 0.9]", [0.8] * 3, [0.5] * 3, [0.9] * 3),
        ("decay: {cell: b, layers: 1}, above: 0.5", [0, 0.6, 0], [1, 0.4, 1], [1, 0.5, 1]),
        ("decay: {cell: b, layers: late-minus-early}, below: -0.1", [0.9, 0.5, 0.3], [0.5] * 3, [0.9, 0.1, 0.8901]),
        ("decay: {cell: b, minus: a, layers: every}, above: 0", [0.75, 0.85, 0.95], [0.8, 0.7, 1.0], [0.7, 0.9, 1.0]),
        ("decay: {cell: b, minus: a, statistic: mean}, above: 0", [0.9] * 3, [0.7] * 3, [0.7, 0.8, 0.9]),
        ("decay: {cell: b, minus: a, layers: count above 0.75}, below: 0", [0.7, 0.7, 0.9], [0.8, 0.8, 0.8], None),
    ],
)
def test_claims_about_decays(
    tmp_path: Path, words: str, supporting: list[float], refuting: list[float], between: list[float] | None
) -> None:
    planted = [(supporting, "supported"), (refuting, "refuted"), (between, "not resolved")]
    for i, (layers, verdict) in enumerate(planted):
        if layers is not None:
            found = claim(tmp_path / str(i), words, {}, decays={"b": layers}, starts={"b": [0.99, 0.1, 0.05]})
            assert (found.verdict, found.why) == (verdict, None), (layers, found)


def test_a_decay_is_shown_as_it_is_and_differences_as_half_lives(tmp_path: Path) -> None:
    one = claim(tmp_path / "one", "decay: {cell: b, layers: 1}, above: 0.6", {}, decays={"b": [0.7, 0.75, 0.9]})
    assert one.decisive is not None and one.decisive.effect == pytest.approx(0.75, abs=0.005)
    two = claim(tmp_path / "two", "decay: {cell: b, minus: a, layers: 1}, above: 0", {}, decays={"b": [0.7, 0.9, 0.9]})
    assert two.decisive is not None
    assert two.decisive.effect == pytest.approx(math.log(math.log(0.8) / math.log(0.9)), abs=0.05)
    assert "log half-life" in two.decisive.about


def test_a_count_is_not_resolved_where_seeds_disagree(tmp_path: Path) -> None:
    found = claim(tmp_path, "decay: {cell: b, layers: count above 0.8}, above: 1.5", {}, decays={"b": [0.7, 0.8, 0.9]})
    assert found.verdict == "not resolved"


def test_decays_that_have_not_left_their_start_decide_nothing(tmp_path: Path) -> None:
    planted = {"decays": {"b": [0.7, 0.9, 0.8]}, "starts": {"b": [0.7, 0.9, 0.8]}}
    stayed = claim(tmp_path / "stayed", "decay: {cell: b, layers: every}, above: 0.6", {}, **planted)
    assert (stayed.verdict, stayed.why) == ("not judged", "λ has not left its start")
    same = claim(tmp_path / "same", "decay: {cell: b, minus: a, layers: count above 0.5}, below: 0", {})
    assert (same.verdict, same.why) == ("not judged", "λ has not left its start")
    unknown = claim(tmp_path / "unknown", "decay: {cell: b, layers: every}, above: 0.6", {}, starts={"b": []})
    assert (unknown.verdict, unknown.why) == ("not judged", "no record of step 0")


def test_claims_about_an_optimum(tmp_path: Path) -> None:
    half_lives = dict(zip("abcdef", (0.7, 1.5, 3, 6, 12, 24), strict=True))
    decays = {name: [0.5 ** (1 / half_life)] * 3 for name, half_life in half_lives.items()}
    for i, (best, verdict) in enumerate([(3.0, "supported"), (20.0, "refuted"), (None, "not resolved")]):
        planted = {name: 0.0 if best is None else 0.1 * math.log(h / best) ** 2 for name, h in half_lives.items()}
        study = make(tmp_path / str(i), "{id: x, says: y, optimum: {at: 0.8}}", head=CONSTANTS)
        found = answer(tmp_path / str(i), study, planted, decays=decays).claims[0]
        assert found.verdict == verdict, found
        if best is not None:
            assert found.decisive is not None
            assert found.decisive.effect == pytest.approx(0.5 ** (1 / best), abs=0.02)
