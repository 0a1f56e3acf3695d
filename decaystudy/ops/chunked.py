"""The chunked backend in plain PyTorch: exact for every log-decay in [−inf, 0], linear in T in time and memory.

Sequences are cut into chunks of 64 tokens. Inside a chunk all pairs are computed at once (`within`); the state carries
what goes from chunk to chunk. With S the state before a chunk, A its decayed scores (diagonal included), Q its reads, K
its writes and Λ its total decay:

    O = A V + Q S,        S' = Λ S + Kᵀ V.

Sources: the chunked form of gated linear attention (Yang et al., 2024, arXiv 2312.06635) and of state space duality
(Dao and Gu, 2024, arXiv 2405.21060); for the decays inside chunks see `within`.
Gradients are written by hand. The backward pass keeps the inputs, the scores and the chunks' states, and computes the
rest again. `chunked_operator` makes a differentiable operator of the two passes.
"""

import torch
from torch import Tensor

from decaystudy.ops.chunks import chunk_length, groups, put, take
from decaystudy.ops.decayed_chunk import DecayedChunkGradients
from decaystudy.ops.within import within_chunks


def forward(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, initial: Tensor | None, keep: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """o, the final state and, if asked for, what the backward pass keeps; g is (B, T, H, Dk) or (B, T, H, 1)."""
    batch, tokens, heads, width = k.shape
    chunk, dtype = chunk_length(tokens), g.dtype
    spans = groups(k, max(width, v.shape[-1]), chunk)
    state = torch.zeros(batch * heads, width, v.shape[-1], dtype=dtype, device=q.device)
    if initial is not None:
        state.copy_(initial.reshape(state.shape))
    o = torch.empty(v.shape, dtype=q.dtype, device=q.device)
    saved: list[Tensor] = []
    for span in spans:
        qs, ks, vs, gs = (take(x, span, chunk, dtype) for x in (q, k, v, g))
        inside = within_chunks(qs, ks, gs)
        # A token reads what it wrote itself, undecayed.
        torch.sum(qs * ks, -1, out=inside.scores.diagonal(dim1=1, dim2=2))
        # First what each chunk adds, Kᵀ V, for all chunks at once; then Λ S, which has to go chunk after chunk.
        states = state.new_empty(span[1] + 1, *state.shape)
        states[0] = state
        torch.bmm(inside.writes.mT, vs, out=states[1:].flatten(0, 1))
        for before, after, total in zip(states, states[1:], by_chunk(inside.total, states), strict=False):
            after.addcmul_(total, before)
        state = states[-1]
        put(o, torch.bmm(inside.scores, vs).baddbmm_(inside.reads, states[:-1].flatten(0, 1)), span, chunk)
        if keep:
            saved += [inside.scores, states]
    return o, state.view(batch, heads, width, -1).clone(), saved


def backward(
    d_o: Tensor, d_final: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, saved: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of q, k, v, g and the initial state."""
    batch, tokens, heads, width = k.shape
    chunk, dtype = chunk_length(tokens), g.dtype
    spans = groups(k, max(width, v.shape[-1]), chunk)
    d_q, d_k, d_v, d_g = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v, g))
    d_state = d_final.reshape(batch * heads, width, -1)
    for index in reversed(range(len(spans))):
        span, (scores, states) = spans[index], saved[2 * index : 2 * index + 2]
        qs, ks, vs, gs, d_os = (take(x, span, chunk, dtype) for x in (q, k, v, g, d_o))
        inside = within_chunks(qs, ks, gs, scores=False, gradients=True)
        d_states = torch.empty_like(states)
        d_states[-1] = d_state
        torch.bmm(inside.reads.mT, d_os, out=d_states[:-1].flatten(0, 1))
        totals = by_chunk(inside.total, states)
        for n in reversed(range(span[1])):
            d_states[n].addcmul_(totals[n], d_states[n + 1])
        d_state = d_states[0]
        before, d_after = states[:-1].flatten(0, 1), d_states[1:].flatten(0, 1)
        d_scores = torch.bmm(d_os, vs.mT)
        put(d_v, torch.bmm(scores.mT, d_os).baddbmm_(inside.writes, d_after), span, chunk)
        diagonal = d_scores.diagonal(dim1=1, dim2=2).unsqueeze(-1)
        d_qs, d_ks, d_gs = inside.backward(
            DecayedChunkGradients(
                scores=d_scores,
                reads=torch.bmm(d_os, before.mT),
                writes=torch.bmm(vs, d_after.mT),
                total=total_gradient(before, d_after, inside.total),
            )
        )
        put(d_q, d_qs.addcmul_(diagonal, ks), span, chunk)
        put(d_k, d_ks.addcmul_(diagonal, qs), span, chunk)
        put(d_g, d_gs, span, chunk)
    return d_q, d_k, d_v, d_g, d_state.view(batch, heads, width, -1).clone()


def by_chunk(total: Tensor, states: Tensor) -> Tensor:
    """(n·B·H, Dk or 1) as (n, B·H, Dk or 1, 1): the factors of the states, chunk by chunk."""
    return total.view(len(states) - 1, states.shape[1], -1, 1)


def total_gradient(before: Tensor, d_after: Tensor, total: Tensor) -> Tensor:
    """Gradient of the chunks' total decays: (N, Dk), or (N, 1) for one decay per head."""
    d_total = (before * d_after).sum(-1)
    return d_total if total.shape[-1] > 1 else d_total.sum(-1, keepdim=True)
