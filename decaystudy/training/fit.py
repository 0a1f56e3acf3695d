"""Trains one run, from its settings to its result."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as L
import torch
from lightning.pytorch.profilers import Profiler

from decaystudy.data import DataModule
from decaystudy.errors import Failure, UserError
from decaystudy.model.config import refuse_idle_options
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.heartbeat import Heartbeat
from decaystudy.runs.memory import machine_memory, too_large
from decaystudy.runs.origin import begun_origin
from decaystudy.runs.records import claim, finished_result, release, run_identity
from decaystudy.runs.result import RunResult
from decaystudy.runs.time_limit import seconds_of
from decaystudy.training.callbacks.checkpoints import Checkpoints
from decaystudy.training.callbacks.curves import Curves
from decaystudy.training.callbacks.ownership import REMOVED, Ownership, stop_if_lost
from decaystudy.training.callbacks.progress import Progress
from decaystudy.training.callbacks.start_decays import StartDecays
from decaystudy.training.callbacks.step_loss import Diverged, StepLoss
from decaystudy.training.callbacks.stop import Stop, Stopped
from decaystudy.training.callbacks.telemetry import Telemetry
from decaystudy.training.callbacks.throughput import Throughput
from decaystudy.training.checkpoints import checkpoint_path, prune, resumption
from decaystudy.training.curve_writer import CurveWriter
from decaystudy.training.frame import RunTotals
from decaystudy.training.full_disk import is_full, let_go, no_room
from decaystudy.training.layout import Layout, run_layout
from decaystudy.training.lightning_module import LanguageModel
from decaystudy.training.loggers import check_loggers, close_loggers, log_settings, log_summary, make_loggers
from decaystudy.training.quiet import quieten
from decaystudy.training.results import result_of_diverged, result_of_finished, write_diverged, write_finished
from decaystudy.training.resuming import agree_on_resume_point
from decaystudy.training.strategy import full_weights
from decaystudy.training.trainer import make_trainer
from decaystudy.training.world import UNREACHED, World, find_world, uses_gpu

LOG = logging.getLogger("decaystudy")
THREADS_BESIDE_A_GPU = 2
"""CPU threads where a GPU computes: enough for batches and statistics."""
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL", "remote process", "Socket")
"""What errors say in which another process of the run has gone away."""


class LostConnection(Failure):
    """Another process of the run has ended."""


class OutOfMemory(Exception):
    """The device, or the machine, has no memory left for the run."""


@dataclass
class Session:
    """The Trainer, and the callbacks whose measurements go into the result."""

    losses: StepLoss
    throughput: Throughput
    start: StartDecays
    progress: Progress
    checkpoints: Checkpoints
    stop: Stop
    trainer: L.Trainer


def fit(
    config: RunConfig, out: str | Path, world: World | None = None, *, profiler: Profiler | None = None
) -> RunResult:
    """Train the run in folder ``out``, resuming from its last checkpoint if there is one.

    Args:
        world: the processes of the run, which have been started; found out unless given.
        profiler: in place of the one that ``trainer.profiler`` names.

    Returns:
        What result.json holds. A run that diverges has a result too, whose status is diverged.

    Raises:
        UserError: the settings cannot be obeyed, or the folder holds another run or is in use.
        OutOfMemory: the run doesn't fit.
        Stopped: a signal, or ``trainer.max_time``, ended it before its last step.
        Failure: the disk is full, or the folder was removed.
    """
    quieten()
    folder = RunFolder(out)
    folder.create()
    if (done := finished_result(folder, config)) is not None:
        return done
    _set_threads(config)
    torch.manual_seed(config.seed)
    # Settings are refused before the folder is claimed, so that a refused run leaves no config.yaml behind.
    check_loggers(config.logger)
    if not folder.config.exists():
        refuse_idle_options(config.model)
    world = world or find_world(config.trainer)
    layout = run_layout(config, world)
    _check_memory(config, folder, layout)
    # Once, and not at each checkpoint: it looks at the working directory, which may be gone by then.
    today, identity = config.identity_hash(), run_identity(folder, config)
    session = _session(config, folder, layout, world, identity)
    if profiler is not None:
        session.trainer.profiler = profiler  # type: ignore[attr-defined]  # which Trainer sets, and does not declare
    with session.stop.listening(), _owned(folder, config, session.trainer, world) as heartbeat:
        session.progress.heartbeat = heartbeat
        try:
            with _logging(config, folder, session.trainer), session.progress.showing():
                return _train(config, folder, layout, session, {identity, today})
        except Diverged as diverged:
            result = result_of_diverged(config, identity, diverged, begun_origin(folder))
            if heartbeat is not None:
                heartbeat.stop()
                write_diverged(folder, config, result)
            return result
        except OSError as error:
            if is_full(error):
                let_go(error)
                raise Failure(f"{no_room(error, folder.path)}, and {resumption(folder)}") from error
            if not folder.config.exists():
                raise Failure(REMOVED.format(folder.path)) from error
            raise
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory(str(error).strip() or type(error).__name__) from error
        except RuntimeError as error:
            if "can't allocate memory" in str(error) or "not enough memory" in str(error):
                raise OutOfMemory(str(error)) from error
            if layout.devices > 1 and any(word in str(error) for word in LOST):
                raise LostConnection(
                    f"a process of this run has lost the connection to another one, which has ended: "
                    f"{resumption(folder)}"
                ) from error
            if isinstance(error, (torch.distributed.DistNetworkError, torch.distributed.DistStoreError)):
                raise Failure(UNREACHED.format(str(error).strip().splitlines()[0])) from error
            raise


def _session(config: RunConfig, folder: RunFolder, layout: Layout, world: World, identity: str) -> Session:
    every = int(config.trainer.get("log_every_n_steps") or 10)
    losses = StepLoss(look_every=every)
    throughput = Throughput(config.tokens_per_step, window=every)
    show = bool(config.trainer.get("enable_progress_bar", True))
    checkpoints = Checkpoints(folder, config.recipe.checkpoint_every, identity)
    # The order matters: each callback reads what those before it have measured.
    writer = CurveWriter(folder.path, config.logger)
    start = StartDecays()
    curves = Curves(writer, losses, throughput, every)
    device = torch.cuda.get_device_name() if uses_gpu(config.trainer) else "cpu"
    totals = RunTotals.of(config, device, layout.devices)
    progress = Progress(None, losses, throughput, curves, totals, show=show and world.rank == 0)
    stop = Stop(checkpoints, seconds_of(config.trainer.get("max_time")), progress.notice)
    telemetry = Telemetry(writer, config)
    callbacks = [Ownership(folder), losses, throughput, start, curves, telemetry, progress, checkpoints, stop]
    trainer = make_trainer(config, folder, layout, world, callbacks)
    return Session(losses, throughput, start, progress, checkpoints, stop, trainer)


def _train(
    config: RunConfig, folder: RunFolder, layout: Layout, session: Session, identities: Collection[str]
) -> RunResult:
    module = LanguageModel(config)
    data = DataModule(
        config.data,
        seed=config.seed,
        global_batch_size=config.recipe.global_batch_size,
        micro_batch_size=layout.micro_batch,
    )
    trainer = session.trainer
    step = agree_on_resume_point(trainer, module, folder, identities)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint_path(folder, step) if step else None, weights_only=True)
    session.throughput.finish()
    session.checkpoints.save(trainer)
    session.checkpoints.finish(trainer)
    if module.validated_at != trainer.global_step:
        trainer.validate(module, datamodule=data, verbose=False)
    weights = full_weights(trainer.strategy)  # gathered from all processes, so all take part
    result = result_of_finished(
        config,
        session.checkpoints.identity,
        session.trainer,
        module,
        data,
        session.losses,
        session.throughput,
        session.start,
    )
    if trainer.is_global_zero:
        if session.progress.heartbeat is not None:
            session.progress.heartbeat.stop()  # a late beat must not say "running" of a finished run
        stop_if_lost(folder)
        prune(folder, kept=1)
        write_finished(folder, config, result, module, data, weights)
        log_summary(trainer.loggers, result)
    trainer.strategy.barrier()
    return result


def _set_threads(config: RunConfig) -> None:
    """CPU threads as asked for; otherwise few where a GPU computes, as idle ones wait busily and slow other runs."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    elif uses_gpu(config.trainer):
        torch.set_num_threads(min(torch.get_num_threads(), THREADS_BESIDE_A_GPU))


