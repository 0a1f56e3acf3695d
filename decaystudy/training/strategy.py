"""The Lightning strategy of a run, and how FSDP2 shards the model."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy, StrategyRegistry
from lightning.pytorch.utilities import rank_zero_only

from decaystudy.errors import UserError, unknown
from decaystudy.model.block import Block
from decaystudy.model.transformer import DecayTransformer


def process_rank() -> int:
    """This process's number among those of the run, known before Lightning has set anything up."""
    return int(getattr(rank_zero_only, "rank", 0) or 0)


def device_count(trainer: dict[str, Any]) -> int:
    """Number of devices per node that these Trainer settings ask for."""
    devices = trainer.get("devices", "auto")
    if isinstance(devices, (list, tuple)):
        return len(devices)
    text = str(devices)
    if text in ("auto", "-1"):
        on_gpu = trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        return torch.cuda.device_count() if on_gpu else 1
    if "," in text:
        return len([part for part in text.split(",") if part.strip()])
    try:
        count = int(text)
    except ValueError:
        raise UserError(f"trainer.devices is {devices!r}: give a number, a list of indices, or auto") from None
    if count < 1:
        raise UserError(f"trainer.devices is {devices!r}: give at least 1")
    return count


def make_strategy(name: str, trainer: dict[str, Any]) -> str | Strategy:
    """Lightning's strategy of that name; ``fsdp`` is FSDP2 (ModelParallelStrategy) with whole-file checkpoints.

    Any number of devices, with any strategy, can resume from a whole file.
    """
    if name == "fsdp":
        world = device_count(trainer) * int(trainer.get("num_nodes", 1))
        return ModelParallelStrategy(
            data_parallel_size=world, tensor_parallel_size=1, save_distributed_checkpoint=False
        )
    known = ["auto", "fsdp", *StrategyRegistry.available_strategies()]
    if name not in known:
        raise unknown("strategy", name, known)
    if name == "auto" and device_count(trainer) * int(trainer.get("num_nodes", 1)) > 1:
        return "ddp"
    return name


def shard(model: DecayTransformer, mesh: Any) -> None:
    """Shard a model for FSDP2, one unit per block. Works on the meta device, before there are values."""
    from torch.distributed.fsdp import fully_shard

    for module in model.modules():
        if isinstance(module, Block):
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
