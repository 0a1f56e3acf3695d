"""Figures: the same numbers give the same file, and what cannot be written is said in a sentence."""

import logging
import os
from pathlib import Path

import pytest

from decaystudy.errors import UserError
from decaystudy.evaluation.figures import loss_by_position
from decaystudy.plotting import line_style, save, svg
from decaystudy.runs.evaluation import PositionLoss

CURVES = {"a": (PositionLoss(0, 15, 3.0), PositionLoss(16, 31, 2.5)), "b": (PositionLoss(0, 15, 3.5),)}


def test_the_same_numbers_give_the_same_figure() -> None:
    first, second = (svg(loss_by_position(CURVES, {16})) for _ in range(2))
    assert first == second and first.startswith("<svg") and ">a</text>" in first and "training length" in first


@pytest.mark.parametrize("ending", ["svg", "pdf"])
def test_files_have_no_date(tmp_path: Path, ending: str) -> None:
    files = [save(loss_by_position(CURVES, {16}), tmp_path / f"{name}.{ending}") for name in ("one", "two")]
    one, two = (file.read_bytes() for file in files)
    assert one == two and b"CreationDate" not in one


def test_fonts_go_into_a_file_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    save(loss_by_position(CURVES, {16}), tmp_path / "one.pdf")
    assert caplog.text == ""


def test_mistakes_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in .svg, .pdf or .png"):
        save(loss_by_position(CURVES, set()), tmp_path / "a.xyz")
    with pytest.raises(UserError, match="no such file"):
        save(loss_by_position(CURVES, set()), tmp_path / "none" / "a.svg")


def test_lines_are_told_apart_by_colour_dash_and_marker() -> None:
    assert len({line_style(hue).colour for hue in range(8)}) == 8
    assert len({line_style(hue, level) for hue in range(16) for level in range(4)}) == 64
    same, other = line_style(3, 0), line_style(3, 1)
    assert same.colour == other.colour and same.dash != other.dash


@pytest.mark.parametrize("date", ["abc", "-99999999999999"])
def test_a_date_that_is_none_changes_no_figure(date: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = svg(loss_by_position(CURVES, {16}))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
    assert svg(loss_by_position(CURVES, {16})) == before
    for ending in ("svg", "pdf", "png"):
        save(loss_by_position(CURVES, {16}), tmp_path / f"one.{ending}")
    assert os.environ["SOURCE_DATE_EPOCH"] == date
