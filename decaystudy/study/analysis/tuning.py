"""What a study's trials say of the settings that it chose: the curve of each cell, and how sure the choice is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from decaystudy.runs.state import states_text
from decaystudy.statistics.clusters import cluster_component, clustered
from decaystudy.study.definition.judged import JudgedCell, JudgedStudy
from decaystudy.study.definition.search import Trial
from decaystudy.study.definition.tuning import Tried, TunedCell, Tuning
from decaystudy.study.execution.outcomes import Outcome
from decaystudy.study.execution.searching import SPENT


def tuning_of(study: JudgedStudy, outcomes: Sequence[Outcome], seed_sd: float | None) -> Tuning | None:
    """How the study came to the settings of its cells; None where it chooses none.

    Args:
        outcomes: of all its runs.
        seed_sd: standard deviation of a reported cell between seeds, in nats per token; None where it is not known.
    """
    if not study.trials and not study.taken:
        return None
    tried = [outcome for outcome in outcomes if outcome.run.tuning]
    sizes = {len(outcome.documents.nll) for outcome in tried if outcome.documents is not None}
    return Tuning(
        seeds=tuple(sorted({*study.tuning_seeds, *(seed for one in study.taken.values() for seed in one.seeds)})),
        documents=sizes.pop() if len(sizes) == 1 else None,
        taken_from=study.taken_from or None,
        cells=tuple(_cell(study, cell, tried, seed_sd) for cell in study.cells),
    )


def tuning_notes(study: JudgedStudy, tuning: Tuning) -> list[str]:
    """What a reader must know about chosen settings."""
    found = []
    if study.search_words is not None:
        seeds = f"{'seed' if len(study.tuning_seeds) == 1 else 'seeds'} {', '.join(map(str, study.tuning_seeds))}"
        documents = "documents" if tuning.documents is None else f"{tuning.documents} documents"
        found.append(
            f"Each cell is compared at {study.search_words}, chosen on {seeds} and {documents} that are not reported."
        )
    if tuning.taken_from is not None:
        found.append(f"Settings are those chosen in {tuning.source}; a table says for which cell.")
    found.append("All intervals and verdicts are conditional on the chosen settings.")
    found += tuning.warnings
    lost = [one for cell in tuning.cells for one in cell.curve if one.loss is None]
    if lost:
        total = sum(len(cell.curve) for cell in tuning.cells)
        found.append(f"{len(lost)} of {total} tries have no loss; each counts as a try.")
    return found


def _cell(study: JudgedStudy, cell: JudgedCell, tried: Sequence[Outcome], sd: float | None) -> TunedCell:
    identity = cell.identity
    chosen = study.chosen.get(cell.name)
    if cell.name in study.taken:
        source = study.taken[cell.name]
        return dataclasses.replace(
            source.source,
            cell=cell.name,
            curve=(),
            taken_from=source.text,
            identity=identity,
        )
    trials = study.trials[cell.name]
    by_trial = [[o for o in tried if (o.run.cell, o.run.trial) == (cell.name, trial)] for trial in trials]
    # All cells choose from as many trials.
    fair = min(map(len, study.trials.values()))
    curve = _curve(trials, by_trial, fair, sd)
    why = None
    if chosen is None:
        ended = all(o.state in SPENT for own in by_trial for o in own)
        lost = ended and all(one.loss is None for one in curve)
        why = f"none of its {len(trials)} tries finished" if lost else "not all tries have ended"
    close = [one for one in curve[:fair] if one.above and one.above <= (one.above_error or 0.0)]
    return TunedCell(
        cell=cell.name,
        chosen=None if chosen is None else chosen.as_dict(),
        why=why,
        tries=fair,
        at_edge=chosen is not None and at_edge(chosen, trials[:fair]),
        unstable=chosen is not None and bool(close),
        curve=curve,
        identity=identity,
    )


def at_edge(chosen: Trial, tried: Sequence[Trial]) -> bool:
    """Whether a number that was chosen is the lowest or the highest of several that were tried."""
    for name, value in chosen.settings:
        values = {trial.as_dict().get(name) for trial in tried}
        numbers = [x for x in values if isinstance(x, (int, float)) and not isinstance(x, bool)]
        if len(numbers) > 1 and value in (min(numbers), max(numbers)):
            return True
    return False


def _curve(
    trials: Sequence[Trial], outcomes: Sequence[Sequence[Outcome]], fair: int, sd: float | None
) -> tuple[Tried, ...]:
    """One point per trial, with the errors of its loss and of what it has more than the best of the first ``fair``."""
    losses = [_mean([o.val_loss for o in own]) if own and all(o.finished for o in own) else None for own in outcomes]
    known = [number for number, loss in enumerate(losses) if loss is not None]
    best = min((n for n in known if n < fair), key=lambda n: losses[n] or 0.0, default=None)
    errors, paired = _errors([outcomes[n] for n in known], None if best is None else known.index(best))
    points = []
    for number, (trial, own, loss) in enumerate(zip(trials, outcomes, losses, strict=True)):
        facts = {}
        if loss is not None:
            place = known.index(number)
            facts = {"loss": loss, "standard_error": errors[place], "bits_per_byte": _bits_per_byte(own)}
            if best is not None:
                facts["above"] = loss - (losses[best] or 0.0)
                facts["above_error"] = 0.0 if number == best else _joined(paired[place], errors[place], sd, len(own))
        points.append(Tried(settings=trial.as_dict(), status=states_text([o.state for o in own]), **facts))
    return tuple(points)


def _joined(paired: float | None, alone: float | None, sd: float | None, seeds: int) -> float | None:
    """Standard error of what a trial has more than the best, from documents and seeds.

    One tuning seed doesn't tell how much seeds differ. Where reported runs don't either, the error of the loss alone
    stands in if it is larger than that of the difference.
    """
    if paired is None or alone is None:
        return None
    return max(paired, alone) if sd is None else math.sqrt(paired**2 + 2 * sd**2 / seeds)


def _errors(trials: Sequence[Sequence[Outcome]], best: int | None) -> tuple[list[float | None], list[float | None]]:
    """Standard errors, for other documents, of losses and of what they have more than the best."""
    unknown: list[float | None] = [None] * len(trials)
    digests = {o.result.data.get("validation_digest") if o.result else None for own in trials for o in own}
    tables = [[o.documents for o in own if o.documents is not None] for own in trials]
    if best is None or len(digests) != 1 or any(len(t) < len(own) for t, own in zip(tables, trials, strict=True)):
        return unknown, unknown
    sample = clustered(np.stack([[table.nll for table in own] for own in tables]), tables[0][0].tokens)
    alone = np.eye(len(trials))
    found = [
        np.sqrt(np.diag(cluster_component(sample, contrasts).covariance)) for contrasts in (alone, alone - alone[best])
    ]
    own, paired = ([float(x) for x in errors] for errors in found)
    return list(own), list(paired)


def _bits_per_byte(outcomes: Sequence[Outcome]) -> float | None:
    """Mean over seeds; None where documents or their sizes are not known."""
    tables = [o.documents for o in outcomes if o.documents is not None and o.documents.bytes.sum() > 0]
    if not tables or len(tables) < len(outcomes):
        return None
    return _mean([float(table.nll.sum() / table.bytes.sum()) / math.log(2) for table in tables])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
