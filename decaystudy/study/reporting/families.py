"""What stands below a table of comparisons: how its intervals are meant, and what they can resolve."""

from __future__ import annotations

from decaystudy.scales import find_scale
from decaystudy.statistics.claims import ClaimVerdict
from decaystudy.study.analysis.answer import share_text, tokens_text
from decaystudy.study.analysis.results import Family, StudyResults

METHOD = "max-|t|; seeds and {clusters} are samples, and cells moderate each other's variances"


def loss_notes(results: StudyResults) -> tuple[str, ...]:
    """Below a table of losses."""
    family = results.loss_family
    return (*_notes(results, family, "documents"), *family.notes)


def accuracy_notes(results: StudyResults) -> tuple[str, ...]:
    """Below a table of accuracies."""
    family = results.accuracy_family
    return () if family is None else (*_notes(results, family, "questions"), *family.notes)


def claim_notes(results: StudyResults) -> tuple[str, ...]:
    """Below the table of claims."""
    level = f"{results.loss_family.level:.0%}"
    if not results.loss_family.critical:
        return (f"{_about(results)}: {_why_nothing(results)}, so no claim is judged by its losses.",)
    kinds = ["losses as in the table of comparisons"]
    kinds += ["accuracies as in that of tasks"] if results.accuracy_family is not None else []
    if results.decay_family is not None:
        kinds.append(f"λ over seeds on its log half-life ({results.decay_family.effects} effects)")
    return (f"{_about(results)}: by simultaneous {level} intervals of {_seeds(results)}, {'; '.join(kinds)}.",)


def _notes(results: StudyResults, family: Family, clusters: str) -> list[str]:
    """The level, method, scale and seeds of a family, and what it resolves."""
    if family.critical is None:
        if len(results.seeds) == 1:
            return [f"{_about(results)}: differences of single checkpoints, without intervals or verdicts."]
        return [f"{_about(results)}: {_why_nothing(results)}, so there are no intervals or verdicts."]
    documents = "" if family.documents is None else f", {family.documents} {clusters}"
    method = METHOD.format(clusters=clusters)
    found = [
        f"{_about(results)}: simultaneous {family.level:.0%} intervals of {family.effects} differences "
        f"({method}); {_numbered(family)}{documents}."
    ]
    found += [f"{resolution(family)}."] if family.resolvable is not None else []
    return found


def outcome(results: StudyResults) -> str:
    """What the losses of a study resolved, in a line; empty for a study that compares none.

    ``3 seeds resolve ±0.062 nats per token here; the claims ask 0.02 (about 24 seeds, or scale small on a GPU): 2 of 5
    judged``. A claim counts as judged if it is supported or refuted.
    """
    family = results.loss_family
    claims = [claim for claim in results.claims if claim.of_losses]
    if not results.comparisons and not claims:
        return ""
    text = _unresolved(results) if family.resolvable is None else resolution(family, _finer(results))
    if not claims:
        return text
    judged = sum(claim.verdict in (ClaimVerdict.SUPPORTED, ClaimVerdict.REFUTED) for claim in claims)
    named = "" if "the claims" in text else "claims on losses "
    return f"{text}: {judged} of {len(claims)} {named}judged"


def resolution(family: Family, finer: str = "") -> str:
    """``3 seeds resolve ±0.062 nats per token here; the claims ask 0.02 (about 24 seeds)``

    Args:
        finer: a scale at which fewer seeds do, in words.
    """
    assert family.resolvable is not None
    low, high = (f"{value:.2g}" for value in family.resolvable)
    size = f"±{low}" if low == high else f"±{low} to ±{high}"
    text = f"{len(family.seeds)} seeds resolve {size} {family.unit} here"
    if family.margin is None:
        return text
    if family.seeds_for_margin is not None and family.seeds_for_margin <= len(family.seeds):
        return f"{text}; the claims ask {family.margin:g}"
    seeds = "more than 200" if family.seeds_for_margin is None else f"about {family.seeds_for_margin}"
    return f"{text}; the claims ask {family.margin:g} ({seeds} seeds{finer})"


def _unresolved(results: StudyResults) -> str:
    margin = results.loss_family.margin
    asked = "" if margin is None else f"; the claims ask {margin:g} (three seeds or more{_finer(results)})"
    return f"{_why_nothing(results)}, which resolves nothing{asked}"


def _finer(results: StudyResults) -> str:
    """``, or scale small on a GPU``"""
    name = results.finer_scale
    if name is None:
        return ""
    return f", or scale {name}{' on a GPU' if find_scale(name).threads is None else ''}"


def _seeds(results: StudyResults) -> str:
    """``3 seeds (0, 1, 2)``, of each family where they differ."""
    families = (results.loss_family, results.accuracy_family, results.decay_family)
    return " or ".join(dict.fromkeys(_numbered(family) for family in families if family is not None and family.seeds))


def _numbered(family: Family) -> str:
    return f"{len(family.seeds)} seeds ({', '.join(map(str, family.seeds))})"


def _why_nothing(results: StudyResults) -> str:
    return "one seed" if len(results.seeds) == 1 else "no two cells could be compared over seeds"


def _about(results: StudyResults) -> str:
    """The scale, how long runs are trained, and that beside their size."""
    tokens = tokens_text(results)
    return f"Scale {results.scale}" + (f", {tokens} ({share_text(results)} per parameter)" if tokens else "")
