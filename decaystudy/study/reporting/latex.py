"""A study's table and claims as LaTeX, to be \\input into a paper that uses booktabs. Needs no torch."""

from __future__ import annotations

from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.reporting.tables import effect, summary_table, tasks_table

_SPECIAL = {
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
    "−": "$-$",
    "–": "--",
    "β": r"$\beta$",
    "<": "$<$",
    ">": "$>$",
}


def as_tex(results: StudyResults) -> str:
    """Two tables: the cells, and the claims."""
    heading, rows = summary_table(results)
    lines = [f"% {results.study} at scale {results.scale}, made by decaystudy report"]
    lines += _table(heading, rows, f"{results.title} (scale {results.scale}).", f"tab:{results.study}")
    tasks = tasks_table(results)
    if tasks is not None:
        caption = f"Tasks: {results.title} (scale {results.scale})."
        lines += ["", *_table(*tasks, caption, f"tab:{results.study}-tasks")]
    if results.claims:
        claims = [[claim.text, claim.verdict, effect(claim)] for claim in results.claims]
        caption = f"Claims tested: {results.title} (scale {results.scale})."
        lines += [
            "",
            *_table(["claim", "verdict", "effect"], claims, caption, f"tab:{results.study}-claims", "p{8cm}"),
        ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _table(heading: list[str], rows: list[list[str]], caption: str, label: str, first: str = "l") -> list[str]:
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{escape(caption)}}}", rf"\label{{{label}}}"]
    lines += [rf"\begin{{tabular}}{{{first}{'r' * (len(heading) - 2)}l}}", r"\toprule"]
    lines += [" & ".join(escape(cell) for cell in heading) + r" \\", r"\midrule"]
    lines += [" & ".join(escape(cell) for cell in row) + r" \\" for row in rows]
    return [*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
