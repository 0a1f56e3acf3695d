"""The one reader of YAML: whose every part knows its line, so that an error can say where it is, and which no file can
make slow, large or surprising. Aliases are followed within bounds; tags have no use and are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from decaystudy.errors import UserError, nearest
from decaystudy.formatting import CONTROL
from decaystudy.io import check_file

Path_ = tuple[str | int, ...]


MOST_BYTES = 2**18
"""Of a file. The reader takes a second for so many at worst."""
MOST_PARTS = 20_000
"""Values in a file, those behind aliases counted at each of their places."""
MOST_LEVELS = 32
MOST_DIGITS = 19
"""Of a whole number: 64 bits."""
MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 but for what surprises: 1e-3 is a number, dates and 1:30 are text, and so are yes, no, on and off."""

    level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise _error(f"the tag {event.tag!r} has no use here: write the value alone", event.start_mark)
        self.level += 1
        if self.level > MOST_LEVELS:
            raise _error(f"nested more than {MOST_LEVELS} levels deep", event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.level -= 1
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), "tTfF")
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9][0-9_]*$"), "-+0123456789")
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?([0-9][0-9_]*\.?[0-9_]*([eE][-+]?[0-9]+)?|\.[0-9][0-9_]*([eE][-+]?[0-9]+)?"
        r"|\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
    ),
    "-+0123456789.",
)


@dataclass
class YamlDocument:
    """The content of a file, and the line of each part of it."""

    file: Path
    values: Any = None
    lines: dict[Path_, int] = field(default_factory=dict)

    def line(self, *path: str | int) -> int:
        """The line of that part, or of the nearest part that holds it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)

    def error(self, message: str, *path: str | int) -> UserError:
        """A UserError that names the file and the line of that part."""
        return self.error_at(self.line(*path), message)

    def error_at(self, line: int, message: str) -> UserError:
        """A UserError that names the file and that line."""
        return UserError(f"{self.file}:{line}: {message}")

    def unknown_key(self, key: object, choices: list[str], *path: str | int, what: str = "key") -> UserError:
        """The error for a key that is not among ``choices``, with the nearest one."""
        close = nearest(key, choices)
        hint = f"did you mean {close!r}?" if close else f"choose from {', '.join(choices)}"
        return self.error(f"unknown {what} {str(key)!r}: {hint}", *path)


def load(file: Path) -> YamlDocument:
    """Read a YAML file.

    Raises:
        UserError: it cannot be read, isn't YAML, is larger or deeper than a file of settings can be, or says a key
            twice; the message has file and line.
    """
    document = YamlDocument(file)
    try:
        check_file(file)
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # a path may hold NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read {str(file)!r}: {reason.lower()}") from error
    if len(content) > MOST_BYTES:
        raise UserError(f"{file} is larger than {MOST_BYTES // 1024} KiB: no file of settings, give another")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text at byte {error.start}: save it as UTF-8") from error
    try:
        document.values = _values(text, document)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or str(error).splitlines()[0])
        line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
        if isinstance(error, yaml.reader.ReaderError):
            problem = f"the character U+{int(error.character):04X} is not allowed"
        raise UserError(f"{file}:{line}: not valid YAML: {' '.join(problem.split())}") from error
    return document


def scalar(text: str) -> Any:
    """The value that a word stands for in a study file, or a flag of the command line: 1e-3 is a number, true is true.

    Raises:
        ValueError: it is no YAML, or none that a file may hold.
    """
    if len(text) > MOST_BYTES:
        raise ValueError("too long")
    try:
        values = _values(text, YamlDocument(Path("the command line")))
    except (UserError, yaml.YAMLError) as error:
        raise ValueError(str(getattr(error, "problem", None) or error).splitlines()[0]) from error
    # {a, b} and a: are YAML for names without values, and text to whoever writes them.
    return text if isinstance(values, dict) and values and all(v is None for v in values.values()) else values


def _values(text: str, document: YamlDocument) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _construct(loader, node, document, (), ())
    finally:
        loader.dispose()


def _construct(loader: _Loader, node: yaml.Node, document: YamlDocument, path: Path_, above: tuple[int, ...]) -> Any:
    document.lines[path] = node.start_mark.line + 1
    if len(document.lines) > MOST_PARTS:
        raise document.error(f"more than {MOST_PARTS:,} values, aliases followed: no file of settings", *path[:1])
    if id(node) in above:
        raise document.error("an alias that holds itself: write the part out", *path)
    above = (*above, id(node))
    if len(above) > MOST_LEVELS:
        raise document.error(f"nested more than {MOST_LEVELS} levels deep", *path)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, document, (*path, i), above) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        values: dict[str, Any] = {}
        merged: list[Any] = []
        for key_node, value_node in node.value:
            document.lines[path] = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise document.error("a key must be a word, not a list or a mapping", *path)
            if key_node.tag == MERGE:
                merged += _merged(_construct(loader, value_node, document, (*path, "<<"), above), document, path)
                continue
            key = _checked_text(key_node.value, document, path)
            if key in values:
                raise document.error(f"{key!r} stands here twice: keep one", *path)
            values[key] = _construct(loader, value_node, document, (*path, key), above)
            document.lines[(*path, key)] = key_node.start_mark.line + 1
        document.lines[path] = node.start_mark.line + 1
        for other in merged:
            values |= {key: value for key, value in other.items() if key not in values}
        return values
    return _scalar(loader, node, document, path)


def _merged(value: Any, document: YamlDocument, path: Path_) -> list[dict[str, Any]]:
    """The mappings whose keys ``<<`` takes over where they are not written, the first one first."""
    mappings = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in mappings):
        raise document.error("<< takes a mapping, or a list of mappings", *path)
    return mappings


def _scalar(loader: _Loader, node: yaml.Node, document: YamlDocument, path: Path_) -> Any:
    if node.tag == "tag:yaml.org,2002:int":
        digits = sum(character.isdigit() for character in node.value)
        if digits > MOST_DIGITS:
            raise document.error(f"a whole number of {digits:,} digits: give at most {MOST_DIGITS}", *path)
        return int(node.value.replace("_", ""))  # 010 is ten
    value = loader.construct_object(node, deep=True)
    return _checked_text(value, document, path) if isinstance(value, str) else value


def _checked_text(text: str, document: YamlDocument, path: Path_) -> str:
    if "\0" in text:
        raise document.error("a NUL character in a text: take it out", *path)
    if not text.isprintable() and (found := CONTROL.search(text)):
        raise document.error(f"a control character (U+{ord(found[0]):04X}) in a text: take it out", *path)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise document.error("half of a surrogate pair in a text: write the character itself", *path)
    return text


def _error(problem: str, mark: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(None, None, problem, mark)
