"""Text files on this machine, named by folders or globs: json lines, parquet and plain text, plain or compressed."""

import functools
import gzip
import hashlib
import io
import itertools
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from decaystudy.data.folders import cache_json, lock
from decaystudy.data.patterns import matching
from decaystudy.data.sources.base import (
    LONGEST_TEXT,
    TOKENIZER_BYTES,
    Document,
    Part,
    Source,
    checked_group,
    checked_text,
)
from decaystudy.data.sources.encoding import decoded, has_byte_lines
from decaystudy.data.sources.formats import FIELDS, FORMATS, JSON_LINES, layout
from decaystudy.data.sources.parquet import check_columns, open_parquet, parquet_documents, parquet_parts
from decaystudy.data.sources.zstd import ZstdFile
from decaystudy.errors import UserError
from decaystudy.io import cache_folder, digest, read_mapping, slug

if TYPE_CHECKING:
    from decaystudy.data.config import DataConfig

PIECES = 100
"""A text longer than this share of all files becomes several documents, so that some can be held out."""
SHORTEST_PIECE = 2048
PART_BYTES = 16 * 2**20
"""Text in one part, about 4 million tokens: the unit of tokenizing, of repair and of shuffling."""


class Files(Source):
    """Local files in the order of their paths; a text file, a json line and a parquet row are one document each."""

    summary: ClassVar[str] = (
        "your own .jsonl, .parquet or .txt files, also .gz or .zst, by folder or glob (--data.files)"
    )
    tokenizer: ClassVar[str] = "bpe:2048"
    tokenizer_bytes: ClassVar[int] = TOKENIZER_BYTES
    validation_fraction: ClassVar[float] = 0.01
    settings: ClassVar[tuple[str, ...]] = ("files", "column", "group", "encoding")
    endless: ClassVar[bool] = False
    counts_documents: ClassVar[bool] = True
    stream_version: ClassVar[int] = 2

    def __init__(self, paths: list[Path], column: str, encoding: str | None = None, group: str | None = None):
        self.column = column
        self.encoding = encoding
        self.group = group
        self.grouped = group is not None
        size = sum(path.stat().st_size for path in paths)
        self.longest_text = max(SHORTEST_PIECE, min(LONGEST_TEXT, size // PIECES))
        self.root = Path(os.path.commonpath([path.parent for path in paths]))
        self.paths = {path.relative_to(self.root).as_posix(): path for path in paths}
        self.label = slug(f"files-{self.root.name}")
        self.revision = digest(list(zip(self.paths, content_hashes(paths), strict=True)))

    @classmethod
    def open(cls, config: "DataConfig") -> "Files":
        """Find the files and hash their contents (each once, until it changes)."""
        paths = matching(config.files or [])
        if not paths:
            raise UserError(
                "--data.files names no file: give a path, a folder or a quoted glob such as 'texts/*.jsonl'"
            )
        for path in paths:
            if layout(path)[0] not in FORMATS:
                raise UserError(f"{path} has no known format: use {', '.join(FORMATS)}, each also with .gz or .zst")
            if config.group is not None and layout(path)[0] not in FIELDS:
                raise UserError(
                    f"{path} is text without fields, so that --data.group finds no {config.group!r} in it: name files "
                    "of json lines or parquet, or leave --data.group out"
                )
            if not os.access(path, os.R_OK):
                raise UserError(f"{path} cannot be read (permission denied): allow it, or name other files")
            check_first(path, config)
        return cls(paths, config.column, config.encoding, config.group)

    @classmethod
    def check(cls, config: "DataConfig") -> None:
        cls.open(config)

    def identity(self) -> dict[str, Any]:
        named = {
            name: value for name, value in (("encoding", self.encoding), ("group", self.group)) if value is not None
        }
        own = {"source": "files", "revision": self.revision, "column": self.column, **named}
        return {**own, "stream_version": self.stream_version}

    def parts(self) -> list[Part]:
        """Row groups of parquet files, byte ranges of long json lines files, all else whole, small files together."""
        found: list[Part] = []
        full = PART_BYTES + 1
        held = full  # bytes of the last part, where it may take another whole file
        for name, path in self.paths.items():
            kind, packing = layout(path)
            size = path.stat().st_size
            if kind == ".parquet":
                with path.open("rb") as file:
                    found += parquet_parts(name, file, self.column, PART_BYTES, str(path), self.group)
                held = full
            elif kind in JSON_LINES and not packing and size > PART_BYTES and has_byte_lines(self.encoding):
                cuts = [*range(0, size - PART_BYTES // 2, PART_BYTES), size]
                found += [Part(name, a, b) for a, b in itertools.pairwise(cuts)]
                held = full
            elif held + size <= PART_BYTES:
                found[-1] = replace(found[-1], files=found[-1].files + 1)
                held += size
            else:
                found.append(Part(name))
                held = size
        return found

    def documents(self, part: Part) -> Iterator[Document]:
        names = list(self.paths)
        first = names.index(part.name)
        for name in names[first : first + part.files]:
            path = self.paths[name]
            kind, packing = layout(path)
            with opened(path, packing) as file:
                if kind == ".parquet":
                    yield from parquet_documents(part, file, self.column, str(path), group=self.group)
                elif kind in JSON_LINES:
                    yield from json_documents(part, file, self.column, path, self.encoding, self.group)
                else:
                    yield Document(name, decoded(unpacked(file.read, path), self.encoding, str(path)))


def check_first(path: Path, config: "DataConfig") -> None:
    """Refuse a file that lacks the columns of the text or the group, as its footer or first line tells."""
    kind, packing = layout(path)
    with opened(path, packing) as file:
        if kind == ".parquet":
            check_columns(str(path), config.column, config.group, open_parquet(file, str(path)).schema_arrow.names)
        elif kind in JSON_LINES and has_byte_lines(config.encoding):
            next(json_documents(Part(path.name), file, config.column, path, config.encoding, config.group), None)


def opened(path: Path, packing: str) -> IO[bytes]:
    """The file's content as bytes, unpacked."""
    if packing == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if packing == ".zst":
        return io.BufferedReader(ZstdFile(path))
    return path.open("rb")


def unpacked(read: Callable[[], bytes], path: Path) -> bytes:
    """What ``read`` gives; a UserError if the file's packing is damaged."""
    try:
        return read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is cut or damaged ({error}): fetch or write it again") from error
    except Exception as error:
        if type(error).__name__ != "ZstdError":
            raise
        raise UserError(f"{path} is cut or damaged ({error}): fetch or write it again") from error


def json_documents(
    part: Part, file: IO[bytes], column: str, path: Path, encoding: str | None = None, group: str | None = None
) -> Iterator[Document]:
    """Lines that begin in the bytes [start, stop) of the file, each one JSON object."""
    if not has_byte_lines(encoding):
        file = io.BytesIO(decoded(unpacked(file.read, path), encoding, str(path)).encode("utf-8", "surrogatepass"))
        encoding = None
    position = part.start
    if position:
        file.seek(position - 1)
        position += len(file.readline()) - 1  # to the first line that begins at start or after
    while part.stop is None or position < part.stop:
        line = unpacked(file.readline, path)
        if not line:
            return
        at, position = position, position + len(line)
        if not line.strip():
            continue
        content = decoded(line, encoding, str(path), at)
        try:
            row = json.loads(content)
            text, owner = row[column], None if group is None else row[group]
        except RecursionError:
            raise UserError(
                f"{path} has JSON that is nested too deeply in the line at byte {at}: take it out"
            ) from None
        except (ValueError, TypeError):
            raise UserError(f"{path} has no JSON object in the line at byte {at}: give one object a line") from None
        except KeyError as error:
            missing = error.args[0]
            raise UserError(
                f"{path} has no field {missing!r} in the line at byte {at}: choose "
                f"--data.{'column' if missing == column else 'group'} from {', '.join(list(row)[:20])}"
            ) from None
        place = functools.partial(line_of, path, at)
        text = checked_text(text, column, place)
        owner = None if group is None else checked_group(owner, group, place)
        yield Document(str(row["id"]) if row.get("id") is not None else text, text, owner)


def line_of(path: Path, position: int) -> str:
    """The file and the number of the line that begins at this byte of its content."""
    with opened(path, layout(path)[1]) as file:
        number = file.read(position).count(b"\n") + 1
    return f"{path}:{number}"


def content_hashes(paths: list[Path]) -> list[str]:
    """The SHA-256 of each file's bytes, remembered by path, size and time of change."""
    memory = cache_folder("sources", f"files-{digest([str(path) for path in paths])[:12]}.json")
    stamps = [f"{path} {status.st_size} {status.st_mtime_ns}" for path in paths for status in (path.stat(),)]
    known = read_hashes(memory)
    if any(stamp not in known for stamp in stamps):
        with lock(memory.with_suffix(".lock")):
            known = read_hashes(memory)
            known = {stamp: known.get(stamp) or file_hash(path) for stamp, path in zip(stamps, paths, strict=True)}
            cache_json(memory, known)
    return [known[stamp] for stamp in stamps]


def read_hashes(memory: Path) -> dict[str, str]:
    """The hashes that are remembered."""
    held = (read_mapping(memory) or {}).items()
    return {stamp: content for stamp, content in held if isinstance(content, str) and len(content) == 64}


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
