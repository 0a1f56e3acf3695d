"""Writes docs/studies.md from the study files; with --check, says whether it is current."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from decaystudy.study.definition.claims import Claim
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.library import describe_studies
from decaystudy.study.definition.schema import StudySpec, read_study
from decaystudy.study.definition.settings import Setting
from decaystudy.table import Column, Kind, Table

DOCS = Path(__file__).parent
HEAD = """# The studies

Made by `make docs-claims` from the study files; a test keeps it current. Each runs by its name, at any of its scales:

    decaystudy run-study {first} --dry-run

[Study files](study-file.md) says how to write one, [the paper's statements](claims.md) how many seeds each claim takes,
and [statistics](statistics.md) what the verdicts mean. *Holds if* is about the 95 % interval of what is measured.
"""


def page() -> str:
    """The content of docs/studies.md."""
    specs = [read_study(name) for name, _ in describe_studies()]
    parts = [HEAD.format(first=specs[0].name), overview(specs).markdown(), *(chapter(spec) for spec in specs)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def overview(specs: Sequence[StudySpec]) -> Table:
    """One row per study."""
    columns = (
        Column("study", Kind.CODE),
        Column("is about", Kind.PROSE),
        Column("cells"),
        Column("claims"),
        Column("runs at its first scale"),
    )
    rows = []
    for spec in specs:
        study = expand(spec)
        runs = f"{len(study.runs())} ({study.scale}, {len(study.seeds)} seeds)"
        rows.append((spec.name, spec.title, str(len(spec.cells)), str(len(spec.claims)), runs))
    return Table(columns, tuple(rows))


def chapter(spec: StudySpec) -> str:
    """A study's question, its design, its cells and its claims."""
    axis = ", ".join(spec.axis).replace("_", " ")
    facts = [
        f"- Cells of a comparison differ in: {axis}." if axis else "",
        f"- All cells: {words(spec.settings)}." if spec.settings else "",
        f"- Baseline: `{spec.baseline}`." if spec.baseline is not None else "",
        f"- Scales: {', '.join(spec.scales)}. Seeds: {', '.join(map(str, spec.seeds))}.",
        *(
            f"- At {scale} only with `--all-cells`: {', '.join(f'`{name}`' for name in names)}."
            for scale, names in spec.extra_cells.items()
        ),
        f"- Evaluated on: {spec.evaluate}." if spec.evaluate else "",
    ]
    parts = [f"## {spec.name}", f"**{spec.title}.** {spec.question.strip()}", "\n".join(filter(None, facts))]
    parts.append(cells_table(spec).markdown())
    if spec.claims:
        parts.append(claims_table(spec.claims).markdown())
    return "\n\n".join(part.strip("\n") for part in parts)


def cells_table(spec: StudySpec) -> Table:
    """The cells with the settings of their own."""
    rows = [(cell.name, words(cell.settings)) for cell in spec.cells]
    return Table((Column("cell", Kind.CODE), Column("settings", Kind.WORDS)), tuple(rows))


def words(settings: Mapping[Setting, Any]) -> str:
    """Settings by their last names, as ``decay=simple, p=0.9``."""
    plain = {name[-1]: str(value).lower() if isinstance(value, bool) else value for name, value in settings.items()}
    return ", ".join(f"{name}={value}" for name, value in plain.items())


def claims_table(claims: Sequence[Claim]) -> Table:
    """The claims in their own words, and what it takes for each to hold."""
    columns = (Column("claim", Kind.CODE), Column("says", Kind.PROSE), Column("holds if", Kind.WORDS))
    return Table(columns, tuple((claim.id, claim.says, claim.holds_if()) for claim in claims))


if __name__ == "__main__":
    from pages import write_or_check

    sys.exit(write_or_check(DOCS / "studies.md", page, "docs-claims", sys.argv[1:]))
