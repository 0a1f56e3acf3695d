"""Text that fits a terminal: paragraphs and tables are folded, and no number and no interval is broken."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

from decaystudy.table import Column, Kind, Table

NARROWEST = 40
"""Columns: what does not fit into these is left to the terminal."""
GAP = 2
_HARD = "\ue000"
"""Stands for a space at which nothing is folded."""
_UNITS = r"(?:[kMBT]|s|min|h|d|[KMGT]iB|B|nats|tokens|steps|seeds?|%)"
_WITHIN_NUMBERS = re.compile(rf"(?<=\d) (?={_UNITS}(?!\w))|(?<=\d [hdm]) (?=\d)|(?<=\d min) (?=\d)|(?<=±) | (?=±)")
_WITHIN_NAMES = re.compile(r"(?<=[^\W\d][-/])(?=\w)|(?<=[^\W\d]\d[-/])(?=\w)")
"""After a hyphen that follows no number."""
_LABEL = re.compile(r"\s*(?:[a-z][a-z ]{0,10}: +|[-✘✔?!–▸]:? )?")


def terminal_width() -> int | None:
    """Columns of the terminal that standard output is; None where it is none, and nothing has to fit."""
    if not sys.stdout.isatty():
        return None
    return max(NARROWEST, shutil.get_terminal_size().columns)


def fold(text: str, width: int | None) -> str:
    """The text with each line that is longer than ``width`` folded between words; continued below what follows a
    label such as ``note:``."""
    if width is None:
        return text
    lines: list[str] = []
    for line in text.split("\n"):
        if len(line) <= width:
            lines.append(line)
            continue
        label = _LABEL.match(line)
        indent = label.end() if label is not None else 0
        first, *rest = _wrapped(line[indent:], width - indent) or [line[indent:]]
        lines += [line[:indent] + first, *(" " * indent + piece for piece in rest)]
    return "\n".join(lines)


def listed(name: str, text: str, width: int | None) -> str:
    """A name with its text beside it, continued below the text's first word."""
    if width is None or len(name) + len(text) <= width:
        return name + text
    first, *rest = _wrapped(text, width - len(name)) or [text]
    return "\n".join([name + first, *(" " * len(name) + piece for piece in rest)])


def reflowed(text: str, width: int | None) -> str:
    """The text with its paragraphs filled anew where it is too wide; one with an indented line stays as it is."""
    if width is None or _breadth(text) <= width:
        return text
    blocks = text.split("\n\n")
    return "\n\n".join(
        block if re.search(r"^\s", block, re.MULTILINE) else fold(" ".join(block.split("\n")), width)
        for block in blocks
    )


def fitted(table: Table, width: int | None) -> str:
    """The table as text of at most ``width`` columns, its notes below it; as ``Table.text`` where all fits.

    Fields are folded; if that doesn't suffice, the columns that may be left out are, and a note names them; then each
    row is a block of its own.
    """
    if width is None or not table.rows or _breadth(table.text().split("\n\n")[0]) <= width:
        return fold(table.text(), width)
    order = sorted((i for i, column in enumerate(table.columns) if column.drop), key=lambda i: -table.columns[i].drop)
    for dropped in range(len(order) + 1):
        left_out = order[:dropped]
        shown = _without(table, left_out)
        body = _shortest(shown, width)
        if body is not None:
            names = [table.headings[i] for i in sorted(left_out)]
            said = (f"Left out in {width} columns: {', '.join(names)}; a wider terminal shows them.",) if names else ()
            return _with_notes(body, (*table.notes, *said), width)
    return _with_notes(_blocks(table, width), table.notes, width)


def _with_notes(body: Sequence[str], notes: Iterable[str], width: int) -> str:
    below = [fold(note, width) for note in notes]
    return "\n".join([*body, *(["", *below] if below else [])])


