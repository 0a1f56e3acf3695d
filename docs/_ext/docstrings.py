"""The package's docstrings and signatures as they stand in its source.

Sections of Google's style become fields. Below an attribute they are prose: Napoleon alone would read "Of a layer: its
median" there as a type and its description. Types are those that the source writes: evaluated, one ``ArrayLike`` takes
ten lines.
"""

import inspect
import re
from dataclasses import is_dataclass
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.inspect import stringify_signature
from sphinx.util.typing import ExtensionMetadata, stringify_annotation

WITH_SECTIONS = ("module", "class", "exception", "function", "method")
WITH_TYPES = ("class", "function", "method")
ERROR = "decaystudy.errors.UserError"


def as_fields(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring in place."""
    if what in WITH_SECTIONS:
        settings = Config(napoleon_use_rtype=False)
        text = GoogleDocstring(list(lines), settings, app, what, name, obj, options).lines()
        text = [line.replace(":raises UserError:", f":raises ~{ERROR}:") for line in text]
        lines[:] = [re.sub(r"\|(\w+)\|", r"\|\1\|", line) for line in text]  # |t| is an absolute value here


def as_written(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str] | None:
    """A signature with the types of the source."""
    if what not in WITH_TYPES or signature is None:
        return None
    if is_dataclass(obj):
        return "", ""  # its fields follow, each with its type and default
    written = inspect.signature(obj)
    parameters = [one for one in written.parameters.values() if one.name not in ("self", "cls")]
    kept = written.replace(parameters=parameters)
    text = stringify_signature(kept, show_return_annotation=False, unqualified_typehints=True)
    if what == "class" or kept.return_annotation is kept.empty:
        return text, ""
    return text, stringify_annotation(kept.return_annotation, "smart")


def by_last_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """A link to what the source names without its module, where only one documented thing has that name."""
    python = env.domains.python_domain
    full = [name for name in python.objects if name.rpartition(".")[2] == node["reftarget"].rpartition(".")[2]]
    if node.get("refdomain") != "py" or len(full) != 1:
        return None
    found = python.resolve_xref(env, node["refdoc"], app.builder, "obj", full[0], node, content)
    return found if isinstance(found, nodes.reference) else None


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("autodoc-process-docstring", as_fields)
    app.connect("autodoc-process-signature", as_written)
    app.connect("missing-reference", by_last_name)
    return {"version": "1", "parallel_read_safe": True}
