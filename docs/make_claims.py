"""Writes docs/claims.md from the study files and docs/statements.yaml; with --check, says whether it is current."""

from __future__ import annotations

import sys
from pathlib import Path

from decaystudy.study.analysis.claim_plans import seeds_for
from decaystudy.study.analysis.expected import assumed_sd, expected_design
from decaystudy.study.definition.claims import Claim
from decaystudy.study.definition.claims.margins import MARGINS, NEAR
from decaystudy.study.definition.expand import Study, expand
from decaystudy.study.definition.library import describe_studies
from decaystudy.study.definition.schema import read_study
from decaystudy.table import Column, Kind, Table
from decaystudy.yaml_document import load

DOCS = Path(__file__).parent
SCALES = {"tiny": "tiny", "mini": "mini and small", "160m": "160m and up"}
"""One of those that are assumed to have the same deviation between seeds, and the words for all of them."""
HEAD = """# The paper's statements, and the claims that test them

Made by `make docs-claims` from the study files and [statements.yaml](statements.yaml); a test keeps it current. The
statements are those of the abstract of arXiv 2509.05282 and of notes on it. Where they speak of GLA, there is a claim
for the form of its own paper (`gla`) and one for that of the released code (`gla-inside`).
"""
SEEDS = """*Seeds* are about how many find, with a probability of 80 %, a difference as much beyond its bound as the
bound itself (0.02 nats where that is 0), or equality within it, beside all other comparisons of the study. They assume
that a cell's loss has a standard deviation between seeds of {sds},
and many held-out documents; `decaystudy run-study NAME --dry-run` says the same for the seeds that a study has, from
finished runs where there are some. Claims about λ take three seeds or more, and a λ that has left its start; those
about accuracy take evaluated cells (`--evaluate`) and are limited by the questions of the tasks; an optimum takes a
curve that is not flat. No claim is judged by one seed.

*At all of 160m, 410m, 1.45b* marks claims about every size: supported if each of these scales supports it, refuted if
one refutes it at a level of 1 − 0.05/3. `decaystudy report` judges them over the scales that the study was run at.
"""


def page(*, with_seeds: bool = True) -> str:
    """The content of docs/claims.md.

    Args:
        with_seeds: also how many seeds resolve a claim, which takes some seconds to compute.
    """
    studies = {name: read_study(name) for name, _ in describe_studies()}
    at_scale = {
        (name, scale): expand(spec, scale=scale, all_cells=True)
        for name, spec in studies.items()
        for scale in SCALES
        if scale in spec.scales and with_seeds
    }
    claims = [(name, claim) for name, spec in studies.items() for claim in spec.claims]
    rows, untested = [], []
    for statement in load(DOCS / "statements.yaml").values:
        tests = [(name, claim) for name, claim in claims if statement["id"] in claim.statements]
        rows += [
            (statement["says"] if first else "", *row_of(name, claim, at_scale))
            for first, (name, claim) in zip([True] + [False] * len(tests), tests, strict=False)
        ]
        if not tests:
            untested.append((statement["says"], statement["untested"]))
    own = [("", *row_of(name, claim, at_scale)) for name, claim in claims if not claim.statements]
    columns = (
        Column("statement", Kind.PROSE),
        Column("claim", Kind.CODE),
        Column("cells", Kind.WORDS),
        Column("holds if", Kind.WORDS),
        *(Column(f"seeds at {words}") for words in SCALES.values()),
    )
    sds = ", ".join(f"{assumed_sd(scale):g} ({words})" for scale, words in SCALES.items())
    parts = [
        HEAD,
        Table(columns, tuple(rows)).markdown(),
        SEEDS.format(sds=sds),
        "## Margins",
        margins_table().markdown(),
        f"*Near* a λ is within a factor {NEAR:g} of its half-life: 0.64 to 0.89 for 0.8.",
        "## Statements that no claim tests",
        Table((Column("statement", Kind.PROSE), Column("why", Kind.PROSE)), tuple(untested)).markdown(),
        "## Claims of our own",
        Table(columns[1:], tuple(row[1:] for row in own)).markdown(),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def row_of(name: str, claim: Claim, studies: dict[tuple[str, str], Study]) -> tuple[str, ...]:
    """The claim, its cells, what it takes to hold, and the seeds at each scale."""
    seeds = []
    for scale in SCALES:
        expected = expected_design(studies[name, scale]) if (name, scale) in studies else None
        if expected is None or not claim.loss_pairs():
            seeds.append("–" if expected is None or claim.of_losses or claim.accuracies() else "3")
        else:
            needed = seeds_for(claim, expected[0])
            seeds.append("over 200" if needed is None else str(max(needed, 2)))
    cells = sorted(claim.named_cells()) or ["all with a decay"]
    return (f"{name}/{claim.id}", ", ".join(cells), claim.holds_if(), *seeds)


def margins_table() -> Table:
    """The margins with names."""
    columns = (
        Column("margin", Kind.CODE),
        Column("is", Kind.WORDS),
        Column("stands for", Kind.PROSE),
        Column("because", Kind.PROSE),
    )
    rows = [(name, f"{m.value:.3g} {m.unit}", m.words, m.why) for name, m in MARGINS.items()]
    return Table(columns, tuple(rows))


if __name__ == "__main__":
    from pages import write_or_check

    sys.exit(write_or_check(DOCS / "claims.md", page, "docs-claims", sys.argv[1:]))
