"""The curves of a run, for its loggers."""

from __future__ import annotations

import resource
import statistics
import sys
from typing import Any

import lightning.pytorch as L
import torch

from decaystudy.devices import GIB, peak_flops
from decaystudy.metrics import bits_per_byte, perplexity
from decaystudy.model.count import forward_flops
from decaystudy.training.callbacks.step_loss import StepLoss
from decaystudy.training.callbacks.throughput import Throughput
from decaystudy.training.curve_writer import CurveWriter
from decaystudy.training.decay_statistics import ROWS, decay_statistics, first_inputs
from decaystudy.training.lightning_module import LanguageModel


class Curves(L.Callback):
    """Logs loss, perplexity, learning rate, gradient norm, speed, utilisation and memory every ``every`` steps, and at
    each validation the loss, the perplexity, bits per byte and the median λ over layers."""

    def __init__(self, writer: CurveWriter, losses: StepLoss, throughput: Throughput, every: int) -> None:
        self.writer = writer
        self.losses = losses
        self.throughput = throughput
        self.every = every
        self.latest: dict[str, float] = {}
        """What was logged last of the training."""
        self._last_step = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validate where a resumed run stands, if it was killed between a checkpoint and the validation after it."""
        step, every = trainer.global_step, int(trainer.val_check_batch or 0) // trainer.accumulate_grad_batches
        lacking = 0 < step < trainer.max_steps and every > 0 and step % every == 0
        if trainer.strategy.broadcast(lacking and self.writer.lacks("validation", step)):
            validation = trainer.fit_loop.epoch_loop.val_loop
            validation.restarting = False
            trainer.validating = True
            validation.run()
            trainer.training = True

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, LanguageModel)
        step = trainer.global_step
        if step == self._last_step or (step % self.every and step != trainer.max_steps) or not self.losses.recent:
            return
        self._last_step = step
        loss = self.losses.recent[-1]
        values = {
            "train/loss": loss,
            "train/perplexity": perplexity(loss),
            "train/learning_rate": pl_module.learning_rate,
            "train/tokens": float(step * self.throughput.tokens_per_step),
        }
        if pl_module.gradient_norm is not None:
            values["train/gradient_norm"] = float(pl_module.gradient_norm)
        if self.throughput.rates:
            rate = self.throughput.rates[-1]
            values["train/tokens_per_second"] = rate
            values |= utilisation(pl_module, rate / trainer.world_size)
        values["train/peak_memory_gib"] = peak_memory(pl_module.device) / GIB
        self.latest = values
        self.writer.write(trainer, values, step)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, LanguageModel)
        if trainer.sanity_checking or not pl_module.validation_losses:
            return
        loss = pl_module.validation_loss
        pl_module.validation_decays = validation_decays(trainer, pl_module)
        values = {"validation/loss": loss, "validation/perplexity": perplexity(loss)}
        assert pl_module.document_losses is not None
        held_out = trainer.datamodule.held_out  # type: ignore[attr-defined]
        values["validation/bits_per_byte"] = bits_per_byte(pl_module.document_losses, held_out.bytes)
        if pl_module.validation_decays:
            values["validation/decay_median"] = statistics.median(row["median"] for row in pl_module.validation_decays)
        self.writer.write(trainer, values, trainer.global_step)


def utilisation(module: LanguageModel, tokens_per_second: float) -> dict[str, float]:
    """What a device computes, by the model's FLOPs, and as a share of its dense bf16 peak (MFU) where that is known."""
    flops = tokens_per_second * forward_flops(module.config.model, module.config.data.sequence_length).training
    values = {"train/tflops_per_device": flops / 1e12}
    name = torch.cuda.get_device_name(module.device) if module.device.type == "cuda" else "cpu"
    peak = peak_flops(name, str(module.config.trainer.get("precision", "")))
    return values if peak is None else {**values, "train/mfu": flops / peak}


def peak_memory(device: torch.device) -> int:
    """The most bytes that were in use: of the GPU, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def validation_decays(trainer: L.Trainer, module: LanguageModel, tokens: int = 8192) -> list[dict[str, Any]]:
    """Statistics of λ per layer over the first ``tokens`` validation tokens, the same ones on every process."""
    first = first_inputs(trainer.datamodule.validation.blocks, tokens).to(module.device)  # type: ignore[attr-defined]
    return decay_statistics(module.model, [(rows, module.resets(rows)) for rows in torch.split(first, ROWS)])
