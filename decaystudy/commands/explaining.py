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
from decaystudy.study.execution.slurm_options import instead_of

ONE = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
    dict: "name: value pairs",
    Mapping: "name: value pairs",
}
SHORT = {"lr": "learning_rate"}
"""Short names of settings, which study files and --tune take."""
MANY = {int: "whole numbers", float: "numbers", str: "texts"}


def explain(parser: ArgumentParser, message: str, given: Sequence[str] | Mapping[str, Any]) -> UserError:
    """jsonargparse's message as one sentence, with the nearest valid choice.

    Args:
        given: what was parsed, the words of a call or nested values.
    """
    if match := re.search(r"[Uu]nrecognized arguments?: (.*)", message):
        word = match[1].split()[0]
        if not word.startswith("-") or word == "--":
            return UserError(
                f"unexpected argument {word!r}: settings are written --name value; see {parser.prog} --help"
            )
        if word.startswith("--model.") and not any(action.dest.startswith("model.") for action in parser._actions):
            name = word.split("=")[0][8:]
            return UserError(
                f"unknown setting --model.{name}: a study's cells set their model: write {name} in the study's file, "
                "below settings"
            )
        flag = word.split("=")[0]
        options = options_of(parser)
        if "--slurm.extra" in options and flag.startswith("--slurm.") and (instead := instead_of(flag[8:])):
            return UserError(f"unknown setting {flag}: {instead}; see {parser.prog} --help")
        close = meant(flag, options)
        hint = f"did you mean {close}? " if close else ""
        return UserError(f"unknown setting {flag}: {hint}see {parser.prog} --help for all of them")
    if match := re.search(r"arguments are required: (.*)|Option '([^']+)' is required", message):
        missing = (match[1] or match[2]).split(", ")
        needed = [action for action in parser._actions if action.dest in missing]
        lacking = " and ".join(f"{action.metavar} ({action.help})" for action in needed) or ", ".join(missing)
        return UserError(f"give {lacking}; see {parser.prog} --help")
    if match := re.search(r"(?:Group '([^']*)' does not accept option|Option) '([^']+)'", message):
        name = f"{match[1]}.{match[2]}" if match[1] else match[2]
        close = meant(f"--{name}", options_of(parser))
        hint = f"did you mean {close[2:]}? " if close else ""
        return UserError(f"unknown setting {name!r}: {hint}see {parser.prog} --help for all of them")
    if match := re.search(r"argument (\S+?)(?:/\S+)?: ignored explicit argument", message):
        return UserError(f"{match[1]} takes no value; see {parser.prog} --help")
    if match := re.search(r'Parser key "([^"]+)":', message):
        key = match[1]
        action = next((action for action in parser._actions if action.dest == key), None)
        said = re.search(r"(?:Got value|Given value): (.*)", message)
        written = value_of(key, action, given)
        value = f" is {written}" if written else f" is {shown(said[1].strip())}" if said else ""
        return UserError(f"{key}{value}: give {taken(action)}")
    if match := re.search(r"argument (--?[\w.\-/]+).*: expected (.*)", message):
        flag = valueless(match[1], given)
        following = after(flag, given)
        following = "" if following.partition("=")[0] in options_of(parser) else following
        minus = f", and what begins with a minus is written {flag}={following[:60]}" if following else ""
        return UserError(f"{flag} expects {match[2]}{minus}; see {parser.prog} --help")
    first = next((line.strip() for line in message.splitlines() if line.strip()), "the settings cannot be read")
    return UserError(f"{shortened(first, 200)}; see {parser.prog} --help")


def options_of(parser: ArgumentParser) -> list[str]:
    """Every option that it takes."""
    return [option for action in parser._actions for option in action.option_strings]


def valueless(flag: str, given: Sequence[str] | Mapping[str, Any]) -> str:
    """The flag as it was written where it lacks a value: ``--trainer.max_steps``, of which argparse says --trainer."""
    words = [] if isinstance(given, Mapping) else list(given)
    followed = zip(words, [*words, "-"][1:], strict=True)
    return next((word for word, other in followed if word.startswith(f"{flag}.") and other.startswith("-")), flag)


def after(flag: str, given: Sequence[str] | Mapping[str, Any]) -> str:
    """The word after a flag, if it looks like another; else empty."""
    words = [] if isinstance(given, Mapping) else list(given)
    following = words[words.index(flag) + 1 :][:1] if flag in words else []
    return following[0] if following and following[0].startswith("-") else ""


def meant(flag: str, options: Sequence[str]) -> str | None:
    """The option that an unknown flag may stand for: the one of the same last word, or short name, else the nearest."""
    last = flag.lstrip("-").rpartition(".")[2].replace("-", "_")
    word = SHORT.get(last, last)
    same = [option for option in options if option.rpartition(".")[2].lstrip("-").replace("-", "_") == word]
    return same[0] if len(same) == 1 else nearest(flag, options)


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
    return " or ".join(words) if words else "a YAML file of its settings, or each by name"


def in_words(hint: Any) -> list[str]:
    """The alternatives of a type, each in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return [word for part in parts for word in in_words(part)]
    if origin is Literal:
        return [str(part) for part in parts]
    if origin is tuple and len(set(parts)) == 1:
        example = ", such as [0.9, 0.999]" if parts == (float, float) else ""
        return [f"a list of {len(parts)} {MANY.get(parts[0], 'values')}{example}"]
    if origin in (list, tuple, Sequence):
        return [f"a list of {MANY.get(parts[0], 'values') if parts else 'values'}"]
    if is_dataclass(hint):
        return []
    word = ONE.get(origin or hint)
    return [word] if word else []
