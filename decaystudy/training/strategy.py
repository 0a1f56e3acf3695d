"""The Lightning strategy of a run, and how FSDP2 shards the model."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy
from lightning.pytorch.utilities import rank_zero_only

from decaystudy.model.block import Block
from decaystudy.model.transformer import DecayTransformer


def process_rank() -> int:
    """This process's number among those of the run, known before Lightning has set anything up."""
    return int(getattr(rank_zero_only, "rank", 0) or 0)


def uses_gpu(trainer: dict[str, Any]) -> bool:
    """Whether a run with these settings trains on CUDA devices."""
    return trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def device_count(trainer: dict[str, Any]) -> int:
    """Number of devices per node that these Trainer settings, already checked, ask for."""
    devices = trainer.get("devices", "auto")
    if isinstance(devices, (list, tuple)):
        return len(devices)
    text = str(devices).strip()
    if text in ("auto", "-1"):
        return torch.cuda.device_count() if uses_gpu(trainer) else 1
    return len(text.split(",")) if "," in text else int(text)


def make_strategy(name: str, trainer: dict[str, Any]) -> str | Strategy:
    """Lightning's strategy for auto, ddp or fsdp: FSDP2 (ModelParallelStrategy) with whole-file checkpoints.

    Any number of devices, with any strategy, can resume from a whole file.
    """
    world = device_count(trainer) * int(trainer.get("num_nodes", 1))
    if name == "fsdp":
        return ModelParallelStrategy(
            data_parallel_size=world, tensor_parallel_size=1, save_distributed_checkpoint=False
        )
    return "ddp" if name == "auto" and world > 1 else name


def shard(model: DecayTransformer, mesh: Any) -> None:
    """Shard a model for FSDP2, one unit per block. Works on the meta device, before there are values."""
    from torch.distributed.fsdp import fully_shard

    for module in model.modules():
        if isinstance(module, Block):
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
