"""Tables and paragraphs that fit a terminal."""

import re

import pytest

from decaystudy.table import Column, Kind, Table
from decaystudy.terminal import fitted, fold, listed, reflowed

TABLE = Table(
    (
        Column("cell", Kind.WORDS),
        Column("seeds", drop=1),
        Column("validation loss"),
        Column("perplexity", drop=2),
        Column("difference to the baseline"),
        Column("verdict", Kind.VERDICT),
        Column("what is claimed", Kind.PROSE),
    ),
    (
        (
            "mamba2-shared",
            "0-2",
            "3.083 [2.971, 3.194]",
            "21.8",
            "+0.0211 [+0.0119, +0.0303]",
            "worse",
            "Sharing costs.",
        ),
        (
            "lightnet-independent",
            "0-2",
            "3.183 [3.072, 3.294]",
            "24.1",
            "−0.0188 [−0.0271, −0.0106]",
            "not judged (its cells don't all run)",
            "LightNet takes 184 k tokens, 1 h 02 min and 2.5 GiB, which is 3.1 ± 0.2 of the others, in each run.",
        ),
    ),
    notes=("Simultaneous 95 % intervals of 3 seeds.",),
)
WHOLE = (
    "3.083",
    "[2.971, 3.194]",
    "+0.0211",
    "[+0.0119, +0.0303]",
    "−0.0188",
    "[−0.0271, −0.0106]",
    "184 k",
    "2.5 GiB",
)
WHOLE += ("1 h 02 min", "3.1 ± 0.2")


def test_a_table_that_fits_stays_as_it_is() -> None:
    assert fitted(TABLE, None) == TABLE.text() == fitted(TABLE, 300)


@pytest.mark.parametrize("width", range(44, 130))
def test_no_number_and_no_interval_is_broken(width: int) -> None:
    text = fitted(TABLE, width)
    assert max(map(len, text.splitlines())) <= width, text
    for piece in WHOLE:
        assert piece in text, (piece, text)


def test_less_important_columns_go_first_and_are_named() -> None:
    wide, narrow = fitted(TABLE, 110), fitted(TABLE, 70)
    assert "21.8" in wide and "0-2" in wide and "Left out" not in wide
    assert "21.8" not in narrow and "0-2" in narrow
    assert narrow.endswith("Left out in 70 columns: perplexity; a wider terminal shows them."), narrow
    assert narrow.index("Simultaneous") < narrow.index("Left out")


def test_names_are_whole_where_there_is_room_for_them() -> None:
    assert "lightnet-independent" in fitted(TABLE, 110)
    folded = [line.split("  ")[0].strip() for line in fitted(TABLE, 78).splitlines()]
    assert "lightnet-" in folded and "independent" in folded


def test_sentences_stand_below_their_row_where_a_column_would_be_tall() -> None:
    lines = fitted(TABLE, 110).splitlines()
    assert "  Sharing costs." in lines and "what is claimed" not in lines[0]


def test_each_row_is_a_block_where_no_columns_fit() -> None:
    assert fitted(TABLE, 50).splitlines()[:2] == ["mamba2-shared", "  seeds                       0-2"]
    narrow = fitted(TABLE, 44)
    assert narrow.splitlines()[:3] == ["mamba2-shared", "  seeds", "    0-2"] and "Left out" not in narrow


def test_models_are_told_apart_by_long_paths() -> None:
    names = tuple(Column(f"runs/store/{name}-seed0-ce8a90f556a7") for name in ("mamba2-shared", "gla-shared"))
    table = Table((Column("metric", Kind.WORDS), *names), (("validation bits per byte", "1.1041", "1.1213"),))
    text = fitted(table, 60)
    assert max(map(len, text.splitlines())) <= 60 and "1.1041" in text
    assert "".join(re.findall(r"\S+", text)).count("seed0") == 2


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("note: one two three four", ["note: one two", "      three", "      four"]),
        ("resolve 12.5 nats", ["resolve", "12.5 nats"]),
        ("is [−0.01, +0.02] wide", ["is", "[−0.01, +0.02]", "wide"]),
        ("/a/path/that/is/longer/than/that", ["/a/path/that/is/longer/than/that"]),
        ("short\nlines", ["short", "lines"]),
    ],
)
def test_paragraphs_are_folded_between_words(text: str, lines: list[str]) -> None:
    assert fold(text, 14).splitlines() == lines
    assert fold(text, None) == text


def test_filled_anew_but_for_what_is_set_by_hand() -> None:
    text = "one two three\nfour five six seven\n\n  decaystudy fit --out a/long/path\n\nend"
    said = reflowed(text, 16)
    assert said == "one two three\nfour five six\nseven\n\n  decaystudy fit --out a/long/path\n\nend"
    assert reflowed(text, 80) == text


def test_beside_a_name() -> None:
    assert listed("  name  ", "one two three", 15) == "  name  one two\n        three"
    assert listed("  name  ", "one two three", None) == "  name  one two three"
