"""Writes docs/evidence/README.md from the bundles beside it and its text.md; with --check, says whether it is current.

text.md is written by hand. In it {statements} stands for the paper's statements with our verdicts, and {studies} for
the studies' answers and tables, both judged again from the bundles. With --figures the figures are drawn too.
"""

from __future__ import annotations

import sys
from pathlib import Path

from decaystudy.formatting import MISSING
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.definition.claims import Claim
from decaystudy.study.definition.claims.result import ClaimResult
from decaystudy.study.definition.library import describe_studies
from decaystudy.study.definition.schema import read_study
from decaystudy.study.reporting import tables
from decaystudy.study.reporting.tables.claims import bounds, effect
from decaystudy.study.sharing.content import read_bundle
from decaystudy.table import Column, Kind, Table
from decaystudy.yaml_document import load

DOCS = Path(__file__).parent
EVIDENCE = DOCS / "evidence"
FIGURES = ("differences", "decays", "decay_curves", "loss_by_decay", "tuning")


def page() -> str:
    """The content of docs/evidence/README.md."""
    judged = {path.stem: next(iter(read_bundle(path).results.values())) for path in sorted(EVIDENCE.glob("*.bundle"))}
    text = (EVIDENCE / "text.md").read_text(encoding="utf-8")
    parts = {"{statements}": statements(judged).markdown(), "{studies}": "\n\n".join(map(chapter, judged.values()))}
    for mark, content in parts.items():
        text = text.replace(mark, content.strip("\n"))
    return text


def statements(judged: dict[str, StudyResults]) -> Table:
    """Every statement of the paper, with the claims that test it and what our runs make of them."""
    specs = {name: read_study(name) for name, _ in describe_studies()}
    claims = [(name, claim) for name, spec in specs.items() for claim in spec.claims]
    rows: list[tuple[str, ...]] = []
    for statement in load(DOCS / "statements.yaml").values:
        tests = [(name, claim) for name, claim in claims if statement["id"] in claim.statements]
        for number, (name, claim) in enumerate(tests):
            rows.append(("" if number else statement["says"], *row_of(name, claim, judged)))
        if not tests:
            rows.append((statement["says"], MISSING, "not tested", MISSING, statement["untested"]))
    columns = (
        Column("statement", Kind.PROSE),
        Column("claim", Kind.CODE),
        Column("verdict", Kind.VERDICT),
        Column("effect"),
        Column("measured as, and what it takes", Kind.PROSE),
    )
    return Table(columns, tuple(rows))


def row_of(name: str, claim: Claim, judged: dict[str, StudyResults]) -> tuple[str, ...]:
    """A claim's verdict, effect, and what the effect is of; why there is none where its study was not run."""
    found: ClaimResult | None = None
    if name in judged:
        found = next((one for one in judged[name].claims if one.id == claim.id), None)
    if found is None:
        return (f"{name}/{claim.id}", "not judged", MISSING, "its study has not been run at this scale")
    words = found.decisive.about if found.decisive else ""
    wanted = f"; it must be {bounds(found.decisive)}" if found.decisive and any(found.decisive.wanted) else ""
    return (f"{name}/{claim.id}", str(found.verdict), effect(found), found.why or f"{words}{wanted}")


def chapter(results: StudyResults) -> str:
    """A study's answer, its tables and its figures; its claims where no statement of the paper is tested by them."""
    of_paper = any(claim.statements for claim in read_study(results.study).claims)
    shown = [
        None if of_paper else tables.claims_table(results),
        tables.comparisons_table(results),
        tables.cells_table(results),
        tables.tasks_table(results),
        tables.trials_table(results),
    ]
    drawn = [name for name in FIGURES if (EVIDENCE / "figures" / f"{results.study}-{name}.svg").is_file()]
    parts = [
        f"### {results.title}",
        f"*{(results.question or '').strip()}* {results.answer}",
        *(f"![{name.replace('_', ' ')} of {results.study}](figures/{results.study}-{name}.svg)" for name in drawn),
        *(table.markdown().replace("## ", "#### ") for table in shown if table is not None and table.rows),
    ]
    return "\n\n".join(part.strip("\n") for part in parts)


def draw() -> None:
    """The figures of every bundle, as SVG."""
    from decaystudy.study.reporting.figures import all_figures

    (EVIDENCE / "figures").mkdir(exist_ok=True)
    for path in sorted(EVIDENCE.glob("*.bundle")):
        bundle = read_bundle(path)
        for name, figure in all_figures(next(iter(bundle.results.values())), bundle.curves).items():
            if name in FIGURES:
                figure.savefig(EVIDENCE / "figures" / f"{path.stem}-{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    from pages import write_or_check

    if sys.argv[1:] == ["--figures"]:
        draw()
    sys.exit(write_or_check(EVIDENCE / "README.md", page, "docs-evidence", sys.argv[1:]))
