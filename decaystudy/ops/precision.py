"""Keeping autocast away: it would quietly turn the float32 products of states into bfloat16 ones."""

import contextlib
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager:
    """A context without autocast on the device of x."""
    device = x.device.type
    if not torch.amp.is_autocast_available(device):
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


def in_full_precision(backward: Callable) -> Callable:
    """Decorate a backward pass, which may be called under autocast too."""

    @functools.wraps(backward)
    def run(ctx, *gradients: Tensor):
        with full_precision(gradients[0]):
            return backward(ctx, *gradients)

    return run
