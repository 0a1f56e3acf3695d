"""What a study's search proposes next, and what it chooses, from the runs that have ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from decaystudy.runs.folder import state_of
from decaystudy.runs.state import FINAL, RunState
from decaystudy.study.definition.cells import Cell
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.definition.search import Search, Trial, TrialResult, choose, new_trials
from decaystudy.study.execution.store import Store

SPENT = (*FINAL, RunState.FAILED, RunState.OUT_OF_MEMORY)
"""States in which a trial counts as tried."""


def with_proposals(study: Study, store: Store, *, retried: bool = False) -> Study:
    """The study with every trial that its search proposes so far, and with its choices once the search is over.

    Args:
        retried: runs that failed are about to be trained again, so that nothing is chosen without them.

    Raises:
        UserError: the search fails or never ends.
    """
    if study.search is None:
        return study
    trials: dict[str, tuple[Trial, ...]] = {}
    results: dict[str, list[TrialResult]] = {}
    for cell in study.cells:
        if cell.name in study.trials:
            trials[cell.name], found = _searched(study, study.search, cell, store, FINAL if retried else SPENT)
            if found is not None:
                results[cell.name] = found
    chosen = {name: trial for name, trial in study.chosen.items() if name not in study.trials}
    if len(results) == len(trials):
        # Every cell is chosen from as many trials as the others.
        fair = min(map(len, results.values()), default=0)
        for name, found in results.items():
            choice = choose(study.search, found[:fair])
            if choice is not None:
                chosen[name] = choice
    return dataclasses.replace(study, trials=trials, chosen=chosen)


def _searched(
    study: Study, search: Search, cell: Cell, store: Store, ended: Sequence[RunState]
) -> tuple[tuple[Trial, ...], list[TrialResult] | None]:
    """The trials of a cell, and their results if the search is over."""
    trials = study.trials[cell.name]
    while True:
        results = [trial_result(study.tuning_runs(cell, trial), store, ended) for trial in trials]
        known = [result for result in results if result is not None]
        if len(known) < len(results):
            return trials, None
        fresh = new_trials(search, known, trials)
        if not fresh:
            return trials, known
        trials = (*trials, *fresh)


def trial_result(runs: Sequence[Run], store: Store, ended: Sequence[RunState] = SPENT) -> TrialResult | None:
    """The results of a trial's runs, one per tuning seed; None while one of them may still be trained."""
    losses: list[float | None] = []
    trial = runs[0].trial
    assert trial is not None
    for run in runs:
        folder = store.find(run)
        state = None if folder is None else state_of(folder)
        if folder is None or state not in ended:
            return None
        result = folder.read_result() if state == RunState.FINISHED else None
        losses.append(None if result is None else result.val_loss)
    return TrialResult(trial.as_dict(), tuple(losses))
