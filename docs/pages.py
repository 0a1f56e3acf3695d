"""A page of the documentation that is made: written, or with --check compared with what is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path


def write_or_check(file: Path, page: Callable[[], str], target: str, arguments: Sequence[str]) -> int:
    """Write a page, or say whether it is current; returns the exit code.

    Args:
        target: that of make which writes it.
        arguments: of the command line.
    """
    if list(arguments) != ["--check"]:
        file.write_text(page(), encoding="utf-8")
        return 0
    current = file.is_file() and file.read_text(encoding="utf-8") == page()
    print(f"{file.name} is current" if current else f"{file.name} is not current: make {target}")
    return 0 if current else 1
