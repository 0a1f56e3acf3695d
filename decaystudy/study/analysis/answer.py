"""The answer of a study in one or two sentences: what its verdicts say, and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from decaystudy.formatting import count
from decaystudy.runs.state import RunState, states_text
from decaystudy.statistics.claims import ClaimVerdict
from decaystudy.statistics.clusters import FEWEST
from decaystudy.statistics.digits import rounded
from decaystudy.study.analysis.pairing import Group, Named, Row, groups
from decaystudy.study.analysis.results import (
    AccuracyComparison,
    ClaimResult,
    Comparison,
    ComparisonVerdict,
    RunRow,
    StudyResults,
    in_bits,
)
from decaystudy.study.definition.claims.accuracy import MEAN

MOST = 8
"""Names that are listed of one verdict."""
MOST_CLAIMS = 5
MOST_REASONS = 3
JUDGED = (
    ComparisonVerdict.BETTER,
    ComparisonVerdict.WORSE,
    ComparisonVerdict.EQUIVALENT,
    ComparisonVerdict.NOT_RESOLVED,
)
DECIDED = (ClaimVerdict.SUPPORTED, ClaimVerdict.REFUTED)
ABOUT_ACCURACY = ("accuracy", "mixed")
"""Kinds of claims."""
_ONE_SEED = "one seed tells nothing about cells, as runs of one cell differ between seeds too: run three seeds or more"
_FEW = f"there are too few held-out {{}}: a verdict takes {FEWEST}"
_WHY = {"one seed": _ONE_SEED, "few documents": _FEW.format("documents"), "few questions": _FEW.format("questions")}


def answer(results: StudyResults) -> str:
    """What the comparisons and claims of a study came to."""
    accuracies = [row for row in results.accuracy_comparisons if row.task == MEAN]
    judged = any(row.verdict in JUDGED for row in (*results.comparisons, *accuracies))
    decided = any(claim.verdict is not ClaimVerdict.NOT_JUDGED for claim in results.claims)
    if not judged and not decided:
        return f"Nothing can be said yet, because {_obstacle(results, accuracies)}. {_planned(results)}"
    parts = _losses(results) + _accuracies(results, accuracies)
    claims = _claims(results)
    if not parts:
        return f"At {_about(results)}: {claims[0].lower()}{claims[1:]}"
    return " ".join([f"At {_about(results)}: {'; '.join(parts)}.", *([claims] if claims else [])])


def tokens_text(results: StudyResults) -> str:
    """``184 k tokens per run``; empty where no run has any."""
    found = sorted({run.tokens for run in reported(results) if run.tokens})
    if not found:
        return ""
    low, high = count(found[0]), count(found[-1])
    return f"{low if low == high else f'{low} to {high}'} tokens per run"


def share_text(results: StudyResults) -> str:
    """Tokens per parameter of the reported runs: ``0.15``, or ``0.11 to 0.15``."""
    shares = [run.tokens / run.parameters for run in reported(results) if run.tokens]
    low, high = f"{min(shares, default=0.0):.2g}", f"{max(shares, default=0.0):.2g}"
    return low if low == high else f"{low} to {high}"


def reported(results: StudyResults) -> list[RunRow]:
    """The runs that do not serve to choose settings."""
    return [run for run in results.runs if not run.tuning]


def _about(results: StudyResults) -> str:
    """``tiny, 3 seeds, 184 k tokens per run (0.15 tokens per parameter)``"""
    runs = reported(results)
    finished = sum(run.status == RunState.FINISHED for run in runs)
    so_far = [f"with {finished} of {len(runs)} runs finished"] if finished < len(runs) else []
    return ", ".join([results.scale, _seeds(_seeds_judged(results)), *_training(results), *so_far])


def _planned(results: StudyResults) -> str:
    numbers = ", ".join(map(str, results.seeds))
    seeds = f"seed{'s' if len(results.seeds) > 1 else ''} {numbers}"
    return f"The study: {', '.join([f'scale {results.scale}', seeds, *_training(results)])}."


def _training(results: StudyResults) -> list[str]:
    tokens = tokens_text(results)
    return [f"{tokens} ({share_text(results)} tokens per parameter)"] if tokens else []


def _seeds_judged(results: StudyResults) -> int:
    """The seeds that most of the verdicts rest on."""
    families = (results.loss_family, results.accuracy_family, results.decay_family)
    return next((len(family.seeds) for family in families if family is not None and family.seeds), len(results.seeds))


def _seeds(number: int) -> str:
    return f"{number} seed{'' if number == 1 else 's'}"


def _losses(results: StudyResults) -> list[str]:
    rows = [in_bits(row) if results.tokenizers > 1 else row for row in results.comparisons]
    return _told(rows, results, lambda row: f" {row.unit}")


def _accuracies(results: StudyResults, rows: Sequence[AccuracyComparison]) -> list[str]:
    """On the mean over tasks, for a study whose claims say nothing about accuracies."""
    claimed = any(claim.kind in ABOUT_ACCURACY for claim in results.claims)
    if claimed or not any(row.verdict in JUDGED for row in rows):
        return []
    tasks = list(dict.fromkeys(row.task for row in results.accuracy_comparisons if row.task != MEAN))
    what = f"in the mean over {len(tasks)} tasks" if len(tasks) > 1 else f"in accuracy on {tasks[0] if tasks else MEAN}"
    return [f"{what}, {'; '.join(_told(rows, results, lambda row: ''))}"]


def _told(rows: Sequence[Row], results: StudyResults, unit: Callable[[Row], str]) -> list[str]:
    """Clauses on the verdicts of comparisons; a unit that all have is named once."""
    told = [row for row in rows if row.verdict in JUDGED]
    usual = _seeds_judged(results)
    text = "; ".join(_clause(group, unit, usual) for group in groups(told, results.axis))
    units = {unit(row) for row in told}
    if len(units) == 1 and (name := units.pop()):
        head, found, rest = text.partition(name)
        text = head + found + rest.replace(name, "")
    return [text, *_apart([row for row in rows if row.verdict not in JUDGED])] if text else []


def _clause(group: Group[Row], unit: Callable[[Row], str], usual: int) -> str:
    """What became of the comparisons of a group."""
    found = []
    for verdict in (ComparisonVerdict.WORSE, ComparisonVerdict.BETTER):
        own = [one for one in group.rows if one.row.verdict is verdict]
        ordered = sorted(own, key=lambda one: -abs(one.row.difference or 0.0))
        sizes = [(_called(one, usual), _size(one.row), unit(one.row)) for one in ordered]
        found += [_ranked(str(verdict), sizes, group.level)] if sizes else []
    same: dict[str, list[str]] = {}
    for one in (one for one in group.rows if one.row.verdict is ComparisonVerdict.EQUIVALENT):
        same.setdefault(f"within ±{one.row.margin:.3g}{unit(one.row)}", []).append(_called(one, usual))
    for within, own_names in same.items():
        listed = _listed(own_names)
        cells = f"{listed} {'is' if len(own_names) == 1 else 'are'} equivalent {within}"
        found.append(f"equivalent {within} for {listed}" if group.level else cells)
    levels = f"{group.level} in place of {group.baseline}"
    if found and group.level:
        found[0] = f"{levels} is {found[0]}"
    unresolved = [one for one in group.rows if one.row.verdict is ComparisonVerdict.NOT_RESOLVED]
    if unresolved:
        names = _listed([_called(one, usual) for one in unresolved])
        nothing = f"for {names} nothing is resolved{_resolvable([one.row for one in unresolved], unit)}"
        found.append(nothing if found or not group.level else f"of {levels}, {nothing}")
    text = f"{', '.join(found[:-1])}, and {found[-1]}" if len(found) > 1 else found[0]
    return text if group.level else f"beside {group.baseline}, {text}"


def _ranked(verdict: str, sizes: Sequence[tuple[str, str, str]], level: str) -> str:
    """``worse by 0.21 nats per token for gla and 0.15 for lightnet``, or with cells as the subject."""
    shown = sizes if len(sizes) <= MOST else sizes[: MOST - 1]
    words = []
    for number, (name, size, unit) in enumerate(shown):
        first = number == 0 or unit != shown[number - 1][2]
        amount = f"{size}{unit if first else ''}"
        if level:
            words.append(f"{f'{verdict} by ' if number == 0 else ''}{amount} for {name}")
        else:
            words.append(f"{name} {f'is {verdict} ' if number == 0 else ''}by {amount}")
    left = sizes[len(shown) :]
    if left:
        words.append(f"{len(left)} others by {left[-1][1]} to {left[0][1]}")
    return _listed(words, len(words))


def _size(row: Comparison | AccuracyComparison) -> str:
    return rounded(abs(row.difference or 0.0), row.standard_error)


def _called(one: Named[Row], usual: int) -> str:
    """A comparison's name, and its seeds where it rests on others than most do."""
    return one.name if one.row.seeds == usual else f"{one.name} ({_seeds(one.row.seeds)})"


