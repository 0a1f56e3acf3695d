"""YAML whose every part knows its line, so that an error can say where it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from decaystudy.errors import UserError, nearest

Path_ = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.1 but for what surprises: 1e-3 is a number, dates and 1:30 are text, and so are yes, no, on and off."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), "tTfF")
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9][0-9_]*$"), "-+0123456789")
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9][0-9_]*\.?[0-9]*([eE][-+]?[0-9]+)?|\.[0-9]+([eE][-+]?[0-9]+)?|\.(inf|nan))$"),
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
        UserError: it cannot be read, isn't YAML, or says a key twice; the message has file and line.
    """
    document = YamlDocument(file)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text: save it as UTF-8") from error
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                document.values = _construct(loader, node, document, (), ())
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or str(error).splitlines()[0])
        line = mark.line + 1 if mark else 1
        raise UserError(f"{file}:{line}: not valid YAML: {' '.join(problem.split())}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid YAML: {error}") from error
    return document


def _construct(loader: _Loader, node: yaml.Node, document: YamlDocument, path: Path_, above: tuple[int, ...]) -> Any:
    document.lines[path] = node.start_mark.line + 1
    if id(node) in above:
        raise document.error("an alias that holds itself: write the part out", *path)
    above = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, document, (*path, i), above) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                document.lines[path] = key_node.start_mark.line + 1
                raise document.error("a key must be a word, not a list or a mapping", *path)
            key = key_node.value
            if key in values:
                document.lines[path] = key_node.start_mark.line + 1
                raise document.error(f"{key!r} stands here twice: keep one", *path)
            values[key] = _construct(loader, value_node, document, (*path, key), above)
            document.lines[(*path, key)] = key_node.start_mark.line + 1
        return values
    return loader.construct_object(node, deep=True)


def scalar(text: str) -> Any:
    """The value that a word stands for in a study file: 1e-3 is a number, true is true."""
    return yaml.load(text, _Loader)
