"""Kinds of claims beside those of test_planted_claims: what they take, and when they hold."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decaystudy.errors import UserError
from decaystudy.study.definition.claims import ClaimResult
from decaystudy.study.definition.claims.margins import MARGINS
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from tests.study import small
from tests.study.planted import answer_of, plant, write_answers

HEAD = "title: T\nquestion: Q?\nscale: tiny\naxis: p\nbaseline: a\nseeds: [0, 1, 2, 3, 4]\ncells:\n" + "".join(
    f"  - {{name: {name}, decay: simple, p: 0.{p}}}\n" for name, p in zip("abcdef", range(3, 9), strict=True)
)
Shares = dict[str, dict[str, float]]


def claim(
    folder: Path, words: str, effects: dict[str, float], shares: Shares | None = None, **more: Any
) -> ClaimResult:
    """The claim's result, where cells have these losses, and these shares of right answers by task."""
    study = expand(read_study(str(small.write_study(folder, f"{HEAD}claims:\n  - {{id: x, says: y, {words}}}\n"))))
    store = Store(folder / "out")
    plant(study, store, effects, **more)
    for key, run in enumerate(study.runs() if shares else ()):
        folder_of_run = store.find(run)
        assert folder_of_run is not None
        write_answers(folder_of_run, {task: own.get(run.cell, 0.5) for task, own in (shares or {}).items()}, key)
    return answer_of(study, store).claims[0]


@pytest.mark.parametrize(
    ("loss", "median", "words"),
    [
        (-0.1, 0.95, "supported"),
        (-0.1, 0.5, "refuted"),
        (0.1, 0.5, "supported"),
        (0.1, 0.95, "refuted"),
        (0.0, 0.95, "not judged (no winner)"),
    ],
)
def test_the_winner_has_the_higher_median_only_where_one_wins(
    tmp_path: Path, loss: float, median: float, words: str
) -> None:
    assert claim(tmp_path, "winner: [b, a]", {"b": loss}, decays={"b": [median] * 3}).words == words


def test_pairs_without_a_winner_say_nothing_about_winners(tmp_path: Path) -> None:
    words = "winner: [[c, a], [b, a]]"
    found = claim(tmp_path / "some", words, {"b": -0.1}, decays={"b": [0.95] * 3, "c": [0.5] * 3})
    assert found.words == "supported" and found.decisive is not None and "b minus a" in found.decisive.about
    stayed = claim(tmp_path / "stayed", "winner: [b, a]", {"b": -0.1}, decays={"b": [0.8] * 3, "a": [0.8] * 3})
    assert stayed.words == "not judged (λ has not left its start)"


def test_one_of_several_pairs_may_do(tmp_path: Path) -> None:
    words = "difference: [[b, a], [c, a]], below: 0, holds_for: any"
    for i, (effects, verdict) in enumerate(
        [
            ({"b": 0.1, "c": -0.1}, "supported"),
            ({"b": 0.1, "c": 0.1}, "refuted"),
            ({"b": 0.1}, "not resolved"),
        ]
    ):
        found = claim(tmp_path / str(i), words, effects)
        assert found.verdict == verdict and found.decisive is not None and found.decisive.verdict == verdict


def test_near_is_within_a_factor_of_two_of_a_half_life(tmp_path: Path) -> None:
    for i, (layers, verdict) in enumerate(
        [([0.8, 0.8, 0.85], "supported"), ([0.8, 0.8, 0.92], "refuted"), ([0.8, 0.6, 0.8], "refuted")]
    ):
        found = claim(tmp_path / f"every{i}", "decay: {cell: b, layers: every}, near: 0.8", {}, decays={"b": layers})
        assert found.verdict == verdict, layers
    for i, (layers, verdict) in enumerate(
        [([0.9, 0.3, 0.001], "supported"), ([0.9, 0.6, 0.001], "refuted"), ([0.9, 0.447, 0.9], "not resolved")]
    ):
        found = claim(tmp_path / f"some{i}", "decay: {cell: b, layers: some}, near: 0.2", {}, decays={"b": layers})
        assert found.verdict == verdict, layers
    part = found.decisive
    assert part is not None and part.wanted[1] == pytest.approx(0.5 ** (1 / (2 * math.log(0.5) / math.log(0.2))))


def test_gains_on_some_tasks_and_losses_on_others(tmp_path: Path) -> None:
    words = "mixed: {cell: b, minus: a}, outside: 0.05"
    for i, (piqa, boolq, verdict) in enumerate(
        [(0.8, 0.2, "supported"), (0.8, 0.8, "refuted"), (0.2, 0.2, "refuted"), (0.8, 0.5, "refuted")]
    ):
        shares = {"piqa": {"b": piqa}, "boolq": {"b": boolq}}
        assert claim(tmp_path / str(i), words, {}, shares).verdict == verdict, (piqa, boolq)
    assert "not been evaluated" in claim(tmp_path / "never", words, {}).words


def test_accuracies_of_several_pairs(tmp_path: Path) -> None:
    words = "accuracy: {pairs: [[b, a], [c, a]], task: each}, above: points"
    shares = {"piqa": {"b": 0.8, "c": 0.8}, "boolq": {"b": 0.8, "c": 0.8}}
    found = claim(tmp_path / "both", words, {}, shares)
    assert found.verdict == "supported" and len(found.parts) == 4
    shares["boolq"]["c"] = 0.3
    assert claim(tmp_path / "one", words, {}, shares).verdict == "refuted"


