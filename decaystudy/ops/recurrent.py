"""The sequential reference: the recurrence as written, one token after another, differentiated by autograd.

Clear before fast: the other backends are measured against it. It is also the right form for decoding one token.
"""

from collections.abc import Iterator

import torch
from torch import Tensor


def decay_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    initial_state: Tensor | None,
    resets: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """s_t = diag(λ_t) s_{t−1} + k_t v_tᵀ, o_t = s_tᵀ q_t; log_decay (B, T, H, Dk or 1) sets the working dtype."""
    state = _first_state(log_decay.dtype, initial_state, k, v)
    outputs = []
    for reset, (query, key, value, decay) in _steps(log_decay.dtype, resets, q, k, v, log_decay.exp()):
        state = decay.mT * _forget(state, reset) + key.mT * value
        outputs.append((query.mT * state).sum(-2))
    return torch.stack(outputs, dim=1).to(q.dtype), state


def dplr_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    beta: Tensor,
    initial_state: Tensor | None,
    resets: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """s_t = (I − β_t k_t k_tᵀ) diag(λ_t) s_{t−1} + β_t k_t v_tᵀ, o_t = s_tᵀ q_t; beta is (B, T, H)."""
    state = _first_state(log_decay.dtype, initial_state, k, v)
    steps = _steps(log_decay.dtype, resets, q, k, v, log_decay.exp(), beta.unsqueeze(-1))
    outputs = []
    for reset, (query, key, value, decay, share) in steps:
        state = decay.mT * _forget(state, reset)
        # The delta rule: what the state returns for this key moves towards the value, by the share β.
        answer = (key.mT * state).sum(-2, keepdim=True)
        state = state + key.mT * (share * (value - answer))
        outputs.append((query.mT * state).sum(-2))
    return torch.stack(outputs, dim=1).to(q.dtype), state


def _first_state(dtype: torch.dtype, state: Tensor | None, k: Tensor, v: Tensor) -> Tensor:
    if state is not None:
        return state
    return torch.zeros(k.shape[0], k.shape[2], k.shape[3], v.shape[-1], dtype=dtype, device=k.device)


def _steps(
    dtype: torch.dtype, resets: Tensor | None, *sequences: Tensor
) -> Iterator[tuple[Tensor | None, tuple[Tensor, ...]]]:
    """For each token its reset, (B,) or None, and its rows (B, H, 1, ·) of the sequences (B, T, H, ·)."""
    # Unbound at once: indexing token by token would make every gradient T times as long.
    rows = zip(*(x.to(dtype).unsqueeze(-2).unbind(1) for x in sequences), strict=True)
    starts = [None] * sequences[0].shape[1] if resets is None else resets.unbind(1)
    return zip(starts, rows, strict=True)


def _forget(state: Tensor, reset: Tensor | None) -> Tensor:
    """The state (B, H, Dk, Dv), zero in the rows that start a document: selected, as 0 · inf would be NaN."""
    return state if reset is None else torch.where(reset[:, None, None, None], 0.0, state)
