"""Numbers, sizes, durations and columns as people read them."""

from __future__ import annotations

import re
from collections.abc import Sequence

MISSING = "–"
"""Stands where there is no value."""
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
"""Characters with which a text could lead a terminal."""


def harmless(text: str) -> str:
    """The text without characters that lead a terminal, which a file from elsewhere may hold."""
    return CONTROL.sub("\ufffd", text)


def duration(seconds: float) -> str:
    """1 h 02 min, 3 min 20 s or 12 s."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def count(number: float) -> str:
    """1.23 M, 167 M, 10.5 B."""
    for unit, name in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(round(number))


def size(number: float) -> str:
    """Bytes in powers of 1024."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} B"


def hours(number: float) -> str:
    """Hours as people say them."""
    if number >= 48:
        return f"{number / 24:.1f} d"
    if number >= 1:
        return f"{number:.1f} h"
    if number >= 1 / 60:
        return f"{number * 60:.1f} min"
    return f"{number * 3600:.0f} s"


def shortened(text: str, most: int) -> str:
    """The text in a line of at most so many characters: cut after a clause if that leaves half of it, else after a
    word, and marked as cut."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    room = line[: most - 2]
    clause = max(room.rfind(mark) for mark in (". ", "; ", ": ", ", "))
    if clause >= most // 2:
        return f"{room[:clause]} …"
    word = room.rfind(" ")
    return f"{room[: word if word > most // 2 else most - 2]} …"


def aligned(rows: Sequence[Sequence[str]], *, heading: Sequence[str] | None = None, left: Sequence[int] = (0,)) -> str:
    """Columns of equal width: those in ``left`` to the left, numbers to the right, a rule under the heading."""
    table = [*([heading] if heading else []), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    if heading:
        lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)