def test_margins_have_names(tmp_path: Path) -> None:
    study = expand(read_study(str(small.write_study(tmp_path, HEAD + NAMED))))
    bounds = [claim.bounds for claim in study.claims]
    assert [(b.low, b.high, b.outside) for b in bounds] == [
        (0.02, math.inf, False),
        (-0.02, math.inf, False),
        (-0.02, 0.02, True),
        (-math.inf, -math.log(2), False),
    ]
    assert study.claims[0].margin_text() == "above 0.02 (matters)"
    assert study.claims[1].margin_text() == "above -0.02 (-matters)"
    assert study.claims[2].margin_text() == "outside ±0.02 (matters)"
    for margin in MARGINS.values():
        assert margin.why and margin.words and np.isfinite(margin.value)


NAMED = """claims:
  - {id: a, says: y, difference: [b, a], above: matters}
  - {id: b, says: y, difference: [b, a], above: -matters}
  - {id: c, says: y, difference: [b, a], outside: matters}
  - {id: d, says: y, decay: {cell: b, minus: a}, below: -doubled}
"""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("difference: [b, a], above: maters", "give a number, or a margin of matters"),
        ("difference: [b, a], above: points", "points is a margin in accuracy, and this claim is about nats per token"),
        ("difference: [b, a], near: 0.8", "near takes the λ of one cell"),
        ("decay: {cell: b}, near: 1", "near takes the λ of one cell"),
        ("difference: [b, a], above: 0, holds_for: some", "all .of its pairs. or any"),
        ("difference: [b, a], above: 0, every_scale: [small]", "unknown scale of the study 'small'"),
        ("difference: [b, a], above: 0, statement: 7", "give the id of a statement"),
        ("winner: [b], below: 0", "at least 2"),
        ("winner: [b, a], below: 0", "no meaning"),
        ("mixed: {cell: b}, outside: 0.1", "mixed takes two cells"),
        ("mixed: {cell: b, minus: a}, above: 0.1", "give outside:"),
        ("accuracy: {pairs: [[b, a]], cell: b}, above: 0", "keep one of them"),
        ("nowhere.Mine: {}", "cannot import the kind of claim 'nowhere.Mine'"),
        ("math.pi: {}", "no kind of claim"),
    ],
)
def test_claims_that_make_no_sense(tmp_path: Path, words: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as refused:
        expand(read_study(str(small.write_study(tmp_path, f"{HEAD}claims:\n  - {{id: x, says: y, {words}}}\n"))))
    assert "small.yaml:15: " in str(refused.value)


def test_a_kind_of_ones_own_is_one_file(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "add-a-claim.md").read_text()
    (tmp_path / "ownkinds.py").write_text(page.split("```python\n")[1].split("```")[0])
    found = claim(tmp_path, "ownkinds.Best: [b, a, c], below: 0", {"b": -0.1})
    assert (found.kind, found.verdict, len(found.parts)) == ("best", "supported", 2)
    with pytest.raises(UserError, match="best takes a cell and those that it beats"):
        claim(tmp_path / "short", "ownkinds.Best: [b], below: 0", {})


@pytest.mark.long
def test_the_levels_of_decay_value_tell_one_optimum_from_another(tmp_path: Path) -> None:
    for best, verdict in ((0.6, "refuted"), (0.8, "supported"), (0.95, "refuted")):
        study = expand(read_study("decay-value"), seeds=(0, 1, 2))
        store = Store(tmp_path / str(best))
        levels = {cell.name: float(cell.name.removeprefix("constant-")) for cell in study.cells if "-" in cell.name}
        effects = {name: 0.05 * math.log(math.log(best) / math.log(level)) ** 2 for name, level in levels.items()}
        decays = {name: [level] * 3 for name, level in levels.items()}
        plant(study, store, effects, decays=decays, starts=decays, seed_noise=0.005)
        found = next(one for one in answer_of(study, store).claims if one.id == "optimum-near-0.8")
        assert found.verdict == verdict, (best, found)
        assert found.decisive is not None and found.decisive.effect == pytest.approx(best, abs=0.03)


def test_a_curve_that_does_not_bend_has_no_lowest_point(tmp_path: Path) -> None:
    """Losses that rise with the half-life all along, and bend less than the seeds' noise."""
    study = expand(read_study("decay-value"), scale="mini", seeds=(0, 1, 2))
    levels = {cell.name: float(cell.name.removeprefix("constant-")) for cell in study.cells if "-" in cell.name}
    decays = {name: [level] * 3 for name, level in levels.items()}
    half_lives = {name: math.log(math.log(0.5) / math.log(level)) for name, level in levels.items()}
    effects = {name: 0.15 * x + 0.006 * x**2 for name, x in half_lives.items()}
    store = Store(tmp_path)
    plant(study, store, effects, decays=decays, starts=decays, seed_noise=0.05)
    found = next(one for one in answer_of(study, store).claims if one.id == "optimum-near-0.8")
    assert found.verdict == "not resolved" and found.decisive is not None
    assert (found.decisive.effect, found.decisive.low, found.decisive.high) == (None, None, None)
