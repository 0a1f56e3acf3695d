"""The chunked backend as PyTorch operators: what they return, their shapes without data, and their gradients.

Opaque to `torch.compile`, which would otherwise unroll their loops over chunks. Differentiable once.
"""

import torch
from torch import Tensor

from decaystudy.errors import UserError
from decaystudy.ops import chunked, chunked_dplr
from decaystudy.ops.chunks import chunk_length, groups
from decaystudy.ops.precision import full_precision


def decay_attention(q: Tensor, k: Tensor, v: Tensor, g: Tensor, initial: Tensor | None) -> tuple[Tensor, Tensor]:
    """o and the final state; g is (B, T, H, Dk) or (B, T, H, 1)."""
    o, state, _ = _plain(q, k, v, g, initial, _keep(q, k, v, g, initial))
    return o, state


def dplr_attention(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, initial: Tensor | None
) -> tuple[Tensor, Tensor]:
    """o and the final state; g is (B, T, H, Dk) or (B, T, H, 1), beta (B, T, H)."""
    o, state, _ = _dplr(q, k, v, g, beta, initial, _keep(q, k, v, g, beta, initial))
    return o, state


def _keep(*inputs: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)


@torch.library.custom_op(
    "decaystudy::chunked_decay_attention",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v, Tensor g, Tensor? initial, bool keep) -> (Tensor, Tensor, Tensor[])",
)
def _plain(q, k, v, g, initial, keep):
    with full_precision(q.device):
        return chunked.forward(q, k, v, g, initial, keep)


@_plain.register_fake
def _(q, k, v, g, initial, keep):
    saved = []
    for rows, chunk, states in _spans(k, v, g) if keep else ():
        saved += [g.new_empty(rows, chunk, chunk), g.new_empty(states)]
    return q.new_empty(v.shape), _final_state(k, v, g), saved


@torch.library.custom_op(
    "decaystudy::chunked_decay_attention_backward",
    mutates_args=(),
    schema="(Tensor d_o, Tensor d_final, Tensor q, Tensor k, Tensor v, Tensor g, Tensor[] saved)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _plain_backward(d_o, d_final, q, k, v, g, saved):
    with full_precision(q.device):
        return chunked.backward(d_o, d_final, q, k, v, g, saved)


@_plain_backward.register_fake
def _(d_o, d_final, q, k, v, g, saved):
    return *(x.new_empty(x.shape) for x in (q, k, v, g)), _final_state(k, v, g)


@torch.library.custom_op(
    "decaystudy::chunked_dplr_attention",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v, Tensor g, Tensor beta, Tensor? initial, bool keep)"
    " -> (Tensor, Tensor, Tensor[])",
)
def _dplr(q, k, v, g, beta, initial, keep):
    with full_precision(q.device):
        return chunked_dplr.forward(q, k, v, g, beta, initial, keep)


@_dplr.register_fake
def _(q, k, v, g, beta, initial, keep):
    saved = []
    for rows, chunk, states in _spans(k, v, g) if keep else ():
        inverse = g.new_empty(rows, chunk, chunk).mT  # as the triangular solver lays it out
        changes = g.new_empty(rows, chunk, v.shape[-1])
        saved += [g.new_empty(rows, 2 * chunk, chunk), inverse, changes, g.new_empty(states)]
    return q.new_empty(v.shape), _final_state(k, v, g), saved


@torch.library.custom_op(
    "decaystudy::chunked_dplr_attention_backward",
    mutates_args=(),
    schema="(Tensor d_o, Tensor d_final, Tensor q, Tensor k, Tensor v, Tensor g, Tensor beta, Tensor[] saved)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _dplr_backward(d_o, d_final, q, k, v, g, beta, saved):
    with full_precision(q.device):
        return chunked_dplr.backward(d_o, d_final, q, k, v, g, beta, saved)


@_dplr_backward.register_fake
def _(d_o, d_final, q, k, v, g, beta, saved):
    return *(x.new_empty(x.shape) for x in (q, k, v, g, beta)), _final_state(k, v, g)


def _spans(k, v, g):
    """For each group of chunks: the number of (chunk, batch, head), the chunk's length, the shape of its states."""
    batch, tokens, heads, width = k.shape
    chunk = chunk_length(tokens)
    for _, count in groups(k, max(width, v.shape[-1]), chunk):
        yield count * batch * heads, chunk, (count + 1, batch * heads, width, v.shape[-1])


def _final_state(k, v, g):
    batch, _, heads, width = k.shape
    return g.new_empty(batch, heads, width, v.shape[-1])


def _save(ctx, inputs, output):
    *tensors, initial, keep = inputs
    ctx.keep, ctx.has_initial = keep, initial is not None
    if keep:
        ctx.save_for_backward(*tensors, *output[2])
        ctx.given = len(tensors)


def _differentiate(backward):
    def run(ctx, d_o, d_final, d_saved):
        if not ctx.keep:
            raise RuntimeError("an attention operator was called with keep=False, which saves nothing for gradients")
        kept = ctx.saved_tensors  # asked for once: activation checkpointing computes it again each time
        *gradients, d_initial = backward(d_o, d_final, *kept[: ctx.given], list(kept[ctx.given :]))
        return *gradients, d_initial if ctx.has_initial else None, None

    return run


def _refuse(ctx, *gradients):
    raise UserError("the chunked backend is differentiable once: for second derivatives use backend 'recurrent'")


_plain.register_autograd(_differentiate(_plain_backward), setup_context=_save)
_dplr.register_autograd(_differentiate(_dplr_backward), setup_context=_save)
_plain_backward.register_autograd(_refuse)
_dplr_backward.register_autograd(_refuse)
