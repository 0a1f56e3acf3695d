"""Modules whose tensors low precision must not reach: what makes λ."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class KeepsPrecision(nn.Module):
    """A module whose tensors never go below float32, even if the model around it is moved ``.to(torch.bfloat16)``.

    A bfloat16 A_log or Δ would round the λ that a study is about.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        # All that moves or converts a module's tensors (`to`, `cuda`, `bfloat16`, `to_empty`) comes through here.
        def keep(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            lowered = tensor.is_floating_point() and moved.dtype in (torch.bfloat16, torch.float16)
            return tensor.to(moved.device) if lowered else moved

        super()._apply(keep, recurse)  # type: ignore[no-untyped-call]
        return self
