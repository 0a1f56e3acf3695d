"""Imports classes of the user's own: from the working directory, the study file's folder, or an installed package.

The folders also hold in the processes that a study starts, which find them in an environment variable.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError, unknown

FOLDERS = "DECAYSTUDY_IMPORT_FOLDERS"
"""Environment variable: folders that hold modules of the user's own, joined as in PATH."""


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
    try:
        if not all(part.isidentifier() for part in path.split(".")) or not module:
            raise ImportError("an import path looks like package.module.Name")
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        first = path.partition(".")[0]
        away = isinstance(error, ModuleNotFoundError) and error.name == first
        hint = f": run decaystudy from the folder that holds {first}, or install it" if away else ""
        raise UserError(f"cannot import the {what} {path!r}: {error}{hint}") from error
    except Exception as error:  # whatever the user's own module does when it is imported
        raise UserError(f"cannot import the {what} {path!r}: {type(error).__name__}: {error}") from error
