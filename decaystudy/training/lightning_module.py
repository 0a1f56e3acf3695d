"""The LightningModule around a decay transformer."""

from __future__ import annotations

from typing import Any, Literal

import lightning.pytorch as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decaystudy.model import DecayTransformer
from decaystudy.model.resets import document_starts
from decaystudy.runs.config import RunConfig
from decaystudy.training.compilation import compile_model
from decaystudy.training.optimizer import make_optimizer
from decaystudy.training.schedule import wsd
from decaystudy.training.strategy import checkpoint_activations, shard


class LanguageModel(L.LightningModule):
    """Trains a ``DecayTransformer`` to predict the next token.

    Args:
        config: the run.
    """

    model: DecayTransformer

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.config = config
        self.validation_losses: dict[int, float] = {}
        self.validation_decays: list[dict[str, Any]] = []
        self.validated_at: int | None = None
        self.gradient_norm: Tensor | None = None
        self.learning_rate = 0.0
        self._unsummed: list[tuple[Tensor, Tensor, Tensor]] = []
        self.document_losses: NDArray[np.float64] | None = None
        """Summed nats of each held-out document, (documents,)."""

    def configure_model(self) -> None:
        if hasattr(self, "model"):
            return
        mesh = self.device_mesh if getattr(self, "_device_mesh", None) is not None else None
        with torch.device("meta"):
            model = DecayTransformer(self.config.model, seed=self.config.seed)
        if self.config.recipe.activation_checkpointing:
            checkpoint_activations(model)
        if mesh is not None:
            shard(model, mesh["data_parallel"])
        model.to_empty(device=self.trainer.strategy.root_device)
        model.initialise()
        if torch.get_default_dtype() == torch.float64:
            # Lightning does so later, and would read a checkpoint into a decay's own tensors while they are float32.
            model.double()
        compile_model(model, self.config.compile, self.trainer.strategy.root_device)
        self.model = model

    def resets(self, tokens: Tensor) -> Tensor | None:
        """True at each document's first token, (B, T), where the run resets its state there."""
        eos_id = self.trainer.datamodule.eos_id  # type: ignore[attr-defined]
        return document_starts(tokens, eos_id if self.config.data.reset_state_at_documents else None)

    def token_losses(self, tokens: Tensor, reduction: Literal["none", "mean"] = "none") -> Tensor:
        """−log p of each next token in nats, (B, T) or their mean, for blocks of T + 1 tokens.

        float32, and float64 where training is.
        """
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        losses: Tensor = self.model(inputs, resets=self.resets(inputs), targets=targets, reduction=reduction)
        return losses

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return self.token_losses(batch["tokens"], "mean")

    def on_validation_epoch_start(self) -> None:
        self._unsummed = []

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        losses = self.token_losses(batch["tokens"]).double()
        self._unsummed.append((batch["blocks"].cpu(), losses.mean(dim=1).cpu(), losses.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Gather the loss of every validation sequence, whatever the number of processes."""
        own = {
            int(block): (float(loss), tokens.numpy())
            for blocks, losses, by_token in self._unsummed
            for block, loss, tokens in zip(blocks, losses, by_token, strict=True)
            if block >= 0  # −1 fills up the last batch of uneven processes
        }
        if self.trainer.world_size > 1:
            parts: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, own)
            own = {block: loss for part in parts for block, loss in part.items()}
        if self.trainer.sanity_checking:
            return
        joined = dict(sorted(own.items()))
        self.validation_losses = {block: loss for block, (loss, _) in joined.items()}
        held_out = self.trainer.datamodule.held_out  # type: ignore[attr-defined]
        self.document_losses = held_out.sums(np.stack([tokens for _, tokens in joined.values()]))
        self._unsummed = []
        self.validated_at = self.trainer.global_step

    @property
    def validation_loss(self) -> float:
        """Mean over the validation sequences, in nats per token."""
        return sum(self.validation_losses.values()) / len(self.validation_losses)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients, and keep the learning rate and the norm before clipping for the curves.

        Works on sharded gradients too, which Lightning's own clipping refuses.
        """
        self.learning_rate = float(optimizer.param_groups[0]["lr"])
        parameters = [p for p in self.parameters() if p.grad is not None]
        by_value = str(gradient_clip_algorithm or "norm") == "value"
        limit = float("inf") if by_value or not gradient_clip_val else float(gradient_clip_val)
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        self.gradient_norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        if by_value and gradient_clip_val:
            torch.nn.utils.clip_grad_value_(parameters, float(gradient_clip_val))

    def configure_optimizers(self) -> Any:
        recipe = self.config.recipe
        optimizer = make_optimizer(self.model, recipe)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: wsd(
                step,
                self.config.max_steps,
                warmup=recipe.warmup_steps or 0,
                decay_fraction=recipe.decay_fraction,
                final_fraction=recipe.final_fraction,
            ),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
