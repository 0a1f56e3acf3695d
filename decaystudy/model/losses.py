"""The loss of a language model, token by token."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def next_token_losses(
    logits: Tensor, targets: Tensor, vocab_size: int, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """−log p of each target in nats, (B, T) of ``dtype``.

    Only real tokens have a probability: the padding of the vocabulary takes no part.

    Args:
        logits: (B, T, V), V ≥ vocab_size; any floating dtype.
        targets: (B, T) int64, below ``vocab_size``.
    """
    real = logits[..., :vocab_size]
    return cross_entropy(real.flatten(0, 1).to(dtype), targets.flatten(), reduction="none").view_as(targets)
