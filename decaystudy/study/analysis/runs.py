"""Which runs of a study count, and why others don't."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from decaystudy.runs.state import RunState
from decaystudy.study.definition.claims.evidence import Unavailable
from decaystudy.study.execution.outcomes import Outcome

Cells = Mapping[str, Sequence[Outcome]]
"""The runs of each cell at the learning rate that it is compared at, in the order of its seeds."""
PACKAGES = {"torch": None, "flash-linear-attention": "fla", "triton": "triton"}
"""Packages that may change numbers a little, with the backend that alone uses them."""
MACHINES = "its runs"
"""Begins what is said of machines that differ."""
_ENDINGS = {
    RunState.PLANNED: "has not run yet",
    RunState.RUNNING: "is still running",
    RunState.DIVERGED: "diverged",
    RunState.OUT_OF_MEMORY: "ran out of memory",
    RunState.FAILED: "failed",
    RunState.KILLED: "was killed",
}


def unfit(outcome: Outcome) -> str | None:
    """Why a run's losses don't count; None where they do."""
    if not outcome.finished:
        return f"{outcome.run.name} {_ENDINGS[outcome.state]}"
    if outcome.documents is None:
        return f"{outcome.run.name} has no losses by document; train it again"
    return None


def withheld(outcomes: Sequence[Outcome]) -> Unavailable | None:
    """Why a cell is not judged by any measure; None where it is.

    A cell that diverged under one seed is not judged by its other seeds, which would flatter it.
    """
    for outcome in outcomes:
        if outcome.state == RunState.DIVERGED:
            return Unavailable(f"{outcome.run.name} {_ENDINGS[outcome.state]}")
    if learned_nothing([outcome for outcome in outcomes if outcome.finished]) is None:
        return None
    return Unavailable(f"{outcomes[0].run.cell} has learned nothing", learned_nothing=True)


def left_out(outcomes: Sequence[Outcome]) -> Unavailable | None:
    """Why the losses of a cell are not compared; None where they are."""
    reasons = [why for outcome in outcomes if (why := unfit(outcome)) is not None]
    return withheld(outcomes) or (Unavailable(reasons[0]) if len(reasons) == len(outcomes) else None)


def reason(missing: Mapping[str, Unavailable], cells: Iterable[str]) -> Unavailable | None:
    """Why one of these cells is not compared, given by cell; that one has learned nothing comes last."""
    return min((missing[name] for name in cells if name in missing), key=lambda why: why.learned_nothing, default=None)


def learned_nothing(outcomes: Sequence[Outcome]) -> str | None:
    """How finished runs of a cell are no better than the frequencies of single tokens; None if they are better."""
    entropies = [o.result.unigram_entropy for o in outcomes if o.result and o.result.unigram_entropy is not None]
    if len(entropies) < len(outcomes) or not outcomes:
        return None
    loss = math.fsum(outcome.val_loss for outcome in outcomes) / len(outcomes)
    entropy = math.fsum(entropies) / len(entropies)
    if loss < entropy:
        return None
    return f"its loss {loss:.2f} is above the unigram entropy {entropy:.2f}"


def machine_notes(outcomes: Sequence[Outcome]) -> list[str]:
    """Clauses on what the runs of a comparison were computed with, where that differs: it changes rounding, which
    training amplifies."""
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    notes = []
    backends = {result.backend for result in results if result.backend is not None}
    if len(backends) > 1:
        notes.append(f"{MACHINES} computed attention by {' and '.join(sorted(backends))}")
    for package, backend in PACKAGES.items():
        # Runs from before don't say which backend they used.
        users = [one for one in results if backend is None or one.backend in (None, backend)]
        found = {result.versions.get(package, "none") for result in users if result.versions}
        if len(found) > 1:
            notes.append(f"{MACHINES} used {package} {' and '.join(sorted(found))}")
    devices = {result.device for result in results if result.device is not None}
    if len(devices) > 1:
        notes.append(f"{MACHINES} used {' and '.join(sorted(devices))}")
    for name, what in (("micro_batch_size", "micro-batches of"), ("world_size", "numbers of processes:")):
        sizes = {size for result in results if (size := getattr(result, name)) is not None}
        if len(sizes) > 1:
            notes.append(f"{MACHINES} had {what} {' and '.join(map(str, sorted(sizes)))}")
    return notes
