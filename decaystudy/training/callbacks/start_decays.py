"""Where the decays stood before the first step, against which their changes are judged."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L

from decaystudy.training.callbacks.curves import validation_decays
from decaystudy.training.lightning_module import LanguageModel


class StartDecays(L.Callback):
    """Measures λ of each layer at step 0, on the text that validations use, and keeps it in the checkpoints."""

    def __init__(self) -> None:
        self.layers: list[dict[str, Any]] = []
        """As ``decay_statistics`` returns them; empty for softmax attention, or where the run began without this."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, LanguageModel)
        if trainer.global_step == 0:
            self.layers = validation_decays(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"layers": self.layers}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.layers = state_dict["layers"]
