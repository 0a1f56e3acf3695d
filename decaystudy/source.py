"""A hash of the code of a class of the user's own, so that results are not reused after the code has changed."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

CONSTANTS = (bool, int, float, complex, str, bytes, tuple, frozenset, type(None))


def source_digest(kind: type) -> str:
    """16 hexadecimal digits over the code of a class, what it inherits and the functions, classes and constants of the
    user's own that its methods name, and what those name in turn. Comments, docstrings and layout don't count."""
    parts: dict[str, str] = {}
    _collect(kind, parts)
    return hashlib.blake2b(
        "\n".join(f"{name}={parts[name]}" for name in sorted(parts)).encode(), digest_size=8
    ).hexdigest()


def _collect(thing: Any, parts: dict[str, str]) -> None:
    name = f"{thing.__module__}.{thing.__qualname__}"
    if name in parts or not _is_users_own(thing.__module__):
        return
    parts[name] = _normalised(thing)
    if isinstance(thing, type):
        for base in thing.__mro__[1:]:
            _collect(base, parts)
        functions = [inspect.unwrap(getattr(value, "__func__", value)) for value in vars(thing).values()]
    else:
        functions = [thing]
    for function in functions:
        if isinstance(function, FunctionType) and _is_users_own(function.__module__):
            for word in _names(function.__code__):
                _collect_named(function, word, parts)


def _collect_named(function: FunctionType, word: str, parts: dict[str, str]) -> None:
    value = function.__globals__.get(word)
    if isinstance(value, (type, FunctionType)):
        _collect(value, parts)
    elif word in function.__globals__ and isinstance(value, CONSTANTS):
        parts[f"{function.__module__}.{word}"] = repr(value)


def _names(code: CodeType) -> Iterator[str]:
    """Every global name that a function or one inside it uses."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _normalised(thing: Any) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):
        return "no source"  # made at run time, as a dataclass's own methods are
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _is_users_own(module: str) -> bool:
    """Whether a module is neither this package's, nor Python's, nor installed."""
    if module.partition(".")[0] in ("decaystudy", "builtins", *sys.stdlib_module_names):
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return False
    installed = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}
    return not any(Path(file).resolve().is_relative_to(Path(folder).resolve()) for folder in installed if folder)
