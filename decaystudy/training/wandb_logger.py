"""A run's curves in Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from decaystudy.errors import UserError
from decaystudy.runs.config import RunConfig
from decaystudy.training.decay_statistics import Histogram
from decaystudy.training.loggers import kept_id
from decaystudy.training.strategy import process_rank


class WandbRun(WandbLogger):
    """Lightning's logger, one run of Weights & Biases for each run folder, with its files in RUN/wandb.

    The package's own variables are obeyed: WANDB_PROJECT (decaystudy unless set), WANDB_ENTITY, WANDB_RUN_GROUP, and
    WANDB_MODE=offline, which needs neither account nor network (``wandb sync RUN/wandb/*`` uploads later).
    """

    def __init__(self, folder: Path, config: RunConfig) -> None:
        super().__init__(
            name=folder.resolve().name,
            save_dir=folder,
            id=kept_id(folder, "wandb") if process_rank() == 0 else None,
            project=os.environ.get("WANDB_PROJECT", "decaystudy"),
            config=config.to_dict(),
        )
        self._tokens_per_step = config.tokens_per_step
        try:
            self.experiment  # noqa: B018 — begins the run, so that a missing login is said before training
        except wandb.Error as error:
            line = str(error).strip().splitlines()[0].rstrip(".")
            raise UserError(f"--logger wandb: {line}; or set WANDB_MODE=offline") from error

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """With the tokens trained on, which W&B may draw any curve over."""
        super().log_metrics({**metrics, "tokens": (step or 0) * self._tokens_per_step}, step)

    @rank_zero_only
    def log_histograms(self, histograms: Mapping[str, Histogram], step: int) -> None:
        drawn = {name: wandb.Histogram(np_histogram=(one.counts, one.edges)) for name, one in histograms.items()}
        super().log_metrics(drawn, step)

    @rank_zero_only
    def log_markdown(self, name: str, text: str, step: int) -> None:
        """As an alert, which W&B also sends by mail where that is wanted."""
        self.experiment.alert(title=name, text=text, level=wandb.AlertLevel.WARN)

    @rank_zero_only
    def log_summary(self, values: Mapping[str, float]) -> None:
        self.experiment.summary.update(dict(values))

    @rank_zero_only
    def close(self, status: str) -> None:
        """Write out, and upload, what is still in the queue."""
        self.experiment.finish(exit_code=0 if status == "success" else 1)
