"""Position encodings: RoPE, LRPE and TPE, and the position of each token."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from decaystudy.ops import decay_attention
from decaystudy.ops.precision import full_precision


def token_positions(
    shape: tuple[int, int], device: torch.device, start: Tensor | None, mask: Tensor | None, resets: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Position of each token, (B, T), and of each row's next token, (B,), both int64.

    Padding (mask false) isn't counted; a document's first token (resets true) has position zero.
    """
    counted = torch.ones(shape, dtype=torch.long, device=device) if mask is None else mask.long()
    ends = counted.cumsum(1)
    if start is not None:
        ends = ends + start[:, None]
    positions = (ends - 1).clamp(min=0)
    if resets is not None:
        # Positions only grow along a row, so the largest start so far is that of the document a token is in.
        origin = torch.where(resets, positions, 0).cummax(1).values
        positions, ends = positions - origin, ends - origin
    return positions, ends[:, -1]


def angles(positions: Tensor, count: int, width: int, base: float) -> Tensor:
    """positions · base^(−2i/width) for i = 0 … count − 1, (B, T, count), in float64.

    Float64 so that a rotation is as exact at position 10⁶ as at 0.
    """
    index = torch.arange(count, dtype=torch.float64, device=positions.device)
    return positions.double().unsqueeze(-1) * base ** (-2 * index / width)


class Rotation:
    """The cosines and sines of one call, shared by all layers."""

    def __init__(self, kind: str, positions: Tensor, head_dim: int, base: float) -> None:
        self.kind = kind
        if kind == "rope":
            theta = angles(positions, head_dim // 2, head_dim, base)
        else:
            # LRPE needs an angle for each of the head_dim dimensions. Like the released code it takes the half with the
            # high frequencies of the 2·head_dim angles that RoPE has for a width of 4·head_dim.
            theta = angles(positions, head_dim, 4 * head_dim, base)
        self.cosine = theta.cos().unsqueeze(2)  # (B, T, 1, count): the same for all heads
        self.sine = theta.sin().unsqueeze(2)

    def at_zero(self) -> Rotation:
        """The same with every token at position zero."""
        still = copy.copy(self)
        still.cosine, still.sine = torch.ones_like(self.cosine), torch.zeros_like(self.sine)
        return still

    def __call__(self, x: Tensor) -> Tensor:
        """Rotate q or k, (B, T, H, D): RoPE keeps the width, LRPE doubles it."""
        cosine, sine = self.cosine.to(x.dtype), self.sine.to(x.dtype)
        if self.kind == "lrpe":
            return torch.cat((x * cosine, x * sine), dim=-1)
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cosine - odd * sine, odd * cosine + even * sine), dim=-1).flatten(-2)


class ToeplitzEncoding(nn.Module):
    """TPE: each head of the embedding mixed over time, o_t = Σ_{s≤t} λ^{t−s} (q·k) x_s, then RMSNorm and a linear map.

    It comes once, after the embedding, and its output replaces the embedding. q and k (d,) start at ones; each head has
    λ = sigmoid(θ), with θ (heads,) starting at zero. The norm is over all of d: a norm over each head would cancel the
    gradient of q and k.
    Source: Qin et al. (arXiv 2405.21022); arXiv 2509.05282, section 5.4.
    """

    def __init__(self, d_model: int, heads: int, eps: float, backend: str) -> None:
        super().__init__()
        self.heads = heads
        self.backend = backend
        self.q = nn.Parameter(torch.ones(d_model))
        self.k = nn.Parameter(torch.ones(d_model))
        self.theta = nn.Parameter(torch.zeros(heads))
        self.norm = nn.RMSNorm(d_model, eps=eps)
        self.out = nn.Linear(d_model, d_model, bias=False)

    def forward(
        self, x: Tensor, state: Tensor | None, mask: Tensor | None, resets: Tensor | None, return_state: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Map (B, T, d) to (B, T, d); the state is (B, H, 1, d/H), float32 or float64."""
        batch, length, _ = x.shape
        # q and k don't depend on the token, so the scalar q·k can be taken out of the sum: the query is q·k, the key is
        # one, and a head's state is a single row, the decayed sum of x.
        with full_precision(x.device):
            gain = (self.q * self.k).view(self.heads, -1).sum(-1)
            values = x.view(batch, length, self.heads, -1)
            values = values.to(torch.promote_types(values.dtype, torch.float32))
            queries = gain.to(values.dtype).view(1, 1, -1, 1).expand(batch, length, -1, -1)
            keys = torch.ones_like(queries)
            log_decay = logsigmoid(self.theta.to(values.dtype)).expand(batch, length, -1)
            if mask is not None:
                keys = torch.where(mask[..., None, None], keys, 0)
                log_decay = torch.where(mask[..., None], log_decay, 0)
            mixed, state = decay_attention(
                queries,
                keys,
                values,
                log_decay,
                resets=resets,
                initial_state=state,
                return_state=return_state,
                backend=self.backend,
            )
            normed = self.norm(mixed.flatten(2).to(self.norm.weight.dtype))
        return self.out(normed), state
