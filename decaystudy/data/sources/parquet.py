"""Rows of a parquet file by ranges of row groups, wherever the file's bytes come from."""

import functools
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from decaystudy.data.network import brief, transient
from decaystudy.data.sources.base import Document, Part, checked_group, checked_text
from decaystudy.errors import UserError


def open_parquet(file: IO[bytes], where: str, **options: Any) -> Any:
    """A pyarrow ParquetFile over an open file; ``where`` names it in messages."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UserError("parquet files need pyarrow: pip install pyarrow") from error
    with sound(where):
        return parquet.ParquetFile(file, **options)


@contextmanager
def sound(where: str) -> Iterator[None]:
    """What pyarrow raises on cut or altered bytes becomes a UserError; errors of a network pass."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, EOFError, MemoryError, OverflowError) as error:
        if transient(error):
            raise
        raise UserError(f"{where} is not a sound parquet file ({brief(error)}): fetch or write it again") from error


def check_columns(where: str, column: str, group: str | None, names: Iterable[str]) -> None:
    """Raise a UserError if the column of the text or that of the group is not among ``names``."""
    for setting, wanted in (("column", column), ("group", group)):
        if wanted is not None and wanted not in names:
            raise UserError(f"{where} has no column {wanted!r}: choose --data.{setting} from {', '.join(names)}")
    for name in (column, group, "id"):
        if (count := list(names).count(str(name))) > 1:
            raise UserError(
                f"{where} has {count} columns {name!r}, and which is meant cannot be told: rename or drop one"
            )


def parquet_parts(
    name: str, file: IO[bytes], column: str, size: int, where: str, group: str | None = None
) -> list[Part]:
    """Runs of row groups with about ``size`` bytes of text each, from the file's footer alone."""
    table = open_parquet(file, where)
    check_columns(where, column, group, table.schema_arrow.names)
    metadata = table.metadata
    parts, start, held = [], 0, 0
    for number in range(metadata.num_row_groups):
        row_group = metadata.row_group(number)
        chunks = [row_group.column(i) for i in range(row_group.num_columns)]
        held += sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == column)
        if held >= size:
            parts.append(Part(name, start, number + 1))
            start, held = number + 1, 0
    if start < metadata.num_row_groups:
        parts.append(Part(name, start, metadata.num_row_groups))
    return parts


def parquet_documents(
    part: Part, file: IO[bytes], column: str, where: str, footer: Any = None, group: str | None = None
) -> Iterator[Document]:
    """The rows of the part's row groups; a document is known by the column ``id`` if there is one, else by its text.

    ``footer`` is the file's metadata, where it was read before.
    """
    table = open_parquet(file, where, pre_buffer=True, metadata=footer)
    names = table.schema_arrow.names
    columns = [name for name in dict.fromkeys((column, group, "id")) if name in names]
    for number in range(part.start, table.num_row_groups if part.stop is None else part.stop):
        with sound(where):
            rows = table.read_row_group(number, columns=columns)
            texts = rows.column(column).to_pylist()
            ids = rows.column("id").to_pylist() if "id" in columns else texts
            groups = rows.column(group).to_pylist() if group is not None else itertools.repeat(None, len(texts))
        for row, (name, value, owner) in enumerate(zip(ids, texts, groups, strict=True), 1):
            place = functools.partial("{}, row {} of row group {}".format, where, row, number)
            text = checked_text(value, column, place)
            owner = None if group is None else checked_group(owner, group, place)
            yield Document(text if name is None else str(name), text, owner)
