"""One row per claim."""

from __future__ import annotations

from decaystudy.formatting import MISSING
from decaystudy.statistics.claims import ClaimVerdict
from decaystudy.study.analysis.results import ClaimPart, ClaimResult, ScaleVerdict, StudyResults
from decaystudy.study.reporting.families import claim_notes
from decaystudy.study.reporting.tables.fields import span
from decaystudy.table import Column, Kind, Table

MARKS = {
    ClaimVerdict.SUPPORTED: "✔",
    ClaimVerdict.REFUTED: "✘",
    ClaimVerdict.NOT_RESOLVED: "?",
    ClaimVerdict.NOT_JUDGED: "–",
}


def claims_table(results: StudyResults, *, marks: bool = False) -> Table:
    """Every claim with its verdict.

    Args:
        marks: a mark before each verdict, for forms without colour.
    """
    columns = (
        Column("verdict", Kind.VERDICT),
        Column("id", Kind.CODE),
        Column("effect"),
        Column("what is claimed", Kind.PROSE),
    )
    rows = [
        ((f"{MARKS[claim.verdict]} " if marks else "") + claim.words, claim.id, effect(claim), claim.text)
        for claim in results.claims
    ]
    return Table(columns, tuple(rows), title="Claims", notes=claim_notes(results))


def claim_details_table(results: StudyResults) -> Table:
    """Every claim with its verdict, what was measured, and what it takes to hold."""
    columns = (
        Column("claim", Kind.PROSE),
        Column("verdict", Kind.VERDICT),
        Column("effect"),
        Column("measured as", Kind.PROSE),
        Column("holds if", Kind.WORDS),
    )
    rows = [
        (
            claim.text,
            claim.words,
            effect(claim),
            "" if claim.decisive is None else claim.decisive.about,
            "" if claim.decisive is None else bounds(claim.decisive),
        )
        for claim in results.claims
    ]
    return Table(columns, tuple(rows), title="Claims", notes=claim_notes(results))


def scales_table(results: StudyResults) -> Table | None:
    """Claims about every scale, over the scales; None if there are none."""
    if not results.every_scale:
        return None
    about = {one.scale: one for claim in results.every_scale for one in claim.scales}
    scales = list(about)
    columns = (
        Column("over all scales", Kind.VERDICT),
        Column("id", Kind.CODE),
        *(Column(scale_heading(one), Kind.VERDICT) for one in about.values()),
        Column("what is claimed", Kind.PROSE),
    )
    rows = []
    for claim in results.every_scale:
        own = {one.scale: one.words for one in claim.scales}
        rows.append((claim.words, claim.id, *(own.get(scale, "") for scale in scales), claim.text))
    first = results.every_scale[0]
    note = (
        f"Each scale is judged by itself, by simultaneous {first.level:.0%} intervals. A claim is supported if each "
        "scale supports it, and refuted if one of its n scales refutes it also by intervals of the level 1 − α/n."
    )
    judged = any(one.verdict != ClaimVerdict.NOT_JUDGED for claim in results.every_scale for one in claim.scales)
    return Table(columns, tuple(rows), title="Claims about every scale", notes=(note,) if judged else ())


def scale_heading(one: ScaleVerdict) -> str:
    """``160m, 3 seeds, 25 tokens per parameter``; the scale alone where the study was not run."""
    if one.tokens_per_parameter is None:
        return one.scale
    low, high = (f"{share:.2g}" for share in one.tokens_per_parameter)
    share = low if low == high else f"{low} to {high}"
    return f"{one.scale}, {len(one.seeds)} seed{'' if len(one.seeds) == 1 else 's'}, {share} tokens per parameter"


def effect(claim: ClaimResult) -> str:
    """Effect and interval of the part of a claim that decided."""
    part = claim.decisive
    if part is None or part.effect is None:
        return MISSING
    return span(part.effect, part.low, part.high, part.standard_error, signed=part.signed)


def bounds(part: ClaimPart) -> str:
    """Where a claim's effect must lie: ``above 0 and below 0.1``."""
    low, high = (None if end is None else f"{end:.4g}".replace("-", "−") for end in part.wanted)
    if part.outside:
        return f"below {low} or above {high}"
    words = [f"above {low}"] if low is not None else []
    words += [f"below {high}"] if high is not None else []
    return " and ".join(words)
