"""The chunked backend of DPLR attention in plain PyTorch; see `chunked` for the plain form, which this one extends.

The recurrence is decay attention over changes u instead of values: s_t = diag(λ_t) s_{t−1} + k_t u_tᵀ with
u_t = β_t (v_t − s_{t−1}ᵀ diag(λ_t) k_t). In a chunk that begins with the state S, with B the decayed products of the
keys with the earlier ones and P the keys' reads,

    (I + β B) U = β (V − P S),

so U = Y − W S, where Y comes from V and W from P through the inverse of one unit triangular matrix per chunk. Then
O = A U + Q S and S' = Λ S + Kᵀ U, as for values.

Sources: the WY form of the delta rule (Yang et al., 2024, arXiv 2406.06484) and its gated form (arXiv 2412.06464).
"""

import torch
from torch import Tensor

from decaystudy.ops.chunked import by_chunk, total_gradient
from decaystudy.ops.chunks import chunk_length, groups, put, take
from decaystudy.ops.decayed_chunk import DecayedChunkGradients
from decaystudy.ops.within import within_chunks


def forward(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, initial: Tensor | None, keep: bool
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
        qs, ks, vs, gs, bs = (take(x, span, chunk, dtype) for x in (q, k, v, g, beta.unsqueeze(-1)))
        inside = within_chunks(_rows(qs, ks), ks, gs)
        scores, keys = _by_row(inside.scores, chunk)
        torch.sum(qs * ks, -1, out=scores.diagonal(dim1=1, dim2=2))
        reads, key_reads = _by_row(inside.reads, chunk)
        inverse = _inverse(bs * keys)
        w = torch.bmm(inverse, bs * key_reads)
        # Y for now. It becomes the changes U chunk by chunk, as the state S before each becomes known.
        changes = torch.bmm(inverse, bs * vs)
        changes_of, w_of, writes_of = (_each(x, span) for x in (changes, w, inside.writes))
        states = state.new_empty(span[1] + 1, *state.shape)
        states[0] = state
        totals = by_chunk(inside.total, states)
        for n in range(span[1]):
            changes_of[n].sub_(torch.bmm(w_of[n], states[n]))
            torch.baddbmm(totals[n] * states[n], writes_of[n].mT, changes_of[n], out=states[n + 1])
        state = states[-1]
        put(o, torch.bmm(scores, changes).baddbmm_(reads, states[:-1].flatten(0, 1)), span, chunk)
        if keep:
            saved += [inside.scores, inverse, changes, states]
    return o, state.view(batch, heads, width, -1).clone(), saved


def backward(
    d_o: Tensor, d_final: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, saved: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of q, k, v, g, beta and the initial state."""
    batch, tokens, heads, width = k.shape
    chunk, dtype = chunk_length(tokens), g.dtype
    spans = groups(k, max(width, v.shape[-1]), chunk)
    d_q, d_k, d_v, d_g, d_beta = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v, g, beta))
    d_state = d_final.reshape(batch * heads, width, -1)
    for index in reversed(range(len(spans))):
        span, (all_scores, inverse, changes, states) = spans[index], saved[4 * index : 4 * index + 4]
        qs, ks, vs, gs, bs, d_os = (take(x, span, chunk, dtype) for x in (q, k, v, g, beta.unsqueeze(-1), d_o))
        inside = within_chunks(_rows(qs, ks), ks, gs, scores=False, gradients=True)
        scores, keys = _by_row(all_scores, chunk)
        reads, key_reads = _by_row(inside.reads, chunk)
        w = torch.bmm(inverse, bs * key_reads)
        d_changes = torch.bmm(scores.mT, d_os)
        d_states = torch.empty_like(states)
        d_states[-1] = d_state
        torch.bmm(reads.mT, d_os, out=d_states[:-1].flatten(0, 1))
        d_changes_of, w_of, writes_of = (_each(x, span) for x in (d_changes, w, inside.writes))
        totals = by_chunk(inside.total, states)
        for n in reversed(range(span[1])):
            d_changes_of[n].add_(torch.bmm(writes_of[n], d_states[n + 1]))
            d_states[n].addcmul_(totals[n], d_states[n + 1]).sub_(torch.bmm(w_of[n].mT, d_changes_of[n]))
        d_state = d_states[0]
        before, d_after = states[:-1].flatten(0, 1), d_states[1:].flatten(0, 1)
        # Adjoint of (I + β B) U = β R with R = V − P S: first its right-hand side, then its matrix.
        d_right = torch.bmm(inverse.mT, d_changes)
        d_matrix = torch.bmm(d_right, changes.mT).neg_().tril_(-1)
        right = torch.baddbmm(vs, key_reads, before, alpha=-1)
        d_bs = (d_right * right).sum(-1, keepdim=True) + (d_matrix * keys).sum(-1, keepdim=True)
        put(d_beta.unsqueeze(-1), d_bs, span, chunk)
        d_right *= bs
        put(d_v, d_right, span, chunk)
        d_scores = torch.bmm(d_os, changes.mT)
        diagonal = d_scores.diagonal(dim1=1, dim2=2).unsqueeze(-1)
        d_rows, d_ks, d_gs = inside.backward(
            DecayedChunkGradients(
                scores=_rows(d_scores, d_matrix.mul_(bs)),
                reads=_rows(torch.bmm(d_os, before.mT), torch.bmm(d_right, before.mT).neg_()),
                writes=torch.bmm(changes, d_after.mT),
                total=total_gradient(before, d_after, inside.total),
            )
        )
        d_queries, d_keys = _by_row(d_rows, chunk)
        put(d_q, d_queries.addcmul(diagonal, ks), span, chunk)
        put(d_k, d_ks.add_(d_keys).addcmul_(diagonal, qs), span, chunk)
        put(d_g, d_gs, span, chunk)
    return d_q, d_k, d_v, d_g, d_beta, d_state.view(batch, heads, width, -1).clone()


def _rows(queries: Tensor, keys: Tensor) -> Tensor:
    """Interleave (N, C, ·) queries and keys as the two rows of each token: (N, 2C, ·)."""
    return torch.stack((queries, keys), 2).flatten(1, 2)


def _by_row(x: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    """Views of the queries' and the keys' rows."""
    queries, keys = torch.unflatten(x, 1, (chunk, 2)).unbind(2)
    return queries, keys


def _each(x: Tensor, span: tuple[int, int]) -> Tensor:
    """(n·B·H, C, ·) as (n, B·H, C, ·)."""
    return torch.unflatten(x, 0, (span[1], -1))


def _inverse(matrix: Tensor) -> Tensor:
    """Inverse of I + the part of matrix below its diagonal.

    Each entry is a product of a key, contractions and another key, times β. For unit keys and β in [0, 2] it is thus at
    most β, so multiplying by the inverse is as accurate as solving, and faster.
    """
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device).expand_as(matrix)
    inverse: Tensor = torch.linalg.solve_triangular(matrix, identity, upper=False, unitriangular=True)
    return inverse
