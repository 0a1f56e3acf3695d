"""A training process from start to exit code: trains one run and prints how it ended. Imports torch late."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decaystudy.data.tokenizers.opening import fetch_tokenizer
from decaystudy.errors import Failure, UserError
from decaystudy.runs.config import RunConfig, build_section
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.records import finished_result, refuse_other_settings, stored_config
from decaystudy.runs.result import RunResult
from decaystudy.runs.state import RunState
from decaystudy.terminal import fold, terminal_width
from decaystudy.training.checkpoints import last_step
from decaystudy.training.layout import run_layout
from decaystudy.training.loggers import LOGGERS
from decaystudy.training.network import check_network
from decaystudy.training.processors import check_gpus, check_processes, check_sharding
from decaystudy.training.supervisor import end_with_parent, supervise, supervised
from decaystudy.training.world import find_world, uses_gpu

if TYPE_CHECKING:
    from decaystudy.training.callbacks.stop import Stopped


LOST_SECONDS = 10.0


def read_run(folder: RunFolder, changes: Mapping[str, Any] | None = None) -> RunConfig:
    """The run that a folder's config.yaml describes, with ``changes`` to its layout (devices, strategy).

    A tokenizer that isn't known yet is fetched, because its vocabulary decides the size of the model.

    Raises:
        UserError: there is no config.yaml, or its settings cannot be obeyed here.
    """
    held = folder.read_config()
    if held is None:
        raise UserError(f"{folder.path} is no run folder: it has no config.yaml")
    try:
        fetch_tokenizer(build_section("data", held.get("data", {})))
    except (UserError, TypeError) as error:
        raise UserError(f"{folder.config}: {error}") from error
    config = stored_config(folder, changes or {})
    assert config is not None
    return config


def train(config: RunConfig, out: Path, command: Sequence[str]) -> int:
    """Train the run in folder ``out``, or resume it, and print the result.

    Args:
        command: what this process was called with; it is called again for each process of a run on several devices.

    Returns:
        0, 3 if the run diverged, 4 if it ran out of memory; where it was stopped, 75 after SIGUSR1 and at the end of
        ``trainer.max_time``, 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
        UserError: the settings cannot be obeyed, or the folder holds another run or is in use.
    """
    if supervised():
        end_with_parent()
    world = find_world(config.trainer)
    check_sharding(config, world.size)
    check_gpus(config, world.devices)
    if not world.started and not uses_gpu(config.trainer):
        check_processes("trainer.devices", world.devices)
    run_layout(config, world)  # a run that is finished must refuse what it cannot obey, as any other
    refuse_store(out)
    folder = RunFolder(out)
    result = finished_result(folder, config)
    if result is not None:
        if world.started and not world.first:
            return 0
        print(f"{out} is already finished; nothing to train")
        print_result(config, out, result)
        return 0
    if world.size > 1:
        check_network(world, uses_gpu(config.trainer))
    refuse_other_settings(folder, config)  # before anything is put into the folder
    new = not out.exists()
    folder.create()  # before the slow imports, so that an unwritable folder is reported at once
    if not world.started:
        try:
            return supervise(command, world, folder)
        finally:
            if new:
                folder.remove_if_empty()
    from decaystudy.training.callbacks.stop import Stopped
    from decaystudy.training.compilation import why_not_compiled
    from decaystudy.training.fit import LostConnection, OutOfMemory, fit

    try:
        result = fit(config, out, world)
    except LostConnection:
        if supervised():
            time.sleep(LOST_SECONDS)  # the supervisor sees which process it was, and ends this one
        raise
    except OutOfMemory as error:
        line = str(error).strip().splitlines()[0]
        print(
            f"decaystudy: out of memory ({line}): lower --recipe.micro_batch_size, or shard with --strategy fsdp",
            file=sys.stderr,
        )
        return 4
    except Stopped as stopped:
        if not world.first:
            return 0  # the first process says how the run ended
        print(f"decaystudy: {how_to_resume(stopped, last_step(folder), config.max_steps)}", file=sys.stderr)
        return stopped.exit_code
    except Exception as error:
        if told := why_not_compiled(error):
            raise Failure(told) from error
        raise
    finally:
        if new:
            folder.remove_if_empty()
    if world.first:
        print_result(config, out, result)
    return 3 if result.status == RunState.DIVERGED else 0


def refuse_store(out: Path) -> None:
    """Refuse a folder that holds the runs of studies: a run among them would be taken for part of it."""
    for store in (out / "store", out):
        if (store / ".names").is_dir():
            raise UserError(f"{out} holds the runs of studies: give this one a folder of its own, such as {out}-mine")


def how_to_resume(stopped: Stopped, saved: int, max_steps: int) -> str:
    """How a run was stopped, and at which step the same command resumes.

    Args:
        saved: step of the last checkpoint, 0 if there is none.
    """
    if stopped.step is not None:
        return f"stopped by {stopped.by}: the same command resumes at step {stopped.step} of {max_steps}"
    if saved:
        return f"stopped at once by {stopped.by}: the same command resumes at step {saved} of {max_steps}"
    return f"stopped by {stopped.by} before there was a checkpoint: the same command starts the run again"


def print_result(config: RunConfig, out: Path, result: RunResult) -> None:
    """Print the result in a few lines, and where the files and curves are."""
    if result.status == RunState.DIVERGED:
        last = result.last_finite or {}
        before = f"; at step {last['step']} it was {last['loss']:.4f}" if "loss" in last else ""
        print(f"diverged: {result.message}{before}; see {out}", file=sys.stderr)
        return
    speed = result.tokens_per_second
    bits = "" if result.val_bits_per_byte is None else f", {result.val_bits_per_byte:.4f} bits per byte"
    lines = (
        f"finished {result.step} steps, {result.tokens:,} tokens"
        + (f", {speed:,.0f} tokens/s" if speed else "")
        + f"\nvalidation loss {result.val_loss:.4f} nats per token, perplexity {result.val_perplexity:.2f}{bits}"
        f" (unigram entropy {result.unigram_entropy:.4f})"
    )
    print(fold(lines, terminal_width()))
    if result.decay:
        medians = ", ".join(f"{row.median:.3f}" for row in result.decay)
        print(fold(f"median λ by layer: {medians}", terminal_width()))
    print(f"results: {out / 'result.json'}")
    for name in config.logger:
        if name in LOGGERS:
            print(f"curves:  {LOGGERS[name].look.format(folder=shlex.quote(str(out)))}")
