"""What would stop a study, or its runs, before their end, or leave it without an answer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from decaystudy.formatting import count, hours, size
from decaystudy.io import cache_folder
from decaystudy.runs.config import RunConfig
from decaystudy.runs.time_limit import seconds_of
from decaystudy.scales import find_scale
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.plan_schema import PlannedData, PlannedRun


def obstacles(
    runs: Sequence[PlannedRun],
    configs: Sequence[RunConfig],
    data: Sequence[PlannedData],
    free: int,
    free_in_cache: int | None,
) -> tuple[str, ...]:
    """Sentences on what is too small.

    Args:
        configs: of the runs, in their order.
        free: bytes on the disk of the store.
        free_in_cache: bytes on that of the cache; None if it is the same disk.
    """
    found = []
    left = [run for run in runs if run.done < 1]
    needed, cached = sum(run.disk_bytes for run in left), sum(one.cache_bytes for one in data)
    here = needed + (cached if free_in_cache is None else 0)
    if here > free:
        what = "checkpoints and cache" if free_in_cache is None and cached else "checkpoints"
        found.append(f"{what} take {size(here)} and {size(free)} are free: make room, or give another --out")
    if free_in_cache is not None and cached > free_in_cache:
        found.append(
            f"the tokens take {size(cached)} in {cache_folder()} and {size(free_in_cache)} are free: make room, or "
            "point DECAYSTUDY_CACHE at another disk"
        )
    for seconds, limit in _too_long(runs, configs)[:1]:
        found.append(
            f"the longest run is planned to take {hours(seconds / 3600)}, more than trainer.max_time of "
            f"{hours(limit / 3600)}: it ends there with a checkpoint, and the same command resumes it"
        )
    return (*found, *_too_short(configs))


SHORT = 0.5
"""A run is short if it sees at most this share of its scale's own tokens. After half of tiny's (45 steps), mamba2 is at
6.31 nats on held-out text, where guessing tokens by their frequency gives 6.26; after all of them, it is at 6.08."""


def _too_short(configs: Sequence[RunConfig]) -> list[str]:
    """A sentence on the shortest run, if it is much shorter than its scale is made for."""
    if not configs:
        return []
    shortest = min(configs, key=lambda config: config.tokens)
    own = find_scale(shortest.scale).tokens
    if shortest.tokens > SHORT * own:
        return []
    return [
        f"runs of {shortest.max_steps} steps see {count(shortest.tokens)} tokens, where scale {shortest.scale} is made "
        f"for {count(own)}: cells may learn too little for any verdict"
    ]


def _too_long(runs: Sequence[PlannedRun], configs: Sequence[RunConfig]) -> list[tuple[float, float]]:
    """Seconds that runs have left, and their limits, the longest first, where these are smaller."""
    found = []
    for run, config in zip(runs, configs, strict=True):
        limit, left = seconds_of(config.trainer.get("max_time")), run.hours * 3600 * (1 - run.done)
        if limit is not None and left > limit:
            found.append((left, limit))
    return sorted(found, reverse=True)


def free_bytes(store: Store) -> tuple[int, int | None]:
    """Free space on the disk of the store, and on that of the cache; None where it is the same disk."""
    here, cache = _existing(store.path), _existing(cache_folder())
    same = os.stat(here).st_dev == os.stat(cache).st_dev
    return shutil.disk_usage(here).free, None if same else shutil.disk_usage(cache).free


def _existing(path: Path) -> str:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return str(path)
