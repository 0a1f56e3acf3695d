"""The states of a run, as status.json, result.json, plans and reports name them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class RunState(StrEnum):
    """What a run is doing, or how it ended."""

    PLANNED = "planned"
    """Not begun."""
    RUNNING = "running"
    """A process trains it now."""
    FINISHED = "finished"
    """Trained to its last step."""
    FAILED = "failed"
    """Ended by an error."""
    DIVERGED = "diverged"
    """Ended because its loss was not finite."""
    OUT_OF_MEMORY = "out-of-memory"
    """Ended because the device or the machine had no memory left."""
    KILLED = "killed"
    """Ended from outside: by a signal, by the scheduler, or with its machine."""


FINAL = (RunState.FINISHED, RunState.DIVERGED)
"""States that the same run would end in again."""


def states_text(states: Sequence[RunState]) -> str:
    """The state that all have, or how many are in which: ``1 killed, 2 finished``."""
    if len(set(states)) == 1:
        return str(states[0])
    return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
