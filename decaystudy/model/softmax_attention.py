"""Causal softmax attention with RoPE: the reference row of every study."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from decaystudy.model.config import ModelConfig
from decaystudy.model.position import Rotation
from decaystudy.model.state import LayerState


class SoftmaxAttention(nn.Module):
    """W_o · softmax(q kᵀ / √D) v with rotated q and k, no activation, gate or inner norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.d_model
        self.heads = config.heads
        self.q = nn.Linear(d, d, bias=False)
        self.k = nn.Linear(d, d, bias=False)
        self.v = nn.Linear(d, d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.out.residual_output = True  # type: ignore[assignment]

    def forward(
        self,
        x: Tensor,
        rotation: Rotation,
        *,
        allowed: Tensor | None,
        state: LayerState | None,
        return_state: bool,
    ) -> tuple[Tensor, LayerState | None]:
        """Map (B, T, d) to (B, T, d). ``allowed`` (B, 1, T, S) says who may look at whom; None is plain causal."""
        q = rotation(self.q(x).unflatten(-1, (self.heads, -1))).transpose(1, 2)
        k = rotation(self.k(x).unflatten(-1, (self.heads, -1))).transpose(1, 2)
        v = self.v(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        if state is not None and state.keys is not None and state.values is not None:
            k, v = torch.cat((state.keys, k), dim=2), torch.cat((state.values, v), dim=2)
        o = scaled_dot_product_attention(q, k, v, attn_mask=allowed, is_causal=allowed is None)
        return self.out(o.transpose(1, 2).flatten(2)), LayerState(keys=k, values=v) if return_state else None


def allowed_pairs(heard: Tensor, length: int, resets: Tensor | None) -> tuple[Tensor, Tensor]:
    """(B, 1, T, S): token t (one of the last ``length``) may look at s if s isn't later, isn't padding, and no document
    starts after s up to t. And (B, S): which tokens those that follow may look at.

    Args:
        heard: (B, S) bool, false at padding and in documents that have ended.
        resets: (B, T) bool for the last T = ``length`` tokens.
    """
    total = heard.shape[1]
    when = torch.arange(total, device=heard.device)
    pairs = (when[None, :] <= when[-length:, None])[None] & heard[:, None, :]
    if resets is not None:
        document = torch.cat((heard.new_zeros(heard.shape[0], total - length), resets), dim=1).cumsum(1)
        pairs = pairs & (document[:, None, :] == document[:, -length:, None])
        heard = heard & (document == document[:, -1:])
    # A padded token may look at itself, or its row of the softmax would be empty.
    itself = (when[None, :] == when[-length:, None])[None]
    return (pairs | itself).unsqueeze(1), heard
