"""The Lightning strategy of a run, and how FSDP2 shards the model."""

from __future__ import annotations

from functools import partial
from typing import Any

from lightning.pytorch.strategies import DDPStrategy, Strategy
from lightning.pytorch.utilities import rank_zero_only

from decaystudy.model.block import Block
from decaystudy.model.transformer import DecayTransformer
from decaystudy.training.sharded import ShardedStrategy
from decaystudy.training.world import World


def process_rank() -> int:
    """This process's number among those of the run, known before Lightning has set anything up."""
    return int(getattr(rank_zero_only, "rank", 0) or 0)


def make_strategy(name: str, world: World) -> str | Strategy:
    """Lightning's strategy for auto, ddp or fsdp (FSDP2).

    Any number of devices, with any strategy, can resume from what another has saved. One device is trained on as it is:
    there is nobody to share with.
    """
    if world.size == 1:
        return "auto"
    if name == "fsdp":
        return ShardedStrategy(world.size)
    # Gradients live where they are exchanged: neither a second copy of them nor the time to make it.
    return DDPStrategy(gradient_as_bucket_view=True)


def full_weights(strategy: Strategy) -> dict[str, Any]:
    """The whole LightningModule's state, on the first process at least. All processes take part."""
    if isinstance(strategy, ShardedStrategy):
        return strategy.full_state_dict()
    return strategy.lightning_module_state_dict()


def checkpoint_activations(model: DecayTransformer) -> None:
    """Have each block keep its input only, and compute the rest again in the backward pass."""
    from torch.utils.checkpoint import checkpoint

    for module in model.modules():
        if isinstance(module, Block):
            # In place of ``forward``, so that neither names of weights nor hooks of FSDP2 change.
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)  # type: ignore[method-assign]


def shard(model: DecayTransformer, mesh: Any) -> None:
    """Shard a model for FSDP2, one unit per block. Works on the meta device, before there are values."""
    from torch.distributed.fsdp import fully_shard

    for module in model.modules():
        if isinstance(module, Block):
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
