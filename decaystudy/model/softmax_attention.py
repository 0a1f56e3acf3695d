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
        attention_mask: Tensor | None,
        state: LayerState | None,
        return_state: bool,
    ) -> tuple[Tensor, LayerState | None]:
        """Map (B, T, d) to (B, T, d). ``attention_mask`` is that of ``attention_masks``; None is plain causal."""
        q = rotation(self.q(x).unflatten(-1, (self.heads, -1))).transpose(1, 2)
        k = rotation(self.k(x).unflatten(-1, (self.heads, -1))).transpose(1, 2)
        v = self.v(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        if state is not None and state.keys is not None and state.values is not None:
            k, v = torch.cat((state.keys, k), dim=2), torch.cat((state.values, v), dim=2)
        o = scaled_dot_product_attention(q, k, v, attn_mask=attention_mask, is_causal=attention_mask is None)
        return self.out(o.transpose(1, 2).flatten(2)), LayerState(keys=k, values=v) if return_state else None


def attention_masks(key_mask: Tensor, length: int, resets: Tensor | None) -> tuple[Tensor, Tensor]:
    """Which tokens the last ``length`` ones may attend to, and which of all those that follow may.

    Args:
        key_mask: (B, S) bool, false at padding and in documents that have ended.
        resets: (B, T) bool for the last T = ``length`` tokens.

    Returns:
        attention_mask (B, 1, T, S): token t may attend to s if s isn't later, isn't padding, and no document starts
        after s up to t; and the key mask (B, S) of the tokens that follow.
    """
    total = key_mask.shape[1]
    when = torch.arange(total, device=key_mask.device)
    pairs = (when[None, :] <= when[-length:, None])[None] & key_mask[:, None, :]
    if resets is not None:
        document = torch.cat((key_mask.new_zeros(key_mask.shape[0], total - length), resets), dim=1).cumsum(1)
        pairs = pairs & (document[:, None, :] == document[:, -length:, None])
        key_mask = key_mask & (document == document[:, -1:])
    # A padded token may attend to itself, or its row of the softmax would be empty.
    itself = (when[None, :] == when[-length:, None])[None]
    return (pairs | itself).unsqueeze(1), key_mask
