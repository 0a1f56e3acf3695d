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
