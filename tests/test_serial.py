"""Dataclasses to plain data and back: what is read is what was written, and what doesn't fit is named."""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from decaystudy.serial import REST, Mismatch, from_plain, to_plain


class Colour(StrEnum):
    RED = "red"
    DARK_BLUE = "dark-blue"


@dataclass(frozen=True)
class Leaf:
    size: float
    colour: Colour = Colour.RED
    notes: dict[str, float | None] = field(default_factory=dict, metadata=REST)


@dataclass(frozen=True)
class Tree:
    name: str
    leaves: tuple[Leaf, ...]
    span: tuple[float | None, float | None]
    by_name: dict[str, Leaf] = field(default_factory=dict)
    height: int | None = None
    tall: bool | None = None
    word_or_number: float | str | None = None
    anything: Any = None
    numbers: list[int] = field(default_factory=list)


TREE = Tree(
    "oak",
    (Leaf(1.5, notes={"age": 3.0, "weight": None}), Leaf(2.0, Colour.DARK_BLUE)),
    (None, 0.5),
    by_name={"first": Leaf(0.25)},
    height=3,
    tall=False,
    word_or_number="x",
    anything={"a": [1, None]},
    numbers=[1, 2],
)


def test_what_is_read_is_what_was_written() -> None:
    plain = to_plain(TREE)
    assert from_plain(Tree, json.loads(json.dumps(plain))) == TREE
    assert plain["leaves"][0] == {"size": 1.5, "colour": "red", "age": 3.0, "weight": None}
    assert type(plain["leaves"][1]["colour"]) is str


def test_fields_that_are_none_may_be_left_out() -> None:
    plain = to_plain(Tree("ash", (Leaf(1.0, notes={"age": None}),), (None, None)), omit_none=True)
    assert plain == {
        "name": "ash",
        "leaves": [{"size": 1.0, "colour": "red", "age": None}],
        "span": [None, None],
        "by_name": {},
        "numbers": [],
    }
    assert from_plain(Tree, plain) == Tree("ash", (Leaf(1.0, notes={"age": None}),), (None, None))


def test_a_whole_number_is_a_number() -> None:
    size = from_plain(Leaf, {"size": 2}).size
    assert size == 2.0 and isinstance(size, float)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"leaves": [{"colour": "red"}]}, "tree.leaves[0] lacks 'size'"),
        ({"leaves": [{"size": 1.0, "age": "old"}]}, "tree.leaves[0].age is 'old', not a number"),
        ({"leaves": [{"size": 1.0, "colour": "blue"}]}, "tree.leaves[0].colour is 'blue', not red or dark-blue"),
        ({"leaves": [{"size": 10**400}]}, "tree.leaves[0].size is a whole number beyond all bounds, not a number"),
        ({"leaves": {}}, "tree.leaves is {}, not a list"),
        ({"leaves": [3]}, "tree.leaves[0] is 3, not an object"),
        ({"span": [1.0]}, "tree.span is [1.0], not a list of 2"),
        ({"span": [1.0, "x"]}, "tree.span[1] is 'x', not a number"),
        ({"name": 3}, "tree.name is 3, not a word"),
        ({"name": None}, "tree.name is None, not a word"),
        ({"height": 1.5}, "tree.height is 1.5, not a whole number"),
        ({"height": True}, "tree.height is True, not a whole number"),
        ({"tall": 1}, "tree.tall is 1, not true or false"),
        ({"by_name": {"a": {}}}, "tree.by_name.a lacks 'size'"),
        ({"by_name": []}, "tree.by_name is [], not an object"),
        ({"numbers": ["a"]}, "tree.numbers[0] is 'a', not a whole number"),
        ({"widht": 3}, "tree has an unknown field 'widht'"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(Mismatch) as error:
        from_plain(Tree, {**to_plain(TREE), **change}, "tree")
    assert str(error.value) == says
