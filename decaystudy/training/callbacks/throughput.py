"""The training speed of a run, without validation."""

from __future__ import annotations

import statistics
import time
from typing import Any

import lightning.pytorch as L


class Throughput(L.Callback):
    """Measures tokens/s over windows of steps. The first step of a process (compilation, caches) doesn't count.

    Args:
        window: steps per measurement.
    """

    def __init__(self, tokens_per_step: int, window: int) -> None:
        self.tokens_per_step = tokens_per_step
        self.window = window
        self.rates: list[float] = []
        self._since: float | None = None
        self._steps = 0
        self._paused = 0.0
        self._pause_began = 0.0
        self._last_step = -1
        self._began = time.perf_counter()
        self._seconds_before = 0.0

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, including earlier processes up to the checkpoints it was resumed from."""
        return self._seconds_before + time.perf_counter() - self._began

    @property
    def tokens_per_second(self) -> float | None:
        """Median over the windows so far; None before the first one."""
        return statistics.median(self.rates) if self.rates else None

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._last_step:
            return
        self._last_step = trainer.global_step
        now = time.perf_counter()
        if self._since is None:
            self._since, self._steps, self._paused = now, 0, 0.0
            return
        self._steps += 1
        if self._steps >= self.window:
            elapsed = now - self._since - self._paused
            self.rates.append(self.tokens_per_step * self._steps / elapsed)
            self._since, self._steps, self._paused = now, 0, 0.0

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._pause_began = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._paused += time.perf_counter() - self._pause_began

    def state_dict(self) -> dict[str, Any]:
        return {"rates": list(self.rates), "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rates = list(state_dict["rates"])
        self._seconds_before = state_dict["seconds"]

    def finish(self) -> None:
        """Measure a run that was too short for a whole window."""
        if not self.rates and self._since is not None and self._steps:
            elapsed = time.perf_counter() - self._since - self._paused
            self.rates.append(self.tokens_per_step * self._steps / elapsed)
