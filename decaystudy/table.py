"""A table, and its forms: text for a terminal, CSV, Markdown and LaTeX. The HTML form is a macro of the report."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from enum import StrEnum

from decaystudy.formatting import aligned


class Kind(StrEnum):
    """What a column holds, which decides how it is set."""

    NUMBER = "number"
    """To the right."""
    WORDS = "words"
    """To the left."""
    PROSE = "prose"
    """Sentences: to the left, and broken into lines where the form can do so."""
    CODE = "code"
    """Names that a machine made: to the left, each word in a fixed-width font where there is one."""
    VERDICT = "verdict"
    """To the left; coloured by its first word where the form can do so."""


@dataclass(frozen=True)
class Column:
    """A column's heading and kind."""

    heading: str
    kind: Kind = Kind.NUMBER
    drop: int = 0
    """When a terminal is too narrow for all columns, those of the highest number are left out first; 0 never is."""


@dataclass(frozen=True)
class Table:
    """Rows of text under headings.

    Args:
        title: stands above it in LaTeX (the caption) and Markdown (a heading); other forms leave it to the page.
        notes: lines that stand below it.
        bold: (row, column) of fields that LaTeX sets in bold.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    notes: tuple[str, ...] = ()
    bold: frozenset[tuple[int, int]] = frozenset()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row has {len(row)} fields for {len(self.columns)} columns: {row}")

    @property
    def headings(self) -> list[str]:
        return [column.heading for column in self.columns]

    def text(self) -> str:
        """Columns of equal width, a rule under the heading; notes after a blank line. No title."""
        left = [i for i, column in enumerate(self.columns) if column.kind != Kind.NUMBER]
        below = ["", *self.notes] if self.notes else []
        return "\n".join([aligned(self.rows, heading=self.headings, left=left), *below])

    def csv(self) -> str:
        """A heading and one line per row; no title and no notes."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.headings, *self.rows])
        return text.getvalue()

    def markdown(self) -> str:
        """Title, table and notes, a blank line between them."""
        rows = [[self._markdown_field(field, i) for i, field in enumerate(row)] for row in self.rows]
        lines = [f"| {' | '.join(row)} |" for row in [[markdown_escape(heading) for heading in self.headings], *rows]]
        rules = ["---:" if column.kind == Kind.NUMBER else ":---" for column in self.columns]
        lines.insert(1, f"| {' | '.join(rules)} |")
        title = [f"## {markdown_escape(self.title)}"] if self.title else []
        return "\n\n".join([*title, "\n".join(lines), *map(markdown_line, self.notes)])

    def latex(self, label: str) -> str:
        """A table environment for booktabs, its caption the title.

        Args:
            label: for \\ref.
        """
        settings = {Kind.NUMBER: "r", Kind.PROSE: "p{8cm}"}
        columns = "".join(settings.get(column.kind, "l") for column in self.columns)
        body = [
            " & ".join(self._latex_field(field, at, i) for i, field in enumerate(row)) + r" \\"
            for at, row in enumerate(self.rows)
        ]
        notes = [r"\par\smallskip " + latex_escape(note) for note in self.notes]
        return "\n".join(
            [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{latex_escape(self.title)}}}",
                rf"\label{{{label}}}",
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                " & ".join(latex_escape(heading) for heading in self.headings) + r" \\",
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
                *notes,
                r"\end{table}",
            ]
        )

    def _markdown_field(self, field: str, place: int) -> str:
        is_code = self.columns[place].kind == Kind.CODE and re.fullmatch(r"[^`|\s]+", field)
        return f"`{field}`" if is_code else markdown_escape(field)

    def _latex_field(self, field: str, row: int, place: int) -> str:
        text = latex_escape(field)
        if (row, place) in self.bold:
            return rf"\textbf{{{text}}}"
        return rf"\texttt{{{text}}}" if text and self.columns[place].kind == Kind.CODE else text


def markdown_escape(text: str) -> str:
    """Text that Markdown shows as it is, in one line: neither mark-up nor HTML, and no new field of a table."""
    line = re.sub(r"([\\`*|<~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", " ".join(text.split()))
    return re.sub(r"&(?=#?\w+;)", r"\\&", line).replace("](", "]\\(")


def markdown_line(text: str) -> str:
    """The same at the beginning of a line, where it is no heading, list, quotation or reference either."""
    return re.sub(r"^(?=[#>+=-]|\[[^]]*\]:)|^(\d+)(?=[.)](?:\s|$))", r"\1\\", markdown_escape(text))


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "λ": r"$\lambda$",
    "Δ": r"$\Delta$",
    "β": r"$\beta$",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "<": "$<$",
    ">": "$>$",
}


def latex_escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_LATEX.get(character, character) for character in text)
