"""The English that comes with every Python: its reference manual and the standard library's docstrings."""

import ast
import hashlib
import inspect
import logging
import os
import platform
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from decaystudy.data.folders import cache_json, lock
from decaystudy.data.sources.base import TOKENIZER_BYTES, Document, Part, Source
from decaystudy.errors import UserError
from decaystudy.io import cache_folder, digest, read_mapping

if TYPE_CHECKING:
    from decaystudy.data.config import DataConfig

log = logging.getLogger("decaystudy")

SKIPPED = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test", "lib2to3", "turtledemo"}
"""Folders that hold other people's code, tests, or no English."""


class PythonDocs(Source):
    """Documents of the running interpreter, extracted once by parsing (never importing) its library's source files."""

    about_tokens: ClassVar[int | None] = 700_000
    summary: ClassVar[str] = "the reference manual and docstrings of the running Python, about 2 MB of English, offline"
    tokenizer: ClassVar[str] = "bpe:2048"
    tokenizer_bytes: ClassVar[int] = TOKENIZER_BYTES
    validation_fraction: ClassVar[float] = 0.03
    settings: ClassVar[tuple[str, ...]] = ()
    endless: ClassVar[bool] = False
    tells_apart: ClassVar[bool] = False  # definitions of one name under several conditions belong together
    label = "python-docs"

    def __init__(self, documents: list[Document]):
        self._documents = documents
        self.revision = digest([[document.id, document.text] for document in documents])

    @classmethod
    def open(cls, config: "DataConfig | None" = None) -> "PythonDocs":
        """Read the extracted documents, extracting them first if this library's files were not seen before."""
        library = Path(sysconfig.get_paths()["stdlib"])
        path = cache_folder("sources", f"python-docs-{fingerprint(library)}.json")
        stored = read_rows(path)
        if stored is None:
            with lock(path.with_suffix(".lock")):
                stored = read_rows(path)
                if stored is None:
                    log.info("reading the docstrings of Python %s in %s, once", platform.python_version(), library)
                    stored = [[document.id, document.text] for document in extract(library)]
                    cache_json(path, {"digest": digest(stored), "documents": stored})
        if not stored:
            raise UserError(
                f"the Python in {library} has no source files to take docstrings from: use another --data.source"
            )
        return cls([Document(*row) for row in stored])

    def identity(self) -> dict[str, Any]:
        return {"source": "python-docs", "revision": self.revision}

    def parts(self) -> list[Part]:
        return [Part("python-docs")]

    def documents(self, part: Part) -> Iterator[Document]:
        return iter(self._documents)


def read_rows(path: Path) -> list[list[str]] | None:
    """Extracted documents; None where there are none, or others than were written."""
    held = read_mapping(path) or {}
    rows = held.get("documents")
    return rows if isinstance(rows, list) and digest(rows) == held.get("digest") else None


def source_files(library: Path) -> list[Path]:
    """The library's own .py files in a fixed order."""
    found = []
    for folder, folders, names in os.walk(library):
        folders[:] = sorted(name for name in folders if name not in SKIPPED and not name.startswith("config-"))
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    return sorted(found, key=lambda path: path.relative_to(library).as_posix())


def fingerprint(library: Path) -> str:
    """Changes whenever the interpreter or any file of its library does; costs one stat a file."""
    seen = [sys.implementation.name, platform.python_version(), str(library)]
    for path in source_files(library):
        status = path.stat()
        seen.append(f"{path.relative_to(library).as_posix()} {status.st_size} {status.st_mtime_ns}")
    return digest(seen)


def extract(library: Path) -> list[Document]:
    """The manual's topics, then every module's, class's and function's docstring; each text once, in file order."""
    seen: set[bytes] = set()
    kept = []
    for path in source_files(library):
        module = path.relative_to(library).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        tree = parse(path)
        if tree is None:
            continue
        found = topics(tree) if module == "pydoc_data.topics" else docstrings(tree, module)
        for name, text in found:
            text = inspect.cleandoc(text).strip()
            key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if text and key not in seen:
                seen.add(key)
                kept.append(Document(name, text))
    return kept


def parse(path: Path) -> ast.Module | None:
    """The syntax tree of one file; None for the few that are templates or deliberately broken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in old files are not the user's business
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError, UnicodeDecodeError):
            return None


def docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    """(module:qualified.name, docstring) of a module and all that is defined in it, in source order."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node, clean=False)
        if text:
            yield name, text
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from docstrings(child, f"{name}{'.' if ':' in name else ':'}{child.name}")
        elif isinstance(child, ast.stmt | ast.excepthandler):
            yield from docstrings(child, name)


def topics(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(topics:name, text) of the manual's chapters, which pydoc keeps as one dictionary of strings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield f"topics:{key.value!s}", value.value