def _check_memory(config: RunConfig, folder: RunFolder, layout: Layout) -> None:
    """Refuse a run that certainly doesn't fit into the memory of a device, or of the machine."""
    if uses_gpu(config.trainer):
        available, sharing = torch.cuda.get_device_properties(0).total_memory, 1
    else:
        available, sharing = machine_memory(), layout.devices // int(config.trainer.get("num_nodes", 1))
    why = too_large(config, available, layout.devices, sharing)
    if why is not None:
        if folder.read_config() is not None:  # a run of a study, which reads there how it ended
            folder.write_status("out-of-memory", message=why)
        raise UserError(why)


@contextlib.contextmanager
def _logging(config: RunConfig, folder: RunFolder, trainer: L.Trainer) -> Iterator[None]:
    """Give the Trainer the run's loggers, and close them however the run ends. A thread of theirs that cannot write
    says nothing: the run's own files tell of a full disk."""
    trainer.loggers = make_loggers(folder.path, config)
    log_settings(trainer.loggers, config)
    status = "failed"
    unhandled = threading.excepthook
    threading.excepthook = lambda happened: None if isinstance(happened.exc_value, OSError) else unhandled(happened)
    try:
        yield
        status = "success"
    finally:
        close_loggers(trainer.loggers, status)
        threading.excepthook = unhandled


@contextlib.contextmanager
def _owned(folder: RunFolder, config: RunConfig, trainer: L.Trainer, world: World) -> Iterator[Heartbeat | None]:
    """Claim and hold the folder while training; the first process of a run does so for all of them."""
    if world.rank != 0:
        yield None
        return
    with folder.locked():
        folder.create()  # again: the refusal of another process may have removed what was empty so far
        new = claim(folder, config)
        try:
            with _beating(folder) as heartbeat:
                LOG.info(
                    "training %d steps of %s tokens in %s; warm-up over the first %s",
                    config.max_steps,
                    f"{config.tokens_per_step:,}",
                    folder.path,
                    "step" if config.recipe.warmup_steps == 1 else f"{config.recipe.warmup_steps} steps",
                )
                yield heartbeat
        except BaseException:
            if new and trainer.global_step == 0 and not folder.lost():
                release(folder)  # nothing was trained, so that the folder is free for other settings
            raise


@contextlib.contextmanager
def _beating(folder: RunFolder) -> Iterator[Heartbeat]:
    """Write every few seconds that the run is alive, and at the end how it ended."""
    heartbeat = Heartbeat(folder)
    heartbeat.start()
    try:
        yield heartbeat
    except BaseException as error:
        heartbeat.stop()
        ended = isinstance(error, (KeyboardInterrupt, SystemExit, Stopped))
        state = "killed" if ended else "out-of-memory" if isinstance(error, OutOfMemory) else "failed"
        facts = {**heartbeat.facts, "message": str(error).strip().split("\n")[0] or type(error).__name__}
        with contextlib.suppress(OSError):
            if not folder.lost():
                folder.write_status(state, **facts)
        raise
    heartbeat.stop()
