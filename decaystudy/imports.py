"""Imports classes of the user's own: from the working directory, the study file's folder, or an installed package.

The folders also hold in the processes that a study starts, which find them in an environment variable.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from decaystudy.errors import Failure, UserError, unknown

FOLDERS = "DECAYSTUDY_IMPORT_FOLDERS"
"""Environment variable: folders that hold modules of the user's own, joined as in PATH."""

_OWN: dict[str, str] = {}
"""What the user's own import paths are of, such as "decay"."""


def add_import_folder(folder: str | Path) -> None:
    """Make the modules in ``folder`` importable by path, here and in processes that are started from here."""
    known = [name for name in os.environ.get(FOLDERS, "").split(os.pathsep) if name]
    path = str(Path(folder).absolute())
    if path not in known:
        os.environ[FOLDERS] = os.pathsep.join([*known, path])


def find_object(what: str, name: str, known: Mapping[str, Any]) -> Any:
    """What ``known`` holds under that name, or what stands at the import path if the name is one.

    Args:
        what: for the message, such as "decay".

    Raises:
        UserError: there is no such thing; the message names the nearest one.
    """
    if name in known:
        return known[name]
    if "." not in name:
        raise unknown(what, name, known)
    return import_object(name, what)


def import_object(path: str, what: str) -> Any:
    """What ``package.module.name`` stands for.

    Args:
        what: for the message, such as "decay".

    Raises:
        UserError: it cannot be imported.
    """
    folders = [str(Path.cwd()), *os.environ.get(FOLDERS, "").split(os.pathsep)]
    # At the end, so that a file of the user's never takes the place of an installed package.
    sys.path.extend(folder for folder in folders if folder and folder not in sys.path)
    module, _, name = path.rpartition(".")
    if path.partition(".")[0] != __package__:
        _OWN[path] = what
    try:
        if not all(part.isidentifier() for part in path.split(".")) or not module:
            raise ImportError("an import path looks like package.module.Name")
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        first = path.partition(".")[0]
        away = isinstance(error, ModuleNotFoundError) and error.name == first
        hint = f": run decaystudy from the folder that holds {first}, or install it" if away else ""
        raise UserError(f"cannot import the {what} {path!r}: {error}{hint}") from error
    except (Exception, SystemExit) as error:  # whatever the user's own module does when it is imported
        raise UserError(f"cannot import the {what} {path!r}: {_deed(error)}{_place(_own_frame(error))}") from error


@contextlib.contextmanager
def blaming() -> Iterator[None]:
    """Turn what code of the user's own raises while the block runs into a sentence that names it.

    Raises:
        UserError: which object, in which file and line, and what it did; or which library cannot be imported.
    """
    _OWN.clear()
    try:
        yield
    except (UserError, Failure):
        raise
    except (Exception, SystemExit) as error:
        told = blamed(error) or of_a_library(error)
        if told is None:
            raise
        raise told from error


def blamed(error: BaseException) -> UserError | None:
    """The sentence for an error that code of the user's own has raised; None for any other."""
    frame = _own_frame(error)
    if frame is None:
        return None
    top = frame[0].partition(".")[0]
    named = [path for path in _OWN if path.partition(".")[0] == top]
    path = max(named, key=lambda path: (path.rpartition(".")[0] == frame[0], path.rpartition(".")[2] in frame[3]))
    return UserError(f"the {_OWN[path]} {path} {_deed(error)}{_place(frame)}")


def of_a_library(error: BaseException) -> UserError | None:
    """The sentence for an error with which the import of a library has ended; None for any other.

    Libraries read the environment when they are imported, and a variable that they cannot read is their end.
    """
    name = error.name if isinstance(error, ImportError) else None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if frame.f_code.co_name == "<module>" and module.partition(".")[0] != __package__:
            name = module
            break
    top = (name or __package__).partition(".")[0]
    if top == __package__:
        return None
    return UserError(
        f"{top} cannot be imported; it {_deed(error)}: mend what it names, such as a variable of the environment, or "
        f"install it anew (python -c 'import {top}' shows more)"
    )


def own_objects() -> dict[str, str]:
    """What is known of the user's own code, for processes that this one starts."""
    return dict(_OWN)


def adopt_own_objects(known: Mapping[str, str]) -> None:
    """Know in a new process what ``own_objects`` said in the one that started it."""
    _OWN.update(known)


def _own_frame(error: BaseException) -> tuple[str, str, int, str] | None:
    """Module, file, line and function of the innermost of the user's own code that an error has come through."""
    tops = {path.partition(".")[0] for path in _OWN}
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in tops:
            found = module, frame.f_code.co_filename, line, frame.f_code.co_qualname
    return found


def _deed(error: BaseException) -> str:
    """What an error is, in a clause of one line."""
    if isinstance(error, SystemExit):
        return f"ends the program (sys.exit({error.code!r}))"
    lines = str(error).strip().splitlines()
    return f"raises {type(error).__name__}: {lines[0]}" if lines else f"raises {type(error).__name__}"


def _place(frame: tuple[str, str, int, str] | None) -> str:
    return "" if frame is None else f", in {frame[1]}, line {frame[2]}"
