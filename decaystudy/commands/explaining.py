"""What jsonargparse refuses, in one sentence: the setting, what was written for it, and what it takes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import ArgumentParser

from decaystudy.checks import shown
from decaystudy.errors import UserError, nearest
from decaystudy.formatting import shortened

ONE = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
    dict: "name: value pairs",
    Mapping: "name: value pairs",
}
MANY = {int: "whole numbers", float: "numbers", str: "texts"}


def explain(parser: ArgumentParser, message: str, given: Sequence[str] | Mapping[str, Any]) -> UserError:
    """jsonargparse's message as one sentence, with the nearest valid choice.

    Args:
        given: what was parsed, the words of a call or nested values.
    """
    if match := re.search(r"[Uu]nrecognized arguments?: (.*)", message):
        word = match[1].split()[0]
        options = [option for action in parser._actions for option in action.option_strings]
        if not word.startswith("-"):
            return UserError(
                f"unexpected argument {word!r}: settings are written --name value; see {parser.prog} --help"
            )
        close = nearest(word.split("=")[0], options)
        hint = f"did you mean {close}? " if close else ""
        return UserError(f"unknown setting {word.split('=')[0]}: {hint}see {parser.prog} --help for all of them")
    if match := re.search(r'Parser key "([^"]+)":', message):
        key = match[1]
        action = next((action for action in parser._actions if action.dest == key), None)
        said = re.search(r"(?:Got value|Given value): (.*)", message)
        written = value_of(key, action, given)
        value = f" is {written}" if written else f" is {shown(said[1].strip())}" if said else ""
        return UserError(f"{key}{value}: give {taken(action)}")
    if match := re.search(r"argument (--?[\w.\-/]+).*: expected (.*)", message):
        return UserError(f"{match[1]} expects {match[2]}; see {parser.prog} --help")
    first = next((line.strip() for line in message.splitlines() if line.strip()), "the settings cannot be read")
    return UserError(f"{shortened(first, 200)}; see {parser.prog} --help")


def value_of(key: str, action: argparse.Action | None, given: Sequence[str] | Mapping[str, Any]) -> str:
    """What was written for a setting, as it was written; empty if that isn't known."""
    if isinstance(given, Mapping):
        value: Any = given
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return ""
            value = value[part]
        return shown(value)
    options = [] if action is None else action.option_strings
    found = ""
    for word, following in zip(given, [*given[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in options:
            found = shown(value if equals else following)
    return found


def taken(action: argparse.Action | None) -> str:
    """What a setting takes, in words."""
    hint = getattr(action, "_typehint", None) or getattr(action, "type", None)
    words = list(dict.fromkeys(in_words(hint)))
    words.sort(key="null".__eq__)
    return " or ".join(words) if words else "its settings by name, one by one"


def in_words(hint: Any) -> list[str]:
    """The alternatives of a type, each in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return [word for part in parts for word in in_words(part)]
    if origin is Literal:
        return [str(part) for part in parts]
    if origin is tuple and len(set(parts)) == 1:
        return [f"a list of {len(parts)} {MANY.get(parts[0], 'values')}"]
    if origin in (list, tuple, Sequence):
        return [f"a list of {MANY.get(parts[0], 'values') if parts else 'values'}"]
    if is_dataclass(hint):
        return []
    word = ONE.get(origin or hint)
    return [word] if word else []
