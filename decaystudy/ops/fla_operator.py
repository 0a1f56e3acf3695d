"""flash-linear-attention's kernels as one PyTorch operator, for `torch.compile`, whose graphs their dispatcher breaks.

What a kernel keeps for its backward pass is its own business, so the operator keeps the inputs alone and runs the
forward pass again before the backward one. Without `torch.compile` the kernels are called directly.
"""

import torch
from torch import Tensor

from decaystudy.errors import UserError
from decaystudy.ops import fla_kernels
from decaystudy.ops.precision import full_precision


def attend(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor | None, initial_state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """o and the final state, as of `fla_kernels.attend`."""
    o, state = _forward(q, k, v, log_decay, beta, initial_state)
    return o, state


@torch.library.custom_op(
    "decaystudy::fla_attention",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v, Tensor log_decay, Tensor? beta, Tensor? initial_state) -> (Tensor, Tensor)",
)
def _forward(q, k, v, log_decay, beta, initial_state):
    with full_precision(q.device):
        o, state = fla_kernels.attend(q, k, v, log_decay, beta, initial_state)
    return o.contiguous(), state.contiguous()


@_forward.register_fake
def _(q, k, v, log_decay, beta, initial_state):
    batch, _, heads, width = q.shape
    return q.new_empty(v.shape), q.new_empty(batch, heads, width, v.shape[-1], dtype=torch.float32)


@torch.library.custom_op(
    "decaystudy::fla_attention_backward",
    mutates_args=(),
    schema="(Tensor d_o, Tensor? d_state, Tensor q, Tensor k, Tensor v, Tensor log_decay, Tensor? beta,"
    " Tensor? initial_state) -> Tensor[]",
)
def _backward(d_o, d_state, *inputs):
    """Gradients of the inputs that were given, in their order."""
    # Inside an operator PyTorch records nothing but calls of functions with a backward pass of their own, which is what
    # these kernels are, so nothing else may stand between the leaves and the results.
    with torch.enable_grad(), full_precision(d_o.device):
        leaves = [None if x is None else x.detach().requires_grad_() for x in inputs]
        o, state = fla_kernels.attend(*leaves)  # type: ignore[arg-type]  # the first four are always given
        wanted, seeds = ([o], [d_o]) if d_state is None else ([o, state], [d_o, d_state])
        given = [x for x in leaves if x is not None]
        gradients = torch.autograd.grad(wanted, given, seeds, materialize_grads=True)
    return [gradient.to(x.dtype).contiguous() for gradient, x in zip(gradients, given, strict=True)]


@_backward.register_fake
def _(d_o, d_state, *inputs):
    return [x.new_empty(x.shape) for x in inputs if x is not None]


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs)
    ctx.set_materialize_grads(False)


def _differentiate(ctx, d_o, d_state):
    inputs = ctx.saved_tensors
    if d_o is None:
        d_o = torch.zeros_like(inputs[2])
    gradients = iter(_backward(d_o, d_state, *inputs))
    return tuple(None if x is None else next(gradients) for x in inputs)


def _refuse(ctx, *gradients):
    raise UserError("flash-linear-attention's kernels are differentiable once: use backend 'recurrent'")


_forward.register_autograd(_differentiate, setup_context=_save)
_backward.register_autograd(_refuse)
