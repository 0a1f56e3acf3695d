"""What the store has of each run of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from decaystudy.runs.folder import RunFolder, state_of
from decaystudy.study.analysis.statistics import Losses
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.store import Store


@dataclass
class Outcome:
    """One run and what is on disk of it."""

    run: Run
    folder: RunFolder | None
    state: str
    result: dict[str, Any]
    status: dict[str, Any]

    @property
    def losses(self) -> Losses | None:
        """Loss of each validation sequence, float64; None unless finished."""
        if self.state != "finished" or self.folder is None:
            return None
        try:
            return np.load(self.folder.validation_loss)
        except (OSError, ValueError):
            return None


def read_outcome(run: Run, store: Store, trouble: Mapping[str, str] = {}) -> Outcome:
    """What the store has of a run; ``trouble`` names the runs that could not even start, with the reason."""
    folder = store.find(run)
    if folder is None:
        state = "failed" if run.hash in trouble else "planned"
        return Outcome(run, None, state, {}, {"message": trouble.get(run.hash, "")})
    state = state_of(folder)
    result = folder.read_result() or {}
    status = folder.read_status()
    if state == "finished" and not (result.get("status") == "finished" and folder.validation_loss.exists()):
        state = "failed"
        status["message"] = "its result is incomplete: remove its folder and run the study again"
    if run.hash in trouble:
        state, status = "failed", {**status, "message": trouble[run.hash]}
    return Outcome(run, folder, state, result, status)


def median_decay(layers: Sequence[Mapping[str, Any]]) -> float | None:
    """The median over layers of the layers' medians of λ; None for a model without decay."""
    return float(np.median([layer["median"] for layer in layers])) if layers else None
