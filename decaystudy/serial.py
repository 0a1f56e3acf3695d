"""Dataclasses to plain JSON data and back, checked field by field. Knows numbers, strings, enums, lists, tuples,
dictionaries by name, and dataclasses of these."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")
REST = {"rest": True}
"""Metadata of a field of type ``dict[str, ...]`` that takes whatever the other fields don't name. It is written flat:
its entries stand beside the other fields."""
_WORDS = {str: "a word", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}


class Mismatch(ValueError):
    """Plain data that doesn't fit a dataclass; the message names the field: ``runs[3] lacks 'id'``."""


def to_plain(value: Any, *, omit_none: bool = False) -> Any:
    """``value`` as dictionaries, lists, strings, numbers, booleans and None.

    Args:
        omit_none: leave out fields that are None (``from_plain`` takes their default, which should be None).
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain: dict[str, Any] = {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if REST.items() <= field.metadata.items():
                plain |= {key: to_plain(inner, omit_none=omit_none) for key, inner in item.items()}
            elif item is not None or not omit_none:
                plain[field.name] = to_plain(item, omit_none=omit_none)
        return plain
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, omit_none=omit_none) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, omit_none=omit_none) for item in value]
    return value


def from_plain(kind: type[T], plain: Any, where: str = "") -> T:
    """The value of type ``kind`` (a dataclass, as a rule) that ``to_plain`` made ``plain`` of.

    A field with a default may be missing.

    Args:
        where: what the message of an error calls it.

    Raises:
        Mismatch: a field is missing, unknown, or of another type.
    """
    return typing.cast(T, _read(kind, plain, where))


def _read(kind: Any, plain: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments, plain, where)
    if kind is Any:
        return plain
    if origin in (list, tuple):
        return _read_sequence(origin, arguments, plain, where)
    if origin is dict:
        if not isinstance(plain, Mapping):
            raise _wrong(plain, where, "an object")
        return {str(key): _read(arguments[1], item, f"{where}.{key}") for key, item in plain.items()}
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, plain, where)
    if issubclass(kind, Enum):
        try:
            return kind(plain)
        except ValueError:
            raise _wrong(plain, where, " or ".join(str(choice.value) for choice in kind)) from None
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        try:
            return float(plain)
        except OverflowError:
            raise Mismatch(f"{where or 'it'} is a whole number beyond all bounds, not a number") from None
    if not isinstance(plain, kind) or (isinstance(plain, bool) and kind is not bool):
        raise _wrong(plain, where, _WORDS.get(kind, str(kind)))
    return plain


def _read_union(options: tuple[Any, ...], plain: Any, where: str) -> Any:
    if plain is None and type(None) in options:
        return None
    others = [option for option in options if option is not type(None)]
    for option in others[:-1]:
        try:
            return _read(option, plain, where)
        except Mismatch:
            continue
    return _read(others[-1], plain, where)


def _read_sequence(origin: Any, arguments: tuple[Any, ...], plain: Any, where: str) -> Any:
    if not isinstance(plain, (list, tuple)):
        raise _wrong(plain, where, "a list")
    if origin is tuple and arguments[-1] is not Ellipsis:
        if len(plain) != len(arguments):
            raise _wrong(plain, where, f"a list of {len(arguments)}")
        kinds = arguments
    else:
        kinds = (arguments[0],) * len(plain)
    items = (_read(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, plain, strict=True)))
    return origin(items)


def _read_dataclass(kind: Any, plain: Any, where: str) -> Any:
    if not isinstance(plain, Mapping):
        raise _wrong(plain, where, "an object")
    hints = _hints(kind)
    values: dict[str, Any] = {}
    unnamed: str | None = None
    for field in dataclasses.fields(kind):
        place = f"{where}.{field.name}" if where else field.name
        if REST.items() <= field.metadata.items():
            unnamed = field.name
        elif field.name in plain:
            values[field.name] = _read(hints[field.name], plain[field.name], place)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Mismatch(f"{where or 'it'} lacks {field.name!r}")
    more = {key: item for key, item in plain.items() if key not in values}
    if unnamed is not None:
        values[unnamed] = _read(hints[unnamed], more, where)
    elif more:
        raise Mismatch(f"{where or 'it'} has an unknown field {next(iter(more))!r}")
    return kind(**values)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _wrong(plain: Any, where: str, wanted: str) -> Mismatch:
    return Mismatch(f"{where or 'it'} is {plain!r:.60}, not {wanted}")
