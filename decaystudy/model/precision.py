"""Where low precision must not reach: the decays and the state."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """No autocast within: λ = 0.999 rounds to one in bfloat16."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


class KeepsPrecision(nn.Module):
    """A module whose tensors never go below float32, whatever ``.to(bfloat16)`` is asked of the model around it.

    A bfloat16 A_log or Δ would round the λ that a study is about.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        def keep(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            lowered = tensor.is_floating_point() and moved.dtype in (torch.bfloat16, torch.float16)
            return tensor.to(moved.device) if lowered else moved

        return super()._apply(keep, recurse)
