"""A model's memory between two calls: of constant size for decay attention, growing with the tokens for softmax."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class LayerState:
    """The memory of one token mixer."""

    attention: Tensor | None = None
    """Decay attention's state, (B, H, Dk, Dv), float32 (float64 in a float64 model)."""
    carry: Tensor | None = None
    """LightNet's z and last logit, (B, 2, size), float32."""
    keys: Tensor | None = None
    """Softmax only: rotated keys so far, (B, H, S, D)."""
    values: Tensor | None = None
    """Softmax only: values so far, (B, H, S, D)."""


@dataclass
class DecodingState:
    """The memory of a model: pass it on with the tokens that follow."""

    position: Tensor
    """Position of each row's next token, (B,), int64; padding isn't counted."""
    layers: list[LayerState]
    tpe: Tensor | None = None
    """TPE's state, (B, H, 1, D)."""
    key_mask: Tensor | None = None
    """Softmax only: which of the tokens so far may be attended to, (B, S), bool."""
