"""Rows of a parquet file by ranges of row groups, wherever the file's bytes come from."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from decaystudy.data.network import brief, transient
from decaystudy.data.sources.base import Document, Part, checked_text
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


def column_error(where: str, column: str, names: Iterable[str]) -> UserError:
    return UserError(f"{where} has no column {column!r}: choose --data.column from {', '.join(names)}")


def parquet_parts(name: str, file: IO[bytes], column: str, size: int, where: str) -> list[Part]:
    """Runs of row groups with about ``size`` bytes of text each, from the file's footer alone."""
    table = open_parquet(file, where)
    if column not in table.schema_arrow.names:
        raise column_error(where, column, table.schema_arrow.names)
    metadata = table.metadata
    parts, start, held = [], 0, 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        chunks = [row_group.column(i) for i in range(row_group.num_columns)]
        held += sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == column)
        if held >= size:
            parts.append(Part(name, start, group + 1))
            start, held = group + 1, 0
    if start < metadata.num_row_groups:
        parts.append(Part(name, start, metadata.num_row_groups))
    return parts


def parquet_documents(part: Part, file: IO[bytes], column: str, where: str, footer: Any = None) -> Iterator[Document]:
    """The rows of the part's row groups; a document is known by the column ``id`` if there is one, else by its text.

    ``footer`` is the file's metadata, where it was read before.
    """
    table = open_parquet(file, where, pre_buffer=True, metadata=footer)
    names = table.schema_arrow.names
    columns = [column, "id"] if "id" in names and column != "id" else [column]
    for group in range(part.start, table.num_row_groups if part.stop is None else part.stop):
        with sound(where):
            rows = table.read_row_group(group, columns=columns)
            texts = rows.column(column).to_pylist()
            ids = rows.column("id").to_pylist() if len(columns) == 2 else texts
        for row, (name, value) in enumerate(zip(ids, texts, strict=True), 1):
            text = checked_text(value, column, f"{where}, row {row} of row group {group}")
            yield Document(text if name is None else str(name), text)
