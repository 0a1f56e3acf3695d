"""Parsers of the verbs: jsonargparse over plain dataclasses, help, and errors of one sentence."""

from __future__ import annotations

import argparse
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace, set_loader, set_parsing_settings

from decaystudy.checks import shown
from decaystudy.commands.explaining import explain
from decaystudy.errors import UserError, unknown
from decaystudy.terminal import reflowed, terminal_width
from decaystudy.yaml_document import MOST_LEVELS, load, scalar

set_parsing_settings(docstring_parse_attribute_docstrings=True)
# Values of flags are read like those of files.
set_loader("settings", scalar, exceptions=(ValueError,))

WIDEST_HELP = 118
MISREAD = (argparse.ArgumentError, yaml.YAMLError, ValueError, TypeError, LookupError, OverflowError, RecursionError)
"""What jsonargparse, and the YAML reader behind it, raise on values that make no sense."""


NEGATIVE = re.compile(r"-(\.?\d|inf$|nan$)", re.IGNORECASE)
LONGEST_PATH = 4096
NAMES = {
    **dict.fromkeys(("FILE", "RESULTS"), "a file"),
    **dict.fromkeys(("DIR", "RUN", "RUN DIR"), "a folder"),
    "NAME_OR_FILE": "a study",
    **dict.fromkeys("AB", "a bundle or a folder"),
}
"""What the arguments name that the help calls so."""


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Descriptions as they are written, room for long names, and of each setting its type and default."""

    def __init__(self, prog: str) -> None:
        width = min(WIDEST_HELP, terminal_width() or WIDEST_HELP)
        super().__init__(prog, max_help_position=34, width=width)  # type: ignore[no-untyped-call]

    def _get_help_string(self, action: argparse.Action) -> str:
        text = str(action.help or "")
        if not action.option_strings or action.nargs == 0:
            return text
        facts: list[str] = []
        if (kind := self._get_type_str(action)) and not inspect.isfunction(action.type):
            facts.append(plain_type(kind))
        if isinstance(action.default, dict):
            facts += ["default: " + ", ".join(f"{name} {value}" for name, value in action.default.items())]
        elif action.default not in (None, argparse.SUPPRESS) and "(default:" not in text:
            facts.append("default: %(default)s")
        return f"{text} ({', '.join(facts)})" if facts else text


def make_parser(verb: str, description: str) -> ArgumentParser:
    """A parser that raises instead of exiting."""
    return ArgumentParser(
        prog=f"decaystudy {verb}",
        description=reflowed(description, terminal_width()),
        exit_on_error=False,
        allow_abbrev=False,
        formatter_class=HelpFormatter,
        default_env=False,
        parser_mode="settings",
    )


def parse(parser: ArgumentParser, arguments: list[str], *, defaults: bool = True) -> Namespace:
    """Parse the arguments; every mistake is a ``UserError``.

    Args:
        defaults: False returns only what was given.
    """
    _refuse_deep(parser, arguments)
    words = _plain(parser, arguments)
    try:
        given = parser.parse_args(words, defaults=defaults)
    except MISREAD as error:
        raise explain(parser, str(error), words) from None
    _refuse_nameless(parser, given)
    return given


def check_types(parser: ArgumentParser, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` (nested) converted to the parser's types; a wrong type is a ``UserError``."""
    _refuse_deep(parser, _texts(values))
    try:
        return dict(parser.parse_object(dict(values), defaults=False).as_dict())
    except MISREAD as error:
        raise explain(parser, str(error), values) from None


def _plain(parser: ArgumentParser, arguments: list[str]) -> list[str]:
    """The words as jsonargparse understands all: values that begin with a minus, and files of a section's settings.

    argparse takes ``-1e-3`` for a flag, and jsonargparse reads ``--model FILE`` without a word on where it is wrong.
    """
    words: list[str] = []
    for word in arguments:
        flag = words[-1] if words else ""
        action = parser._option_string_actions.get(flag)
        waits = flag.startswith("--") and "=" not in flag and (action is None or action.nargs != 0)
        if waits and (NEGATIVE.match(word) or _is_section(parser, flag)):
            words[-1] = f"{flag}={word}"
        else:
            words.append(word)
    return [flag for word in words for flag in _spread(parser, word)]


def _spread(parser: ArgumentParser, word: str) -> list[str]:
    """The word; for a section with a file, a flag for each of the settings in it."""
    flag, _, path = word.partition("=")
    if not _is_section(parser, flag) or not 0 < len(path) < LONGEST_PATH or not Path(path).is_file():
        return [word]
    values = read_config(path).items()
    return [f"{flag}.{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values]


def _is_section(parser: ArgumentParser, flag: str) -> bool:
    """Whether a flag stands for settings that have flags of their own, as ``--model`` does."""
    return any(option.startswith(f"{flag}.") for option in parser._option_string_actions)


def _refuse_nameless(parser: ArgumentParser, given: Namespace) -> None:
    """Refuse an empty text where a file or a folder is to be named: it would stand for the working folder."""
    for action in parser._actions:
        value = given.get(action.dest) if action.metavar in NAMES else None
        if value == "" or (isinstance(value, list) and "" in value):
            name = action.option_strings[0] if action.option_strings else str(action.metavar)
            raise UserError(f"{name} is empty: name {NAMES[str(action.metavar)]}")


def _refuse_deep(parser: ArgumentParser, words: Iterable[str]) -> None:
    """Refuse words of very many brackets: jsonargparse reads some by a parser in C that would end the process."""
    for word in words:
        depth = 0
        for bracket in re.findall(r"[\[{}\]]", word):
            depth += 1 if bracket in "[{" else -1
            if depth > MOST_LEVELS:
                raise UserError(
                    f"{shown(word)} is nested more than {MOST_LEVELS} levels deep; see {parser.prog} --help"
                )


def _texts(values: Any) -> Iterator[str]:
    """Every text in nested values."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, (Mapping, list, tuple)):
        for item in values.values() if isinstance(values, Mapping) else values:
            yield from _texts(item)


def read_config(path: str) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    values = load(Path(path)).values
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no settings: write them as name: value")
    return values


def check_keys(values: Mapping[str, Any], config: type, where: str) -> None:
    """Refuse keys that are not fields of the dataclass ``config``."""
    known = [field.name for field in fields(config)]
    for key in values:
        if key not in known:
            raise unknown(f"setting in {where}:", key, known)


def sections(config: type) -> Iterator[tuple[str, type]]:
    """Name and class of each field that is itself a dataclass."""
    from typing import get_type_hints

    for name, kind in get_type_hints(config).items():
        if is_dataclass(kind):
            yield name, kind  # type: ignore[misc]


def plain_type(text: str) -> str:
    """A type as the help shows it: ``int | full`` for jsonargparse's ``Union[int, Literal['full'], null]``."""
    text = re.sub(r"Literal\[(.*?)\]", lambda match: match[1].replace("'", ""), text)
    if match := re.fullmatch(r"Union\[(.*)\]", text):
        text = match[1].replace(", ", " | ")
    return text.removesuffix(" | null")