def _resolvable(rows: Sequence[Row], unit: Callable[[Row], str]) -> str:
    """`` at ±0.05 nats per token``: which true differences would have been found."""
    sizes = sorted(row.resolvable for row in rows if row.resolvable is not None)
    if not sizes:
        return ", two seeds of so few cells being too few to bound a difference"
    low, high = f"±{sizes[0]:.2g}", f"±{sizes[-1]:.2g}"
    return f" at {low if low == high else f'{low} to {high}'}{unit(rows[0])}"


def _apart(rows: Sequence[Row]) -> list[str]:
    """Pairs without a verdict, by what stands in the way."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(row.why or str(row.verdict), []).append(f"{row.a} with {row.b}")
    shown = list(reasons.items())[:MOST_REASONS]
    told = [f"not compared {'is' if len(pairs) == 1 else 'are'} {_listed(pairs, 3)} ({why})" for why, pairs in shown]
    left = sum(map(len, reasons.values())) - sum(len(pairs) for _, pairs in shown)
    return told + ([f"nor {'is 1 other pair' if left == 1 else f'are {left} other pairs'}"] if left else [])


def _claims(results: StudyResults) -> str:
    """``Of 5 claims, 2 are supported (…), 1 is refuted (…) and 2 are not resolved.``"""
    if not results.claims:
        return ""
    parts = []
    for verdict in (ClaimVerdict.SUPPORTED, ClaimVerdict.REFUTED, ClaimVerdict.NOT_RESOLVED, ClaimVerdict.NOT_JUDGED):
        own = [claim for claim in results.claims if claim.verdict is verdict]
        if not own:
            continue
        names = [_claim(claim) if verdict in DECIDED else claim.id for claim in own]
        reasons = list(dict.fromkeys(claim.why for claim in own if claim.why))
        shown = (
            names
            if len(names) <= MOST_CLAIMS
            else [*names[: MOST_CLAIMS - 1], f"{len(names) - MOST_CLAIMS + 1} others"]
        )
        beside = "; ".join(reasons if verdict is ClaimVerdict.NOT_JUDGED and len(reasons) == 1 else shown)
        parts.append(f"{len(own)} {'is' if len(own) == 1 else 'are'} {verdict} ({beside})")
    everywhere = [
        f"; over {len(claim.scales)} scales {claim.id} is {claim.verdict}"
        for claim in results.every_scale
        if claim.verdict in DECIDED
    ]
    number = len(results.claims)
    return f"Of {number} claim{'' if number == 1 else 's'}, {_listed(parts)}{''.join(everywhere)}."


def _claim(claim: ClaimResult) -> str:
    """The id of a claim that is decided; with its number unless it is about losses, which the comparisons tell."""
    part = claim.decisive
    if part is None or part.effect is None or claim.of_losses:
        return claim.id
    return f"{claim.id}, {part.about}: {rounded(part.effect, part.standard_error, signed=part.signed)}"


def _obstacle(results: StudyResults, accuracies: Sequence[AccuracyComparison]) -> str:
    """Why there is no verdict."""
    runs = reported(results)
    if not any(run.status == RunState.FINISHED for run in runs):
        return f"none of its {len(runs)} runs has finished ({states_text([run.status for run in runs])})"
    if not results.comparisons and not results.claims:
        return "it compares nothing: give its file a baseline, comparisons or claims"
    if len(results.seeds) == 1:
        found = [_ONE_SEED]
    else:
        found = [_pair_obstacle(row) for row in results.comparisons]
        found += [_pair_obstacle(row) for row in accuracies]
        found = found or [_WHY.get(claim.why or "", claim.why or str(claim.verdict)) for claim in results.claims]
    reasons = list(dict.fromkeys(found))
    more = f" (and {len(reasons) - MOST_REASONS} more)" if len(reasons) > MOST_REASONS else ""
    return f"{'; and '.join(reasons[:MOST_REASONS])}{more}"


def _pair_obstacle(row: Comparison | AccuracyComparison) -> str:
    if row.verdict is ComparisonVerdict.ONE_SEED:
        return f"{row.a} and {row.b} have one finished seed in common, which tells nothing about cells"
    if row.verdict is ComparisonVerdict.FEW_DOCUMENTS:
        what = "documents" if isinstance(row, Comparison) else "questions"
        return f"{row.documents} held-out {what} are too few: a verdict takes {FEWEST}"
    return row.why or str(row.verdict)


def _listed(words: Sequence[str], most: int = MOST) -> str:
    """``a, b and c``, or ``a, b and 4 others``."""
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} others"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
