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
        """Nothing to do: Trackio has been given the settings."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._run.log(dict(metrics), step=step)

    @rank_zero_only
    def close(self, status: str) -> None:
        """Write out what is still in the queue."""
        with contextlib.redirect_stdout(sys.stderr):
            trackio.finish()