def _without(table: Table, left_out: Sequence[int]) -> Table:
    kept = [i for i in range(len(table.columns)) if i not in left_out]
    return replace(
        table,
        columns=tuple(table.columns[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in table.rows),
    )


def _shortest(table: Table, width: int) -> list[str] | None:
    """The layout of the fewest lines: sentences in a column or below their row; names whole, if that is possible."""
    for hyphens in (False, True):
        found = [_grid(table, width, hyphens=hyphens), _grid(table, width, hyphens=hyphens, below=True)]
        fitting = [lines for lines in found if lines is not None]
        if fitting:
            return min(fitting, key=len)
    return None


def _grid(table: Table, width: int, *, hyphens: bool, below: bool = False) -> list[str] | None:
    """Columns of folded fields; None where they are too wide.

    Args:
        hyphens: fold names at their hyphens too.
        below: sentences are no column: they stand below their row.
    """
    prose = [i for i, column in enumerate(table.columns) if below and column.kind is Kind.PROSE]
    if below and not prose:
        return None
    shown = _without(table, prose)
    fields = [[shown.headings[i], *(row[i] for row in shown.rows)] for i in range(len(shown.columns))]
    natural = tuple(max(map(len, column)) for column in fields)
    least = [
        min(most, max(_least(field, i > 0 and column.kind is Kind.NUMBER, hyphens) for i, field in enumerate(own)))
        for column, own, most in zip(shown.columns, fields, natural, strict=True)
    ]
    room = width - GAP * (len(fields) - 1)
    if sum(least) > room:
        return None
    widths = list(natural)
    while sum(widths) > room:
        widest = max((i for i in range(len(widths)) if widths[i] > least[i]), key=lambda i: widths[i])
        widths[widest] -= 1
    folded = _folded(shown, fields, widths, hyphens)
    used = _used(folded)
    for i, most in enumerate(natural):  # what folding has left free serves those that then need none
        if sum(used) - used[i] + most <= room:
            used[i] = most
    folded = _folded(shown, fields, used, hyphens)
    used = _used(folded)
    lines: list[str] = []
    for place in range(len(table.rows) + 1):
        lines += _row([own[place] for own in folded], used, shown.columns)
        if place == 0:
            lines.append("  ".join("─" * size for size in used))
        else:
            texts = [table.rows[place - 1][i] for i in prose]
            lines += [f"  {line}" for text in texts for line in _wrapped(text, width - 2) or [text] if text]
    return lines


def _folded(
    table: Table, fields: Sequence[Sequence[str]], widths: Sequence[int], hyphens: bool
) -> list[list[list[str]]]:
    """The lines of each field, by column; the first field of a column is its heading."""
    return [
        [_field(field, width, i > 0 and column.kind is Kind.NUMBER, hyphens) for i, field in enumerate(own)]
        for column, own, width in zip(table.columns, fields, widths, strict=True)
    ]


def _used(folded: Sequence[Sequence[Sequence[str]]]) -> list[int]:
    return [max(len(line) for field in own for line in field) for own in folded]


def _row(fields: Sequence[Sequence[str]], widths: Sequence[int], columns: Sequence[Column]) -> list[str]:
    """The lines of a row, of which some fields have fewer than others."""
    lines = []
    for number in range(max(map(len, fields))):
        pieces = [field[number] if number < len(field) else "" for field in fields]
        lines.append(
            "  ".join(
                piece.rjust(size) if column.kind is Kind.NUMBER else piece.ljust(size)
                for piece, size, column in zip(pieces, widths, columns, strict=True)
            ).rstrip()
        )
    return lines


def _blocks(table: Table, width: int) -> list[str]:
    """One block per row: its first field, and below it a line for each other field that holds something."""
    lines: list[str] = []
    size = max((len(name) for name in table.headings[1:]), default=0)
    longest = max((_least(field, False, False) for row in table.rows for field in row[1:]), default=0)
    beside = size + longest + 4 <= width
    for row in table.rows:
        lines += ["", row[0]]
        for name, field in zip(table.headings[1:], row[1:], strict=True):
            if field and beside:
                lines += listed(f"  {name:<{size}}  ", field, width).split("\n")
            elif field:
                lines += [f"  {name}", *(f"    {piece}" for piece in _wrapped(field, width - 4))]
    return lines[1:]


def _chunks(text: str, number: bool, hyphens: bool) -> list[str]:
    """The pieces between which a field may be folded: of a number, before its interval; else between words."""
    if number:
        return [piece.rstrip() for piece in re.split(r" (?=[\[(])", text)]
    hard = re.sub(r"\[[^\[\]]*\]", lambda interval: interval[0].replace(" ", _HARD), text)
    words = _WITHIN_NUMBERS.sub(_HARD, hard).split(" ")
    if hyphens:
        words = [piece for word in words for piece in _WITHIN_NAMES.split(word)]
    return [word.replace(_HARD, " ") for word in words if word]


def _least(text: str, number: bool, hyphens: bool) -> int:
    """Columns that a field takes at least; what is continued stands one further in."""
    first, *rest = _chunks(text, number, hyphens) or [""]
    return max([len(first), *(len(chunk) + (not number) for chunk in rest)])


def _field(text: str, width: int, number: bool, hyphens: bool) -> list[str]:
    if len(text) <= width:
        return [text]
    return _joined(_chunks(text, number, hyphens), width, text, 0 if number else 1)


def _wrapped(text: str, width: int) -> list[str]:
    return _joined(_chunks(text, False, False), width, text, 0)


def _joined(chunks: Sequence[str], width: int, text: str, indent: int) -> list[str]:
    """The chunks in lines, with a space between two that had one."""
    lines: list[str] = []
    at = 0
    for chunk in chunks:
        start = text.index(chunk, at)
        between = text[at:start] if lines else ""
        at = start + len(chunk)
        if lines and len(lines[-1]) + len(between) + len(chunk) <= width:
            lines[-1] += between + chunk
        else:
            lines.append(" " * (indent if lines else 0) + chunk)
    return lines


def _breadth(text: str) -> int:
    return max(map(len, text.split("\n")))
