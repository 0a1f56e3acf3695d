"""Kinds of text files, told by their names."""

from pathlib import Path

JSON_LINES = (".jsonl", ".ndjson", ".json")
FIELDS = (*JSON_LINES, ".parquet")
FORMATS = (*FIELDS, ".txt", ".text", ".md")


def layout(path: Path) -> tuple[str, str]:
    """The format's suffix and the compression's ('' for none)."""
    suffixes = [suffix.lower() for suffix in path.suffixes] or [""]
    if suffixes[-1] in (".gz", ".zst"):
        return (suffixes[-2] if len(suffixes) > 1 else ".txt"), suffixes[-1]
    return suffixes[-1], ""
