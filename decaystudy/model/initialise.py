"""Start values: each parameter is drawn from a generator of its own, seeded by the seed and the parameter's name.

So they depend neither on the order of building nor on the model's device or sharding, and what two models have in
common starts equal.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn

STANDARD_DEVIATION = 0.02


def generator_for(seed: int, name: str) -> torch.Generator:
    """The CPU generator that belongs to ``(seed, name)``."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


def copy_full_tensor(target: Tensor, value: Tensor) -> None:
    """Copy a full value into a parameter or buffer, whatever the target's device, dtype and sharding."""
    value = value.to(target.dtype)
    with torch.no_grad():
        if hasattr(target, "device_mesh"):  # a DTensor, whose class is slow to import
            # Every rank has drawn the same value, so each takes its own shard of it and nothing is sent.
            from torch.distributed.tensor import distribute_tensor

            mesh = target.device_mesh
            value = distribute_tensor(value.to(mesh.device_type), mesh, target.placements, src_data_rank=None)  # type: ignore[attr-defined]
        target.copy_(value)


def draw_normal(parameter: Tensor, seed: int, name: str, scale: float = 1.0) -> None:
    """normal(0, 0.02 · scale), drawn in float32 whatever the parameter's dtype."""
    shape = tuple(parameter.shape)  # that of the full tensor, if it is sharded
    value = torch.randn(shape, generator=generator_for(seed, name), dtype=torch.float32)
    copy_full_tensor(parameter, value * (STANDARD_DEVIATION * scale))


def residual_scale(layers: int) -> float:
    """1 / √(2 · layers), by which the start values of the outputs into the residual stream (W_o, W_3) are multiplied.

    Each block adds two such outputs, so the stream's variance at the start doesn't grow with depth.
    """
    return 1 / math.sqrt(2 * layers)


def draw_weights(model: nn.Module, seed: int, layers: int) -> None:
    """Draw the weights of all linear maps, embeddings and norms.

    Matrices are normal, those into the residual stream scaled down; norms are one.
    """
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(module, nn.Linear):
            scale = residual_scale(layers) if getattr(module, "residual_output", False) else 1.0
            draw_normal(module.weight, seed, f"{prefix}weight", scale)
        elif isinstance(module, nn.Embedding):
            draw_normal(module.weight, seed, f"{prefix}weight")
        elif isinstance(module, nn.RMSNorm):
            copy_full_tensor(module.weight, torch.ones(tuple(module.weight.shape)))
