"""The checkpoints of a run while it trains."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L
import torch

from decaystudy.runs.folder import RunFolder
from decaystudy.training.checkpoints import KEPT, checkpoint_path, prune, tidy


class Checkpoints(L.Callback):
    """Writes a checkpoint every ``every`` steps, and keeps the last ``KEPT``.

    Lightning's ModelCheckpoint forgets, when a run is resumed, the checkpoints of the processes before.
    """

    def __init__(self, folder: RunFolder, every: int) -> None:
        self.folder = folder
        self.every = every
        self.saved_at = 0
        """The step of the last checkpoint, 0 before the first."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.saved_at = trainer.global_step
        if trainer.is_global_zero:
            tidy(self.folder, trainer.global_step)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every == 0:
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Write a checkpoint of the current step, unless there is one. All processes of the run take part."""
        step = trainer.global_step
        if step == self.saved_at:
            return
        for logger in trainer.loggers:
            logger.save()  # a point of a step that is never repeated must not be lost with this process
        trainer.save_checkpoint(checkpoint_path(self.folder, step), weights_only=False)
        self.saved_at = step
        if trainer.is_global_zero:
            prune(self.folder, KEPT)

    def state_dict(self) -> dict[str, Any]:
        return {"rng": torch.get_rng_state(), "cuda_rng": torch.cuda.get_rng_state_all()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        torch.set_rng_state(state_dict["rng"])
        states = state_dict["cuda_rng"]
        if len(states) == torch.cuda.device_count():  # another layout has other generators
            torch.cuda.set_rng_state_all(states)
