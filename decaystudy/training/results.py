"""What a run writes at its end: result.json, the validation losses and the weights."""

from __future__ import annotations

from dataclasses import replace

import lightning.pytorch as L
import numpy as np
import torch

from decaystudy.data import DataModule
from decaystudy.io import replacing
from decaystudy.metrics import bits_per_byte, perplexity
from decaystudy.model.count import parameter_count
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.origin import Origin
from decaystudy.runs.process_age import process_age
from decaystudy.runs.records import git_revision, versions
from decaystudy.runs.result import LayerDecay, RunResult
from decaystudy.runs.state import RunState
from decaystudy.runs.weights import write_weights
from decaystudy.training.attention_backend import attention_backend
from decaystudy.training.callbacks.start_decays import StartDecays
from decaystudy.training.callbacks.step_loss import Diverged, StepLoss
from decaystudy.training.callbacks.throughput import Throughput
from decaystudy.training.lightning_module import LanguageModel
from decaystudy.versions import semantics


def result_of_finished(
    config: RunConfig,
    identity: str,
    trainer: L.Trainer,
    module: LanguageModel,
    data: DataModule,
    losses: StepLoss,
    throughput: Throughput,
    start: StartDecays,
) -> RunResult:
    """The result of a run that has reached its last step."""
    assert module.document_losses is not None
    return RunResult(
        status=RunState.FINISHED,
        step=trainer.global_step,
        tokens=trainer.global_step * config.tokens_per_step,
        parameters=parameter_count(config.model),
        train_loss=losses.mean,
        val_loss=module.validation_loss,
        val_perplexity=perplexity(module.validation_loss),
        val_bits_per_byte=bits_per_byte(module.document_losses, data.held_out.bytes),
        tokens_per_second=throughput.tokens_per_second,
        seconds=throughput.seconds,
        process_seconds=process_age(),
        unigram_entropy=data.validation_unigram_entropy(),
        decay=tuple(LayerDecay(**layer) for layer in module.validation_decays),
        decay_start=tuple(LayerDecay(**layer) for layer in start.layers),
        data=data.description(),
        device=device_name(trainer.strategy.root_device),
        world_size=trainer.world_size,
        micro_batch_size=data.micro_batch_size,
        backend=attention_backend(config, trainer.strategy.root_device, data.micro_batch_size),
        version=semantics(),
        code=config.code(),
        seed=config.seed,
        identity=identity,
        versions=versions(),
        git_revision=git_revision(),
    )


def result_of_diverged(config: RunConfig, identity: str, diverged: Diverged, origin: Origin | None) -> RunResult:
    """The result of a run that diverged: at which step, and what loss it had before."""
    began = origin or Origin()
    return RunResult(
        status=RunState.DIVERGED,
        message=str(diverged),
        step=diverged.step,
        tokens=diverged.step * config.tokens_per_step,
        parameters=parameter_count(config.model),
        last_finite={} if diverged.before is None else {"step": diverged.step - 1, "loss": diverged.before},
        version=began.version,
        code=began.code,
        data=began.data,
        seed=config.seed,
        identity=identity,
        versions=versions(),
        git_revision=git_revision(),
    )


def write_finished(
    folder: RunFolder,
    config: RunConfig,
    result: RunResult,
    module: LanguageModel,
    data: DataModule,
    weights: dict[str, torch.Tensor],
) -> None:
    """Write a finished run's files. result.json comes after those that it stands for, status.json last.

    Args:
        weights: the LightningModule's state, gathered from all processes.
    """
    assert module.document_losses is not None
    held_out = data.held_out
    with replacing(folder.validation_loss) as file:
        np.save(file, np.array(list(module.validation_losses.values()), dtype=np.float64))
    with replacing(folder.validation_documents) as file:
        np.savez(file, nll=module.document_losses, tokens=held_out.tokens, bytes=held_out.bytes)
    named = {name.removeprefix("model."): value for name, value in weights.items()}
    folder.write_result(replace(result, weights=write_weights(folder.weights, named, config.model)))
    folder.write_status("finished", step=result.step, max_steps=config.max_steps, val_loss=result.val_loss)


def write_diverged(folder: RunFolder, config: RunConfig, result: RunResult) -> None:
    """Write a diverged run's files."""
    folder.write_result(result)
    folder.write_status("diverged", step=result.step, max_steps=config.max_steps, message=result.message)


def device_name(device: torch.device) -> str:
    """The GPU's name, or ``cpu``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
