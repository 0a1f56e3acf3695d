"""What a study's search proposes next, from the runs that have ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from decaystudy.runs.folder import state_of
from decaystudy.runs.state import FINAL
from decaystudy.study.definition.cells import Cell
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.definition.search import Trial, TrialResult, new_trials
from decaystudy.study.execution.store import Store


def with_proposals(study: Study, store: Store) -> Study:
    """The study with every trial that its search proposes so far; the study itself where there is no search.

    Raises:
        UserError: the search fails or never ends.
    """
    if study.search is None:
        return study
    trials = {cell.name: _proposed(study, cell, store) for cell in study.cells}
    return dataclasses.replace(study, trials=trials)


def _proposed(study: Study, cell: Cell, store: Store) -> tuple[Trial, ...]:
    assert study.search is not None
    trials = study.trials[cell.name]
    while True:
        results = [trial_result(study.runs_of(cell, trial), store) for trial in trials]
        known = [result for result in results if result is not None]
        if len(known) < len(results):
            return trials
        fresh = new_trials(study.search, known, trials)
        if not fresh:
            return trials
        trials = (*trials, *fresh)


def trial_result(runs: Sequence[Run], store: Store) -> TrialResult | None:
    """The results of a trial's runs, one per seed; None while one of them may still be trained."""
    losses: list[float | None] = []
    trial = runs[0].trial
    assert trial is not None
    for run in runs:
        folder = store.find(run)
        if folder is None or state_of(folder) not in FINAL:
            return None
        result = folder.read_result()
        losses.append(None if result is None else result.val_loss)
    return TrialResult(trial.as_dict(), tuple(losses))
