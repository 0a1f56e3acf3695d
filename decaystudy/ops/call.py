"""A checked call of an attention operator, and the facts about it that may decide its backend."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CallFacts:
    """What a backend may be chosen by: nothing that has to be read from a tensor's memory.

    So choosing never waits for a GPU, gives the same answer for every batch of a run, and can be compiled.
    """

    device: torch.device
    dtype: torch.dtype
    """That of q."""
    batch: int
    tokens: int
    heads: int
    key_width: int
    """Channels of q and k per head, Dk."""
    value_width: int
    """Channels of v per head, Dv."""
    scalar: bool
    """Whether log_decay has one value per head."""
    dplr: bool
    resets: bool
    """Whether resets were given, true somewhere or not."""

    @property
    def operator(self) -> str:
        """The operator's name in messages."""
        return "DPLR attention" if self.dplr else "decay attention"


@dataclass(frozen=True)
class AttentionCall:
    """The checked arguments of a call; DPLR attention if there is a beta. Shapes as in `decay_attention`."""

    q: Tensor
    k: Tensor
    v: Tensor
    log_decay: Tensor
    beta: Tensor | None = None
    initial_state: Tensor | None = None
    resets: Tensor | None = None

    @property
    def facts(self) -> CallFacts:
        batch, tokens, heads, key_width = self.q.shape
        return CallFacts(
            device=self.q.device,
            dtype=self.q.dtype,
            batch=batch,
            tokens=tokens,
            heads=heads,
            key_width=key_width,
            value_width=self.v.shape[-1],
            scalar=self.log_decay.dim() == 3,
            dplr=self.beta is not None,
            resets=self.resets is not None,
        )

    @property
    def channel_decay(self) -> Tensor:
        """log_decay as (B, T, H, 1) or (B, T, H, Dk)."""
        return per_channel(self.log_decay)


def per_channel(log_decay: Tensor) -> Tensor:
    """(B, T, H) as (B, T, H, 1); (B, T, H, Dk) as it is."""
    return log_decay.unsqueeze(-1) if log_decay.dim() == 3 else log_decay


def decay_at_resets(log_decay: Tensor, resets: Tensor | None, value: float) -> Tensor:
    """log_decay, (B, T, H) or (B, T, H, ·), with ``value`` in place of it at resets (B, T); no gradient flows there."""
    if resets is None:
        return log_decay
    return torch.where(resets.view(*resets.shape, *[1] * (log_decay.dim() - 2)), value, log_decay)
