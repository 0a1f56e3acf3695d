"""The text sources by name, or by the import path of a class in somebody else's package. Each is cheap to import."""

from typing import Any, cast

from decaystudy.data.sources.base import Source
from decaystudy.data.sources.files import Files
from decaystudy.data.sources.hub import FinewebEdu, Hub
from decaystudy.data.sources.python_docs import PythonDocs
from decaystudy.data.sources.recall import Recall
from decaystudy.errors import UserError
from decaystudy.imports import find_object
from decaystudy.source import source_digest

SOURCES: dict[str, type[Source]] = {
    "python-docs": PythonDocs,
    "fineweb-edu": FinewebEdu,
    "hub": Hub,
    "files": Files,
    "recall": Recall,
}


def find_source(name: str) -> type[Source]:
    """The source named as in ``SOURCES``, or by import path (``package.module.Class``).

    Raises:
        UserError: no such source; the message names the nearest one.
    """
    found = find_object("data source", name, SOURCES)
    if name not in SOURCES and not (isinstance(found, type) and Source in found.__mro__):
        raise UserError(f"{name!r} is not a data source: it must be a class derived from decaystudy.data.Source")
    return cast(type[Source], found)


def identity_of(source: Source) -> dict[str, Any]:
    """Everything that decides the documents of a source, as JSON: for one of the user's own also its code."""
    kind = type(source)
    code = {} if kind in SOURCES.values() else {"code": source_digest(kind)}
    return {**source.identity(), **code}
