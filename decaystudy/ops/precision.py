"""Keeping autocast away: it would quietly turn the float32 products of decays and states into bfloat16 ones."""

import contextlib
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from torch import Tensor

Gradients = TypeVar("Gradients")


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context without autocast on that device."""
    if not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def in_full_precision(backward: Callable[..., Gradients]) -> Callable[..., Gradients]:
    """Decorate a backward pass, which may be called under autocast too."""

    @functools.wraps(backward)
    def run(ctx: Any, *gradients: Tensor) -> Gradients:
        with full_precision(gradients[0].device):
            return backward(ctx, *gradients)

    return run
