"""What a run is estimated to need of a device's memory. Needs no torch."""

from __future__ import annotations

import os

from decaystudy.formatting import size
from decaystudy.model.count import parameter_count
from decaystudy.runs.config import RunConfig

CERTAINLY = 1.5
"""A run whose estimate is this multiple of a device's memory is refused; below, the estimate may be wrong."""


def memory_bytes(config: RunConfig, devices: int = 1) -> int:
    """Estimated peak memory of a device.

    Weights, gradients and AdamW's two moments take 16 bytes per parameter (a share of them with FSDP). For the backward
    pass a block keeps about 16 values of width d and 4 of the GLU's width per token, in the precision of training, and
    4 of width d in float32 for the decay, or with activation checkpointing its input, and all of it in one block at a
    time; the logits are kept twice in float32. A third is added for working memory.
    """
    model = config.model
    sharded = devices if config.strategy == "fsdp" else 1
    states = 16 * parameter_count(model) / sharded
    value = 2 if "16" in str(config.trainer.get("precision", "32")) else 4
    block = value * (16 * model.d_model + 4 * model.glu_width) + 4 * 4 * model.d_model
    micro = min(config.recipe.micro_batch_size, max(1, config.recipe.global_batch_size // devices))
    tokens = micro * config.data.sequence_length
    blocks = model.layers * block
    if config.recipe.activation_checkpointing:
        blocks = block + model.layers * value * model.d_model
    return round(states + 4 / 3 * tokens * (blocks + 8 * model.padded_vocab_size))


def too_large(config: RunConfig, available: int, devices: int = 1, sharing: int = 1) -> str | None:
    """Why the run certainly doesn't fit, in a sentence; None where it may.

    Args:
        available: bytes of one device, or of the machine for processes on a CPU.
        devices: of the whole run.
        sharing: processes that share these bytes.
    """
    needed = memory_bytes(config, devices) * sharing
    if needed <= CERTAINLY * available:
        return None
    return (
        f"the run needs about {size(needed)} of memory ({size(16 * parameter_count(config.model))} for weights, "
        f"gradients and moments) and there are {size(available)}: make the model smaller, lower "
        "recipe.micro_batch_size or data.sequence_length, set recipe.activation_checkpointing, or shard with "
        "--strategy fsdp"
    )


def machine_memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
