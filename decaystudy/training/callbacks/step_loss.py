"""The loss of whole steps, over micro-batches and devices, and the end of a run that diverges."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor

from decaystudy.training.lightning_module import LanguageModel

# The train loss in result.json is the mean over this many last steps.
RECENT_STEPS = 20
# A uniform guess has a loss of ln(vocabulary). A loss above this multiple of it counts as diverged.
EXPLODED = 3.0


class Diverged(Exception):
    """The loss is no longer finite, or far above that of a uniform guess."""

    def __init__(self, step: int, loss: float, before: float | None) -> None:
        super().__init__(f"the loss was {loss:.4g} at step {step}")
        self.step = step
        self.loss = loss
        self.before = before
        """Loss of the step before; None at the first step."""


class StepLoss(L.Callback):
    """Keeps the losses of the last steps and ends a run that diverges.

    Args:
        look_every: steps between checks on a GPU, because each one waits for the device. A CPU checks every step.
    """

    def __init__(self, look_every: int) -> None:
        self.look_every = look_every
        self.recent: deque[float] = deque(maxlen=RECENT_STEPS)
        self.step = 0
        self._waiting: list[Tensor] = []
        self._partial: list[Tensor] = []
        self._looking: tuple[L.Trainer, LanguageModel] | None = None

    @property
    def mean(self) -> float:
        """Mean loss of the last steps, in nats per token."""
        return sum(self.recent) / len(self.recent) if self.recent else math.nan

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, LanguageModel)
        self._looking = trainer, pl_module
        self._partial.append(outputs["loss"].detach())
        if trainer.global_step == self.step:
            return  # a micro-batch in the middle of a step
        self.step = trainer.global_step
        # Lightning has divided each micro-batch's loss by their number.
        self._waiting.append(torch.stack(self._partial).double().sum())
        self._partial = []
        last = self.step >= trainer.max_steps
        if pl_module.device.type == "cpu" or self.step % self.look_every == 0 or last:
            self._look(trainer, pl_module)

    def _look(self, trainer: L.Trainer, module: LanguageModel) -> None:
        losses = torch.stack(self._waiting)
        if trainer.world_size > 1:
            losses = trainer.strategy.reduce(losses, reduce_op="mean")
        values = losses.tolist()
        first = self.step - len(values) + 1
        self._waiting = []
        limit = EXPLODED * math.log(module.config.model.vocab_size)
        for offset, value in enumerate(values):
            if not math.isfinite(value) or value > limit:
                raise Diverged(first + offset, value, self.recent[-1] if self.recent else None)
            self.recent.append(value)

    def state_dict(self) -> dict[str, Any]:
        if self._waiting and self._looking is not None:
            self._look(*self._looking)  # a checkpoint holds the losses of all steps up to it
        return {"recent": list(self.recent), "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.recent = deque(state_dict["recent"], maxlen=RECENT_STEPS)
        self.step = state_dict["step"]
