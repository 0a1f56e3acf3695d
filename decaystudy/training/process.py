"""A training process from start to exit code: trains one run and says how it ended. Imports torch when it must."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decaystudy.data.tokenizers.opening import fetch_tokenizer
from decaystudy.errors import UserError
from decaystudy.runs.config import RunConfig, build_section, merge
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.records import finished_result
from decaystudy.runs.result import RunResult
from decaystudy.runs.state import RunState


def read_run(folder: RunFolder, changes: Mapping[str, Any] | None = None) -> RunConfig:
    """The run that a folder's config.yaml describes, with ``changes`` to its layout (devices, strategy).

    A tokenizer that isn't known yet is fetched, since its vocabulary decides the size of the model.

    Raises:
        UserError: there is no config.yaml, or it cannot be obeyed here.
    """
    held = folder.read_config()
    if held is None:
        raise UserError(f"{folder.path} is no run's folder: it has no config.yaml")
    values = merge(held, changes or {})
    fetch_tokenizer(build_section("data", values["data"]))
    return RunConfig.from_dict(values)


def train(config: RunConfig, out: Path) -> int:
    """Train the run in folder ``out``, or resume it, and print what came of it.

    Returns:
        0, 3 if the run diverged, or 4 if it ran out of memory.

    Raises:
        UserError: the settings cannot be obeyed, or the folder holds another run or is in use.
    """
    folder = RunFolder(out)
    result = finished_result(folder, config)
    if result is not None:
        print(f"{out} has finished already; nothing to train")
        summarise(out, result)
        return 0
    folder.create()  # before the heavy imports, so that a folder that cannot be written to is said at once
    from decaystudy.training.fit import OutOfMemory, fit

    first = int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0
    try:
        result = fit(config, out)
    except OutOfMemory as error:
        line = str(error).strip().splitlines()[0]
        print(
            f"decaystudy: out of memory ({line}): lower --recipe.micro_batch_size, or shard with --strategy fsdp",
            file=sys.stderr,
        )
        return 4
    if first:
        summarise(out, result)
    return 3 if result.status == RunState.DIVERGED else 0


def summarise(out: Path, result: RunResult) -> None:
    """The result in a few lines."""
    if result.status == RunState.DIVERGED:
        last = result.last_finite or {}
        before = f"; at step {last['step']} it was {last['loss']:.4f}" if "loss" in last else ""
        print(f"diverged: {result.message}{before}; see {out}", file=sys.stderr)
        return
    speed = result.tokens_per_second
    print(
        f"finished {result.step} steps, {result.tokens:,} tokens"
        + (f", {speed:,.0f} tokens/s" if speed else "")
        + f"\nvalidation loss {result.val_loss:.4f} nats, perplexity {result.val_perplexity:.2f}"
        f" (unigram entropy {result.unigram_entropy:.4f})"
    )
    if result.decay:
        print("median λ by layer: " + ", ".join(f"{row.median:.3f}" for row in result.decay))
    print(f"results: {out / 'result.json'}\ncurves:  tensorboard --logdir {out}")
