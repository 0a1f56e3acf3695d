"""Classes of the user's own, by import path. Needs no torch."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from decaystudy.errors import UserError, unknown


def find_object(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """What ``known`` holds under that name, or what stands at the import path if the name is one.

    Args:
        kind: what is looked for, for the error message: "decay", "data source", …

    Raises:
        UserError: there is no such thing; the message names the nearest one.
    """
    if name in known:
        return known[name]
    if "." not in name:
        raise unknown(kind, name, known)
    return import_object(kind, name)


def import_object(kind: str, path: str) -> Any:
    """What stands at the import path ``package.module.Name``, in an installed package or in the working directory.

    Raises:
        UserError: it cannot be imported, or isn't there.
    """
    module, _, name = path.rpartition(".")
    folder = os.getcwd()
    if "" not in sys.path and folder not in sys.path:
        sys.path.append(folder)  # last, so that it hides no installed package
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"cannot import the {kind} {path!r}: {error}") from error
    except Exception as error:
        raise UserError(f"cannot import the {kind} {path!r}: {type(error).__name__}: {error}") from error
