"""A run's curves in Weights & Biases."""

from __future__ import annotations

import os
from pathlib import Path

import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from decaystudy.errors import UserError
from decaystudy.runs.config import RunConfig
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
        try:
            self.experiment  # noqa: B018 — begins the run, so that a missing login is said before training
        except wandb.Error as error:
            line = str(error).strip().splitlines()[0].rstrip(".")
            raise UserError(f"--logger wandb: {line}; or set WANDB_MODE=offline") from error

    @rank_zero_only
    def close(self, status: str) -> None:
        """Write out, and upload, what is still in the queue."""
        self.experiment.finish(exit_code=0 if status == "success" else 1)
