"""The loss over the vocabulary from the head's input, without ever holding the logits of all tokens.

Tokens are taken a group at a time: logits, losses and, where gradients are wanted, the gradients of the logits at once,
so nothing of a group but sums outlives it. Source of the method: Hsu et al., *Liger Kernel* (arXiv 2410.10989); the
gradient of the head's weight is accumulated in float32 here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from decaystudy.ops.precision import full_precision

GROUP_LOGITS = 1 << 28
"""Logits held at a time: half a gigabyte in bfloat16."""


def mean_next_token_loss(x: Tensor, weight: Tensor, targets: Tensor, vocab_size: int) -> Tensor:
    """Mean of −log p of the targets in nats, a float32 (or float64) scalar; differentiable once.

    Args:
        x: (B, T, d), the head's input. Under autocast products are in its dtype, sums in float32.
        weight: (V, d), the head's, V ≥ vocab_size. Only the first ``vocab_size`` tokens have a probability.
        targets: (B, T) int64, below ``vocab_size``.
    """
    loss: Tensor = _MeanLoss.apply(x, weight, targets, vocab_size, _working_dtype(x))  # type: ignore[no-untyped-call]
    return loss


@torch.no_grad()
def next_token_losses_of(x: Tensor, weight: Tensor, targets: Tensor, vocab_size: int) -> Tensor:
    """−log p of each target in nats, (B, T) float32 (or float64), without gradients; arguments as above."""
    working = _working_dtype(x)
    head = weight.to(working).mT
    with full_precision(x.device):
        groups = _groups(x.flatten(0, 1), targets.flatten(), len(weight))
        losses = [_losses(rows.to(working) @ head, wanted, vocab_size) for rows, wanted in groups]
    return torch.cat(losses).view(targets.shape)


@functools.cache
def compile_loss() -> None:
    """Fuse what happens to the logits, once and for all in this process."""
    global _losses, _losses_and_gradients
    _losses = torch.compile(_losses, fullgraph=True)
    _losses_and_gradients = torch.compile(_losses_and_gradients, fullgraph=True)


class _MeanLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, vocab_size: int, working: torch.dtype) -> Tensor:
        total = torch.zeros((), dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
        d_x = torch.empty_like(x, dtype=working) if ctx.needs_input_grad[0] else None
        d_weight = torch.zeros(weight.shape, dtype=total.dtype, device=x.device) if ctx.needs_input_grad[1] else None
        head = weight.to(working)
        out = iter(()) if d_x is None else iter(d_x.flatten(0, 1).split(_group_size(len(weight))))
        with full_precision(x.device):
            for rows, wanted in _groups(x.flatten(0, 1), targets.flatten(), len(weight)):
                rows = rows.to(working)
                losses, d_logits = _losses_and_gradients(rows @ head.mT, wanted, vocab_size)
                total += losses.sum()
                if d_x is not None:
                    torch.mm(d_logits, head, out=next(out))
                if d_weight is not None:
                    _accumulate(d_weight, d_logits.mT, rows)
        ctx.save_for_backward(d_x, d_weight)
        ctx.count, ctx.dtypes = targets.numel(), (x.dtype, weight.dtype)
        return total / targets.numel()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # The gradients are of the sum until here: those of the mean would underflow in float16.
        scale = gradient / ctx.count
        d_x, d_weight = (
            None if saved is None else (saved * scale).to(dtype)
            for saved, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return d_x, d_weight, None, None, None


def _working_dtype(x: Tensor) -> torch.dtype:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _group_size(vocabulary: int) -> int:
    """Rows of a group: a power of two, so that lengths in use divide evenly."""
    return 1 << max(0, (GROUP_LOGITS // vocabulary).bit_length() - 1)


def _groups(x: Tensor, targets: Tensor, vocabulary: int) -> Iterator[tuple[Tensor, Tensor]]:
    size = _group_size(vocabulary)
    return zip(x.split(size), targets.split(size), strict=True)


def _accumulate(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, the product summed in total's dtype."""
    if total.dtype == right.dtype:
        total.addmm_(left, right)
    elif total.is_cuda:
        torch.addmm(total, left, right, out_dtype=total.dtype, out=total)
    else:  # a CPU has no product of bfloat16 that keeps its float32 sums
        total.addmm_(left.to(total.dtype), right.to(total.dtype))


def _losses(logits: Tensor, targets: Tensor, vocab_size: int) -> Tensor:
    """(N,) losses of (N, V) logits."""
    real = logits[:, :vocab_size].to(torch.promote_types(logits.dtype, torch.float32))
    return real.logsumexp(-1) - real.gather(-1, targets[:, None]).squeeze(-1)


def _losses_and_gradients(logits: Tensor, targets: Tensor, vocab_size: int) -> tuple[Tensor, Tensor]:
    """(N,) losses of (N, V) logits, and the gradients of their sum, (N, V) in the logits' dtype, zero at padding."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    token = torch.arange(logits.shape[-1], device=logits.device)
    real = torch.where(token < vocab_size, wide, -torch.inf)
    # Written out, as the compiler finds the largest and the sum in one pass over the logits if it sees both.
    largest = real.amax(-1, keepdim=True)
    normaliser = largest + (real - largest).exp().sum(-1, keepdim=True).log()
    losses = (normaliser - wide.gather(-1, targets[:, None])).squeeze(-1)
    gradients = (real - normaliser).exp() - (token == targets[:, None]).to(real.dtype)
    return losses, gradients.to(logits.dtype)
