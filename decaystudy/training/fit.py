"""Trains one run, from its settings to its result."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from safetensors.torch import save_file

from decaystudy.data import DataModule
from decaystudy.errors import UserError
from decaystudy.metrics import bits_per_byte, perplexity
from decaystudy.model.count import parameter_count
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.heartbeat import Heartbeat
from decaystudy.runs.records import claim, finished_result, git_revision, versions
from decaystudy.runs.result import LayerDecay, RunResult
from decaystudy.runs.state import RunState
from decaystudy.training.callbacks.curves import Curves
from decaystudy.training.callbacks.progress import Progress
from decaystudy.training.callbacks.step_loss import Diverged, StepLoss
from decaystudy.training.callbacks.throughput import Throughput
from decaystudy.training.layout import Layout, plan_layout
from decaystudy.training.lightning_module import LanguageModel
from decaystudy.training.strategy import device_count, make_strategy

LOG = logging.getLogger("decaystudy")
CHECKPOINT_NAME = re.compile(r"step=(\d+)\.ckpt$")


class OutOfMemory(Exception):
    """The device, or the machine, has no memory left for the run."""


@dataclass
class Session:
    """The Trainer, and the callbacks whose readings go into the result."""

    losses: StepLoss
    throughput: Throughput
    progress: Progress
    trainer: L.Trainer


def fit(config: RunConfig, out: str | Path) -> RunResult:
    """Train the run in folder ``out``, going on from its last checkpoint if there is one.

    Returns:
        What result.json holds. A run that diverges has a result too, whose status is diverged.

    Raises:
        UserError: the settings cannot be obeyed, or the folder holds another run or is in use.
        OutOfMemory: the run doesn't fit.
    """
    quieten()
    folder = RunFolder(out)
    folder.create()
    done = finished_result(folder, config)
    if done is not None:
        return done
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    layout = _layout(config)
    session = _session(config, folder, layout)  # before the folder is claimed, which refused settings must not do
    claim(folder, config)
    if _rank() == 0:
        LOG.info("training %d steps of %s tokens in %s", config.max_steps, f"{config.tokens_per_step:,}", out)
    with _owned(folder) as heartbeat:
        session.progress.heartbeat = heartbeat
        try:
            result = _train(config, folder, layout, session)
        except Diverged as diverged:
            if heartbeat is not None:
                heartbeat.stop()
            result = _diverged(config, folder, diverged)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory(str(error)) from error
        except RuntimeError as error:
            if "can't allocate memory" in str(error) or "not enough memory" in str(error):
                raise OutOfMemory(str(error)) from error
            raise
    return result


def _session(config: RunConfig, folder: RunFolder, layout: Layout) -> Session:
    every = int(config.trainer.get("log_every_n_steps") or 10)
    losses = StepLoss(look_every=every)
    throughput = Throughput(config.tokens_per_step, window=every)
    show = bool(config.trainer.get("enable_progress_bar", True))
    progress = Progress(None, losses, throughput, show=show)
    checkpoints = ModelCheckpoint(
        dirpath=folder.checkpoints,
        filename="step={step}",
        auto_insert_metric_name=False,
        every_n_train_steps=config.recipe.checkpoint_every,
        save_on_train_epoch_end=False,
    )
    # The order matters: each callback reads what those before it have measured.
    callbacks = [losses, throughput, Curves(losses, throughput, every), progress, checkpoints]
    return Session(losses, throughput, progress, _trainer(config, folder, layout, callbacks))


def _train(config: RunConfig, folder: RunFolder, layout: Layout, session: Session) -> RunResult:
    module = LanguageModel(config)
    data = DataModule(
        config.data,
        seed=config.seed,
        global_batch_size=config.recipe.global_batch_size,
        micro_batch_size=layout.micro_batch,
    )
    trainer = session.trainer
    try:
        trainer.fit(module, datamodule=data, ckpt_path=last_checkpoint(folder), weights_only=True)
    except SystemExit as end:  # what Lightning makes of Ctrl-C, and of SLURM's SIGTERM
        raise KeyboardInterrupt("interrupted") from end
    out_of_time = config.trainer.get("max_time") is not None and not trainer.interrupted
    if trainer.interrupted or (trainer.global_step < config.max_steps and not out_of_time):
        raise KeyboardInterrupt
    session.throughput.finish()
    final = folder.checkpoints / f"step={trainer.global_step}.ckpt"
    if not final.exists():
        trainer.save_checkpoint(final)
    if module.validated_at != trainer.global_step:
        trainer.validate(module, datamodule=data, verbose=False)
    return _record(config, folder, module, data, session)


def _layout(config: RunConfig) -> Layout:
    devices = device_count(config.trainer) * int(config.trainer.get("num_nodes", 1))
    accumulate = config.trainer.get("accumulate_grad_batches")
    recipe = config.recipe
    return plan_layout(recipe.global_batch_size, recipe.micro_batch_size, devices, accumulate)


def _trainer(config: RunConfig, folder: RunFolder, layout: Layout, callbacks: list[L.Callback]) -> L.Trainer:
    chosen = {
        "val_check_interval": config.recipe.validate_every * layout.accumulate,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 10,
        "enable_model_summary": False,
        **config.trainer,
        "enable_progress_bar": False,  # ``Progress`` prints lines instead: an endless stream has no bar
        "accumulate_grad_batches": layout.accumulate,
    }
    try:
        return L.Trainer(
            strategy=make_strategy(config.strategy, config.trainer),
            max_epochs=-1,
            check_val_every_n_epoch=None,
            use_distributed_sampler=False,
            logger=TensorBoardLogger(save_dir=folder.path, name="", version=""),
            callbacks=callbacks,
            default_root_dir=folder.path,
            **chosen,
        )
    except (TypeError, ValueError, RuntimeError, L.utilities.exceptions.MisconfigurationException) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"Lightning's Trainer refuses these settings: {line}") from error


def _record(
    config: RunConfig, folder: RunFolder, module: LanguageModel, data: DataModule, session: Session
) -> RunResult:
    """Write weights, validation losses and result.json; every process takes part, the first one writes."""
    trainer = session.trainer
    weights = trainer.strategy.lightning_module_state_dict()
    loss = module.validation_loss
    assert module.document_losses is not None
    result = RunResult(
        status=RunState.FINISHED,
        step=trainer.global_step,
        tokens=trainer.global_step * config.tokens_per_step,
        parameters=parameter_count(config.model),
        train_loss=session.losses.mean,
        val_loss=loss,
        val_perplexity=perplexity(loss),
        val_bits_per_byte=bits_per_byte(module.document_losses, data.held_out.bytes),
        tokens_per_second=session.throughput.tokens_per_second,
        seconds=session.throughput.seconds,
        seed=config.seed,
        identity=config.identity_hash(),
        unigram_entropy=data.validation_unigram_entropy(),
        decay=tuple(LayerDecay(**layer) for layer in module.validation_decays),
        data=data.description(),
        device=_device_name(trainer.strategy.root_device),
        world_size=trainer.world_size,
        versions=versions(),
        git_revision=git_revision(),
    )
    if trainer.is_global_zero:
        if session.progress.heartbeat is not None:
            session.progress.heartbeat.stop()  # a late beat must not say "running" of a finished run
        np.save(folder.validation_loss, np.array(list(module.validation_losses.values()), dtype=np.float64))
        held_out = data.held_out
        np.savez(folder.validation_documents, nll=module.document_losses, tokens=held_out.tokens, bytes=held_out.bytes)
        prefix = "model."
        save_file(
            {name.removeprefix(prefix): value.detach().cpu().contiguous() for name, value in weights.items()},
            folder.weights,
            metadata={"format": "pt"},
        )
        folder.write_result(result)
        folder.write_status("finished", step=trainer.global_step, max_steps=config.max_steps, val_loss=loss)
    trainer.strategy.barrier()
    return result


def _diverged(config: RunConfig, folder: RunFolder, diverged: Diverged) -> RunResult:
    """A result that says at which step the run ended, and what it had reached before."""
    last: dict[str, float] = {}
    if diverged.before is not None:
        last = {"step": diverged.step - 1, "loss": diverged.before}
    result = RunResult(
        status=RunState.DIVERGED,
        message=str(diverged),
        step=diverged.step,
        tokens=diverged.step * config.tokens_per_step,
        parameters=parameter_count(config.model),
        last_finite=last,
        seed=config.seed,
        identity=config.identity_hash(),
        versions=versions(),
        git_revision=git_revision(),
    )
    if _rank() == 0:
        folder.write_result(result)
        folder.write_status("diverged", step=diverged.step, max_steps=config.max_steps, message=str(diverged))
    return result


@contextlib.contextmanager
def _owned(folder: RunFolder) -> Iterator[Heartbeat | None]:
    """Hold the folder while training; the first process of a run does so for all of them."""
    if _rank() != 0:
        yield None
        return
    with folder.locked():
        heartbeat = Heartbeat(folder)
        heartbeat.start()
        try:
            yield heartbeat
        except BaseException as error:
            heartbeat.stop()
            ended = isinstance(error, (KeyboardInterrupt, SystemExit))  # SIGTERM comes as a SystemExit
            state = "killed" if ended else "out-of-memory" if isinstance(error, OutOfMemory) else "failed"
            facts = {**heartbeat.facts, "message": str(error).strip().split("\n")[0] or type(error).__name__}
            with contextlib.suppress(OSError):
                folder.write_status(state, **facts)
            raise
        heartbeat.stop()


def _rank() -> int:
    """This process's place among those of the run, known before Lightning has set anything up."""
    return int(getattr(rank_zero_only, "rank", 0) or 0)


def last_checkpoint(folder: RunFolder) -> Path | None:
    """The checkpoint of the highest step; they are written whole or not at all."""
    found = [
        (int(match[1]), path)
        for path in folder.checkpoints.glob("*.ckpt")
        if (match := CHECKPOINT_NAME.search(path.name))
    ]
    return max(found)[1] if found else None


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def quieten() -> None:
    """Lightning tells its users many things that the users of this package need not know."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*isn't set in the hparams.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*The dirpath has changed.*",
        ".*resuming from a checkpoint that ended.*",
        ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
        ".*tensorboardX.*",
        ".*IterableDataset.*__len__.*",
        ".*`srun` command is available.*",
        ".*GPU available but not used.*",
        ".*AccumulateGrad node's stream.*",  # Lightning wraps a model for DDP in a side stream
    ):
        warnings.filterwarnings("ignore", message)
