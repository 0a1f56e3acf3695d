"""Digits from errors."""

import math

import pytest

from decaystudy.statistics.digits import decimals, interval_text, rounded


@pytest.mark.parametrize(
    ("error", "places"),
    [(0.0123, 3), (0.12, 2), (0.0996, 2), (0.099, 3), (1.0, 1), (9.96, 0), (12, 0), (123, -1), (3e-7, 8)],
)
def test_two_significant_digits_of_the_error(error, places):
    assert decimals(error) == places


def test_without_an_error():
    for unknown in (None, 0.0, math.nan, math.inf):
        assert decimals(unknown) == 4
    assert decimals(1e-300) == 12


def test_numbers_as_text():
    assert rounded(-0.10549, 0.068) == "−0.105"
    assert rounded(0.10549, 0.068, signed=True) == "+0.105"
    assert rounded(5.55123, 0.0049) == "5.5512"
    assert rounded(1234.5, 123) == "1230"
    assert rounded(-0.0001, 0.01, signed=True) == "0.000"
    assert rounded(0.0, 0.01, signed=True) == "0.000"
    assert rounded(math.inf, 0.01) == "∞" and rounded(-math.inf, None) == "−∞"
    assert interval_text(-0.2231, 0.0134, 0.047) == "[−0.223, +0.013]"
