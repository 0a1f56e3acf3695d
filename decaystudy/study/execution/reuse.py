"""Which runs of a store would come out differently today: text, tokenizer or code has changed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict

from decaystudy.data.pins import known_pins
from decaystudy.runs.folder import state_of
from decaystudy.runs.origin import Origin, read_origin, why_changed
from decaystudy.runs.state import RunState
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.definition.several import union
from decaystudy.study.execution.searching import with_proposals
from decaystudy.study.execution.store import Store


def proposed(
    studies: Sequence[Study], store: Store, trusted: Collection[str] | None = (), retried: bool = False
) -> tuple[list[Study], dict[str, str]]:
    """The studies with what their searches propose, from runs that may be used again only.

    Args:
        trusted: runs, by hash, that need no look; None for all.
        retried: as for ``with_proposals``.

    Returns:
        The studies, and the runs that may not be used again, by hash, with the reason; the store no longer finds them.
    """
    changed: dict[str, str] = {}
    while True:
        found = [with_proposals(study, store, retried=retried) for study in studies]
        looked_at = [] if trusted is None else [run for run in union(found) if run.hash not in trusted]
        more = changed_runs(looked_at, store)
        if not more:
            return found, changed
        changed |= more
        store.disregard(more)


def changed_runs(runs: Iterable[Run], store: Store) -> dict[str, str]:
    """The runs that have begun or ended, but would not come out the same today: the reason by hash.

    A run that is being trained now is left alone.
    """
    pins: dict[str, Mapping[str, str]] = {}
    found = {}
    for run in runs:
        folder = store.find(run)
        if folder is None or not folder.begun() or state_of(folder) is RunState.RUNNING:
            continue
        key = json.dumps(asdict(run.config.data))
        if key not in pins:
            pins[key] = known_pins(run.config.data)
        why = why_changed(read_origin(folder), Origin.here(run.config, pins[key]), run.config)
        if why is not None:
            found[run.hash] = why
    return found


def told(changed: Mapping[str, str]) -> list[str]:
    """A line for each reason why runs are trained again."""
    reasons = list(changed.values())
    lines = []
    for why in dict.fromkeys(reasons):
        runs = "1 run is" if reasons.count(why) == 1 else f"{reasons.count(why)} runs are"
        lines.append(f"{runs} trained again: {why}")
    return lines
