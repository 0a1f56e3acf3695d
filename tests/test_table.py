"""One table, four forms."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from decaystudy.table import Column, Kind, Table, latex_escape, markdown_escape, markdown_line

TABLE = Table(
    (Column("cell", Kind.WORDS), Column("loss"), Column("id", Kind.CODE), Column("says", Kind.PROSE)),
    (("a|b", "3.1", "x_1", "λ & 5 %"), ("longer", "10.25", "", 'a "quoted", word')),
    title="Losses of A_1",
    notes=("A note.",),
)


def test_text() -> None:
    assert TABLE.text().splitlines() == [
        "cell     loss  id   says",
        "──────  ─────  ───  ────────────────",
        "a|b       3.1  x_1  λ & 5 %",
        'longer  10.25       a "quoted", word',
        "",
        "A note.",
    ]


def test_csv_reads_back() -> None:
    assert list(csv.reader(io.StringIO(TABLE.csv()))) == [TABLE.headings, *map(list, TABLE.rows)]


def test_markdown() -> None:
    assert TABLE.markdown().splitlines() == [
        "## Losses of A_1",
        "",
        "| cell | loss | id | says |",
        "| :--- | ---: | :--- | :--- |",
        "| a\\|b | 3.1 | `x_1` | λ & 5 % |",
        '| longer | 10.25 |  | a "quoted", word |',
        "",
        "A note.",
    ]


def test_latex() -> None:
    text = TABLE.latex("tab:losses")
    assert (
        r"\begin{tabular}{lrlp{8cm}}" in text and r"\caption{Losses of A\_1}" in text and r"\label{tab:losses}" in text
    )
    assert r"a|b & 3.1 & \texttt{x\_1} & $\lambda$ \& 5 \% \\" in text and "longer & 10.25 &  & a" in text
    assert [len(re.findall(r"(?<!\\)&", line)) for line in text.splitlines() if line.endswith(r"\\")] == [3, 3, 3]
    assert "A note." in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX")
def test_latex_compiles(tmp_path: Path) -> None:
    main = tmp_path / "main.tex"
    body = TABLE.latex("tab:losses")
    main.write_text(rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}")
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", main.name], cwd=tmp_path, check=True)


def test_what_latex_would_read_is_escaped() -> None:
    assert latex_escape("λ 5 % a_b") == r"$\lambda$ 5 \% a\_b"
    assert latex_escape("\\~^{}<&>#$") == (r"\textbackslash{}\textasciitilde{}\textasciicircum{}\{\}$<$\&$>$\#\$")


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a row has 1 fields for 2 columns"):
        Table((Column("a"), Column("b")), (("1",),))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<script>alert(1)</script>", r"\<script>alert(1)\</script>"),
        ("*x* and _e_ in `code`", r"\*x\* and \_e\_ in \`code\`"),
        ("learning_rate 1e-3", "learning_rate 1e-3"),
        ("[here](http://x)", r"[here]\(http://x)"),
        ("&lt; but R&D", r"\&lt; but R&D"),
        ("two\nlines", "two lines"),
        ("back\\slash", r"back\\slash"),
        ("−0.0268 [+0.0182, +0.0354]", "−0.0268 [+0.0182, +0.0354]"),
    ],
)
def test_text_in_markdown_is_shown_as_it_is(text: str, shown: str) -> None:
    assert markdown_escape(text) == shown
    assert markdown_line(text) == shown


@pytest.mark.parametrize("text", ["# no heading", "- no list", "1. no list", "> no quotation", "[x]: no reference"])
def test_a_line_of_markdown_begins_nothing(text: str) -> None:
    line = markdown_line(text)
    assert line.replace("\\", "") == text and line != text
