"""The channel mixer: a gated linear unit."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import silu

from decaystudy.model.projection import apply_all


class ChannelMixer(nn.Module):
    """W_3 (silu(W_1 x) ⊙ W_2 x), (B, T, d) to (B, T, d), without biases."""

    def __init__(self, d_model: int, width: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(d_model, width, bias=False)
        self.w2 = nn.Linear(d_model, width, bias=False)
        self.w3 = nn.Linear(width, d_model, bias=False)
        self.w3.residual_output = True  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        gate, value = apply_all((self.w1, self.w2), x)
        mixed: Tensor = self.w3(silu(gate) * value)
        return mixed
