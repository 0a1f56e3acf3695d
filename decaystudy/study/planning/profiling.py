"""A short run, with its time taken apart by a Lightning profiler."""

from __future__ import annotations

import itertools
import statistics
import time
from typing import Any

from lightning.pytorch.profilers import Profiler

from decaystudy.runs.config import RunConfig
from decaystudy.training.fit import fit

GROUPS = 3
STEP = "run_training_batch"


class Clock(Profiler):
    """Notes when each of Lightning's actions began and ended."""

    def __init__(self) -> None:
        super().__init__(dirpath=None, filename=None)
        self.began: list[tuple[str, float]] = []
        self.ended: list[tuple[str, float]] = []

    def start(self, action_name: str) -> None:
        self.began.append((action_name, time.perf_counter()))

    def stop(self, action_name: str) -> None:
        self.ended.append((action_name, time.perf_counter()))

    def durations(self, ending: str) -> list[float]:
        """Seconds that each action whose name ends so took."""
        starts = [at for name, at in self.began if name.endswith(ending)]
        ends = [at for name, at in self.ended if name.endswith(ending)]
        return [end - start for start, end in zip(starts, ends, strict=True)]

    def summary(self) -> str:
        return ""


def profile(config: RunConfig, folder: str, clock: Clock | None = None) -> dict[str, Any]:
    """Train ``config``, whose only validation is at its end, and tell what took how long, in seconds."""
    clock = clock or Clock()
    began = time.perf_counter()
    result = fit(config, folder, profiler=clock)
    took = time.perf_counter() - began
    steps = [at for name, at in clock.began if name == STEP]
    gaps = [later - earlier for earlier, later in itertools.pairwise(steps[1:])]
    size = len(gaps) // GROUPS
    groups = [gaps[i * size : (i + 1) * size] for i in range(GROUPS)]
    step = statistics.median(statistics.fmean(group) for group in groups)
    first = min(at for name, at in clock.began if name.endswith(".on_validation_start"))
    last = max(at for name, at in clock.ended if name.endswith(".on_validation_end"))
    return {
        "step_seconds": step,
        "tokens_per_step": config.tokens_per_step,
        "validation_seconds": last - first,
        "validation_sequences": result.data["validation_sequences"],
        "source": config.data.source,
        "fixed_seconds": max(0.0, took - len(steps) * step - (last - first)),
    }
