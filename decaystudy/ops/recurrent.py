"""The sequential reference: the recurrence as written, one token after another, differentiated by autograd.

Clear before fast: the other backends are measured against it. It is also the right form for decoding one token.
"""

from collections.abc import Iterator

import torch
from torch import Tensor


def decay_attention(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, initial_state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """s_t = diag(λ_t) s_{t−1} + k_t v_tᵀ, o_t = s_tᵀ q_t; log_decay (B, T, H, Dk or 1) sets the working dtype."""
    state, steps = _start(log_decay.dtype, initial_state, q, k, v, log_decay.exp())
    outputs = []
    for query, key, value, decay in steps:
        state = decay.mT * state + key.mT * value
        outputs.append((query.mT * state).sum(-2))
    return torch.stack(outputs, dim=1).to(q.dtype), state


def dplr_attention(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor, initial_state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """s_t = (I − β_t k_t k_tᵀ) diag(λ_t) s_{t−1} + β_t k_t v_tᵀ, o_t = s_tᵀ q_t; beta is (B, T, H)."""
    state, steps = _start(log_decay.dtype, initial_state, q, k, v, log_decay.exp(), beta.unsqueeze(-1))
    outputs = []
    for query, key, value, decay, share in steps:
        state = decay.mT * state
        # What the state answers to this key moves towards the value, by the share β.
        answer = (key.mT * state).sum(-2, keepdim=True)
        state = state + key.mT * (share * (value - answer))
        outputs.append((query.mT * state).sum(-2))
    return torch.stack(outputs, dim=1).to(q.dtype), state


def _start(dtype: torch.dtype, state: Tensor | None, *sequences: Tensor) -> tuple[Tensor, Iterator[tuple[Tensor, ...]]]:
    """The first state, and for each token its rows (B, H, 1, ·) of the sequences (B, T, H, ·)."""
    _, k, v, *_ = sequences
    if state is None:
        state = torch.zeros(k.shape[0], k.shape[2], k.shape[3], v.shape[-1], dtype=dtype, device=k.device)
    # Unbound at once: indexing token by token would make every gradient T times as long.
    return state, zip(*(x.to(dtype).unsqueeze(-2).unbind(1) for x in sequences), strict=True)
