"""The Triton kernels as PyTorch operators: what they return, their shapes without data, and their gradients."""

import torch
from torch import Tensor

from decaystudy.errors import UserError
from decaystudy.ops import triton_launch, triton_scalar_launch


def decay_attention(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, resets: Tensor | None, initial_state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """o and the final state; q, k and v are of one dtype, log_decay and initial_state float32. Differentiable once."""
    inputs = (q, k, v, log_decay, initial_state)
    keep = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    o, state, _, _ = _forward(q, k, v, log_decay, resets, initial_state, keep)
    return o, state


@torch.library.custom_op(
    "decaystudy::decay_attention",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v, Tensor log_decay, Tensor? resets, Tensor? initial_state, bool keep)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
)
def _forward(q, k, v, log_decay, resets, initial_state, keep):
    """o, the final state, and what the backward pass needs (empty unless kept): the chunks' states and scores.

    One log-decay per head needs no scores kept.
    """
    with torch.cuda.device_of(q):
        launch = triton_scalar_launch if log_decay.dim() == 3 else triton_launch
        ceiling = triton_launch.ceilings(resets)
        o, final, states, scores = launch.forward(q, k, v, log_decay, ceiling, initial_state, keep)
    return o, final, states if keep else states.new_empty(0), scores


@_forward.register_fake
def _(q, k, v, log_decay, resets, initial_state, keep):
    final = triton_launch.new_final_state(q, v)
    states = triton_launch.new_states(q, v) if keep else triton_launch.new_states(q, v).new_empty(0)
    return q.new_empty(v.shape), final, states, triton_launch.new_scores(q, keep and log_decay.dim() == 4)


@torch.library.custom_op(
    "decaystudy::decay_attention_backward",
    mutates_args=(),
    schema="(Tensor d_o, Tensor? d_final, Tensor q, Tensor k, Tensor v, Tensor log_decay, Tensor? resets,"
    " Tensor states, Tensor scores, bool needs_decay) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _backward(d_o, d_final, q, k, v, log_decay, resets, states, scores, needs_decay):
    """Gradients of q, k, v, log_decay (empty unless needed) and the initial state."""
    with torch.cuda.device_of(q):
        launch = triton_scalar_launch if log_decay.dim() == 3 else triton_launch
        ceiling = triton_launch.ceilings(resets)
        return launch.backward(d_o, d_final, q, k, v, log_decay, ceiling, states, scores, needs_decay)


@_backward.register_fake
def _(d_o, d_final, q, k, v, log_decay, resets, states, scores, needs_decay):
    d_decay = log_decay.new_empty(log_decay.shape if needs_decay else (0,))
    return *(x.new_empty(x.shape) for x in (q, k, v)), d_decay, triton_launch.new_final_state(q, v)


def _save(ctx, inputs, output):
    q, k, v, log_decay, resets, _, keep = inputs
    _, _, states, scores = output
    if keep:
        ctx.save_for_backward(q, k, v, log_decay, resets, states, scores)
    ctx.keep = keep
    ctx.set_materialize_grads(False)


def _differentiate(ctx, d_o, d_final, d_states, d_scores):
    if not ctx.keep:
        raise RuntimeError("decaystudy::decay_attention was called with keep=False, which saves nothing for gradients")
    q, k, v, log_decay, resets, states, scores = ctx.saved_tensors
    if d_o is None:
        d_o = torch.zeros_like(v)
    needs = ctx.needs_input_grad
    gradients = _backward(d_o, d_final, q, k, v, log_decay, resets, states, scores, needs[3])
    d_q, d_k, d_v, d_decay, d_initial = (
        x if needed else None for x, needed in zip(gradients, (*needs[:4], needs[5]), strict=True)
    )
    return d_q, d_k, d_v, d_decay, None, d_initial, None


def _refuse(ctx, *gradients):
    raise UserError("the Triton kernels are differentiable once: for second derivatives use backend 'recurrent'")


_forward.register_autograd(_differentiate, setup_context=_save)
_backward.register_autograd(_refuse)
