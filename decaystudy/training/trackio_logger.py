"""A run's curves in Trackio."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trackio
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from decaystudy.runs.config import RunConfig
from decaystudy.training.decay_statistics import Histogram
from decaystudy.training.loggers import kept_id
from decaystudy.training.strategy import process_rank


class TrackioRun(Logger):
    """One Trackio run for each run folder, in the project $TRACKIO_PROJECT (decaystudy unless set).

    Trackio keeps its projects in $TRACKIO_DIR on this machine; ``trackio show`` opens its dashboard.
    """

    def __init__(self, folder: Path, config: RunConfig) -> None:
        super().__init__()
        self.project = os.environ.get("TRACKIO_PROJECT", "decaystudy")
        self._run: Any = None
        self._tokens_per_step = config.tokens_per_step
        self._last = config.max_steps
        if process_rank() == 0:
            self._name = kept_id(folder, "trackio")
            with contextlib.redirect_stdout(sys.stderr):  # stdout is for the run's result
                self._run = trackio.init(
                    self.project, name=self._name, config=config.to_dict(), resume="allow", embed=False
                )

    @property
    def name(self) -> str:
        return self.project

    @property
    def version(self) -> str:
        return self._name

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: Trackio has been given all settings."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._run.log({**metrics, "tokens": (step or 0) * self._tokens_per_step}, step=step)

    @rank_zero_only
    def log_histograms(self, histograms: Mapping[str, Histogram], step: int) -> None:
        drawn = {name: trackio.Histogram(np_histogram=(one.counts, one.edges)) for name, one in histograms.items()}
        self._run.log(drawn, step=step)

    @rank_zero_only
    def log_markdown(self, name: str, text: str, step: int) -> None:
        """As an alert, which the dashboard shows and Trackio prints."""
        with contextlib.redirect_stdout(sys.stderr):
            self._run.alert(title=name, text=text, step=step)

    @rank_zero_only
    def log_summary(self, values: Mapping[str, float]) -> None:
        """Trackio knows no summary: the final numbers are curves of one point."""
        self._run.log({f"final/{name.replace('/', '_')}": value for name, value in values.items()}, step=self._last)

    @rank_zero_only
    def close(self, status: str) -> None:
        """Write out what is still in the queue."""
        with contextlib.redirect_stdout(sys.stderr):
            trackio.finish()
