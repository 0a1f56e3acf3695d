"""The comparisons of a study on validation loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from decaystudy.statistics.planning import Goal
from decaystudy.study.analysis import results
from decaystudy.study.analysis.judgement import facts_of, family_facts
from decaystudy.study.analysis.losses import NATS, Losses
from decaystudy.study.analysis.measurements import Unavailable
from decaystudy.study.analysis.runs import Cells, machine_notes
from decaystudy.study.definition.claims import Claim
from decaystudy.study.definition.judged import JudgedPair, JudgedStudy


def loss_pairs(study: JudgedStudy) -> list[tuple[str, str]]:
    """Every pair whose losses a report compares: its rows, and its claims."""
    claimed = [pair for claim in study.claims for pair in claim.loss_pairs()]
    return list(dict.fromkeys([*((c.a, c.b) for c in study.comparisons), *claimed]))


def compare(
    comparisons: Sequence[JudgedPair], cells: Cells, losses: Losses, claims: Sequence[Claim]
) -> tuple[results.Comparison, ...]:
    """Each comparison with its verdict."""
    rows = []
    for comparison in comparisons:
        a, b = comparison.a, comparison.b
        effect = losses.difference(a, b)
        bits, margin, notes, by_seed = None, margin_of(claims, a, b), [], {}
        if not isinstance(effect, Unavailable):
            by_seed = losses.by_seed(a, b)
            notes = machine_notes(losses.runs(a, b))
            in_nats = effect.unit == NATS
            margin = margin if in_nats else None
            bits = losses.bits_per_byte(a, b, effect.estimate) if in_nats else effect.estimate
        rows.append(
            results.Comparison(
                a=a,
                b=b,
                axis=comparison.axis,
                differing=comparison.differing,
                parameters=_parameters(cells, a) - _parameters(cells, b),
                bits_per_byte=bits,
                by_seed=tuple(results.SeedDifference(seed=seed, difference=own) for seed, own in by_seed.items()),
                **facts_of(effect, margin, notes=notes),
            )
        )
    return tuple(rows)


def loss_family(study: JudgedStudy, cells: Cells, losses: Losses) -> results.Family:
    """What a report says of all its comparisons of losses."""
    found = [losses.difference(a, b) for a, b in loss_pairs(study)]
    effects = [effect for effect in found if not isinstance(effect, Unavailable)]
    # Bounds are in nats; what a study across tokenizers resolves is said in the unit that its pairs share.
    unit = next((effect.unit for effect in effects if effect.unit != NATS), NATS)
    margin, goal = smallest_margin(study)
    return family_facts(
        losses.measurements,
        effects,
        unit,
        margin=margin if unit == NATS else None,
        goal=goal,
        notes=losses.notes(cells),
    )


def smallest_margin(study: JudgedStudy) -> tuple[float | None, Goal]:
    """The smallest bound, other than 0, of the study's claims on losses, and what it is for."""
    margins = [found for claim in study.claims if claim.loss_pairs() for found in claim.bounds.margins()]
    return min(margins, default=(None, Goal.DIFFERENCE))


def margin_of(claims: Iterable[Claim], a: str, b: str) -> float | None:
    """Differences of a pair below this don't matter: the smallest bound, other than 0, of the claims on it."""
    asked = [
        margin for claim in claims if {(a, b), (b, a)} & set(claim.loss_pairs()) for margin, _ in claim.bounds.margins()
    ]
    return min(asked, default=None)


def _parameters(cells: Cells, name: str) -> int:
    return cells[name][0].run.facts.parameters
