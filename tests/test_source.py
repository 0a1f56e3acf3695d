"""The hash of the user's own code: what changes it, and what doesn't."""

import importlib
import itertools
import sys
from pathlib import Path

import pytest

from decaystudy.source import source_digest

NUMBERS = itertools.count()
OWN = '''\
import functools

import {package}.helpers as helpers
from {package} import helpers as again

STRENGTH = 2.0
TABLE = {{"a": [1, 2]}}


def doubled(function):
    @functools.wraps(function)
    def wrapper(*words):
        return 2 * function(*words)

    return wrapper


class Base:
    def base(self):
        return again.deep.TENTH


class Mine(Base):
    """A class."""

    @doubled
    def value(self, x):
        from {package}.late import shifted

        return shifted(helpers.scaled(x)) * STRENGTH + TABLE["a"][0] + self.base()
'''
HELPERS = """\
from {package} import deep


def scaled(x):
    return x * deep.TENTH


def unused(x):
    return x
"""
DEEP = "TENTH = 0.1\nUNUSED = 1\n"
LATE = "def shifted(x):\n    return x + 1\n"


def digest(folder: Path, monkeypatch: pytest.MonkeyPatch, *change: str) -> str:
    """The hash of Mine after the text ``change[0]`` was replaced by ``change[1]`` wherever it stands."""
    package = "userpackage"
    place = folder / str(next(NUMBERS)) / package
    place.mkdir(parents=True)
    for name, text in {"own": OWN, "helpers": HELPERS, "deep": DEEP, "late": LATE}.items():
        written = text.format(package=package)
        (place / f"{name}.py").write_text(written.replace(*change) if change else written)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    monkeypatch.setattr(sys, "path", [*sys.path, str(place.parent)])
    importlib.invalidate_caches()
    found = source_digest(importlib.import_module(f"{package}.own").Mine)
    monkeypatch.undo()
    return found


@pytest.mark.parametrize(
    "change",
    [
        ("* STRENGTH", "/ STRENGTH"),
        ("STRENGTH = 2.0", "STRENGTH = 3.0"),
        ("[1, 2]", "[2, 2]"),
        ("return x * deep", "return x / deep"),
        ("TENTH = 0.1", "TENTH = 0.2"),
        ("return x + 1", "return x + 2"),
        ("return 2 * function", "return 3 * function"),
        ("return again.deep.TENTH", "return -again.deep.TENTH"),
    ],
    ids=lambda change: change[1],
)
def test_what_counts(tmp_path, monkeypatch, change):
    assert digest(tmp_path, monkeypatch, *change) != digest(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "change",
    [
        ('"""A class."""', '"""Another."""\n    # a comment'),
        ("UNUSED = 1", "UNUSED = 2"),
        ("def unused(x):\n    return x", "def unused(x):\n    return -x"),
        ("x * deep", "x  *  deep"),
    ],
    ids=lambda change: change[1],
)
def test_what_does_not(tmp_path, monkeypatch, change):
    assert digest(tmp_path, monkeypatch, *change) == digest(tmp_path, monkeypatch)
