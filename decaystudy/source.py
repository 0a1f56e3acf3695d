"""A hash of the code of a class of the user's own, so that results are not reused after the code has changed."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Iterator, Mapping
from importlib.util import resolve_name
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

CONSTANTS = (bool, int, float, complex, str, bytes, range, type(None))
_NOBODYS = {"decaystudy", "builtins", *sys.stdlib_module_names}


@functools.cache
def source_digest(kind: type) -> str:
    """16 hexadecimal digits over the code of a class, what it inherits and the functions, classes and constants of the
    user's own that it names, and what those name in turn. Comments, docstrings and layout don't count."""
    walk = _Walk(kind.__module__.partition(".")[0])
    walk.visit(kind)
    listed = "\n".join(f"{name}={walk.parts[name]}" for name in sorted(walk.parts))
    return hashlib.blake2b(listed.encode(), digest_size=8).hexdigest()


class _Walk:
    """Follows names through the user's code.

    Args:
        package: top-level module of the class; it counts as the user's own even where it is installed.
    """

    def __init__(self, package: str) -> None:
        self.package = package
        self.parts: dict[str, str] = {}
        """By full name: normalised source, or the value of a constant."""

    def visit(self, thing: Any) -> None:
        """Take a class or function and what its code names."""
        thing = inspect.unwrap(thing)
        name = f"{thing.__module__}.{thing.__qualname__}"
        if name in self.parts or not self.is_own(thing.__module__):
            return
        tree = _tree(thing)
        if tree is None:
            self.parts[name] = _fingerprint(thing)
            return
        self.parts[name] = ast.unparse(tree)
        if isinstance(thing, type):
            for base in thing.__mro__[1:]:
                self.visit(base)
        names = {**_names_seen_by(thing), **self.imports(tree, thing.__module__)}
        for path in _paths(tree):
            self.follow(path, names)

    def follow(self, path: tuple[str, ...], names: Mapping[str, Any]) -> None:
        """Take what ``a.b.c`` stands for: through modules to the first thing that is none."""
        if path[0] not in names:
            return
        value, label = names[path[0]], f"{names.get('__name__', '')}.{path[0]}"
        for word in path[1:]:
            if not isinstance(value, ModuleType):
                break
            if not self.is_own(value.__name__) or word not in vars(value):
                return
            value, label = vars(value)[word], f"{value.__name__}.{word}"
        self.take(label, value)

    def take(self, label: str, value: Any) -> None:
        """Take a value that the code names."""
        if isinstance(value, (type, FunctionType)) or (callable(value) and hasattr(value, "__wrapped__")):
            self.visit(value)
        elif isinstance(value, functools.partial):
            self.take(label, value.func)
            self.take(f"{label}()", [*value.args, *sorted(value.keywords.items())])
        elif (text := _constant(value)) is not None:
            self.parts[label] = text
        elif not isinstance(value, ModuleType) and self.is_own(type(value).__module__):
            self.visit(type(value))
            for name, item in sorted(vars(value).items() if hasattr(value, "__dict__") else ()):
                self.parts[f"{label}.{name}"] = _constant(item) or type(item).__qualname__

    def imports(self, tree: ast.AST, module: str) -> dict[str, Any]:
        """What code binds by importing from the user's own modules, by name."""
        package = module if hasattr(sys.modules[module], "__path__") else module.rpartition(".")[0]
        bound: dict[str, Any] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found = self.imported(alias.name)
                    if found is not None:
                        top = alias.name.partition(".")[0]
                        bound |= {alias.asname: found} if alias.asname else {top: sys.modules[top]}
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                base = resolve_name("." * node.level + base, package) if node.level else base
                for alias in node.names:
                    found = self.imported(base)
                    if found is not None:
                        inner = self.imported(f"{base}.{alias.name}") if not hasattr(found, alias.name) else None
                        bound[alias.asname or alias.name] = inner or getattr(found, alias.name, None)
        return bound

    def imported(self, name: str) -> ModuleType | None:
        """A module of the user's own, by name; None for any other, which is not loaded for this."""
        try:
            return importlib.import_module(name) if self.may_be_own(name) else None
        except Exception:  # whatever the user's own module does when it is imported
            return None

    def may_be_own(self, name: str) -> bool:
        """Whether a module that is not loaded is the user's own, without loading it."""
        top = name.partition(".")[0]
        if top in _NOBODYS:
            return False
        spec = importlib.util.find_spec(top)
        places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
        return top == self.package or any(place and not _is_installed(place) for place in places)

    def is_own(self, module: str) -> bool:
        """Whether a module is neither this package's, nor Python's, nor somebody else's that is installed."""
        top = module.partition(".")[0]
        if top in _NOBODYS:
            return False
        loaded = sys.modules.get(module)
        file = getattr(loaded, "__file__", None)
        places = [file] if file else list(getattr(loaded, "__path__", ()))
        return bool(places) and (top == self.package or not any(map(_is_installed, places)))


def _is_installed(place: str) -> bool:
    path = Path(place).resolve()
    folders = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or any(
        path.is_relative_to(Path(folder).resolve()) for folder in folders if folder
    )


def _tree(thing: Any) -> ast.Module | None:
    """The syntax tree of a class or function without docstrings; None for what was made at run time."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _fingerprint(thing: Any) -> str:
    """Stands for the source of a function that has none of its own, such as a lambda inside a call."""
    code = getattr(thing, "__code__", None)
    if not isinstance(code, CodeType):
        return "no source"
    constants = [_constant(value) or type(value).__name__ for value in code.co_consts]
    return f"{code.co_code.hex()} {constants} {code.co_names}"


def _names_seen_by(thing: Any) -> dict[str, Any]:
    """What a name in the code of a class or function may stand for."""
    names = dict(vars(sys.modules[thing.__module__]))
    if isinstance(thing, FunctionType):
        for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True):
            try:
                names[name] = cell.cell_contents
            except ValueError:  # not bound yet
                continue
    return names


def _paths(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """Every name in the code, with the attributes that follow it: ``helpers.scaled`` is ("helpers", "scaled")."""
    for node in ast.walk(tree):
        path: list[str] = []
        while isinstance(node, ast.Attribute):
            path.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            yield (node.id, *reversed(path))


def _constant(value: Any) -> str | None:
    """A number, text, array, or a collection of these, as text; None for anything else."""
    if isinstance(value, CONSTANTS):
        return repr(value)
    if isinstance(value, Mapping):
        value = list(value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [_constant(item) for item in value]
        if None in items:
            return None
        return repr(sorted(map(str, items)) if isinstance(value, (set, frozenset)) else items)
    if callable(getattr(value, "tolist", None)):  # an array or a tensor
        return repr(value.tolist())
    return None
