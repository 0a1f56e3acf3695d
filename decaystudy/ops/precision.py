"""Keeping autocast away: it would quietly turn the float32 products of decays and states into bfloat16 ones."""

import contextlib
from contextlib import AbstractContextManager

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context without autocast on that device."""
    if device.type == "meta":  # has none; asking PyTorch for those that do is nothing torch.compile can trace
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)
