"""LightNet's running log-sum and its gradient on a GPU: two scans over time, each reading its inputs once.

Compiled, PyTorch's logcumsumexp and its gradient take about four times as long (1.5 against 0.4 ms for 16 × 2048 tokens
of 768 channels on an H100). One program scans some channels of one row; every step of a scan adds positive numbers or
multiplies by factors of at most one, so no digits are lost whatever the logits are. Triton is imported here at once.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

SUM_TILE = (16, 16)
RECURRENCE_TILE = (64, 32)
"""Tokens and channels: the fastest of twelve on an H100 at 16 × 2048 tokens of 768 channels."""


@triton.jit
def _log_add(left, left_cut, right, right_cut):
    """Two stretches joined: the log-sum of both, or of the right one alone where a document starts in it."""
    largest = tl.maximum(left, right)
    both = largest + tl.log(1.0 + tl.exp(-tl.abs(left - right)))
    return tl.where(right_cut != 0, right, both), left_cut | right_cut


@triton.jit
def _compose(left_factor, left_term, right_factor, right_term):
    """x → right_factor · (left_factor · x + left_term) + right_term."""
    return left_factor * right_factor, right_factor * left_term + right_term


@triton.jit
def log_sum_kernel(
    logit, start, resets, out, tokens, width,
    HAS_RESETS: tl.constexpr, TIME: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < width
    carried = tl.load(start + row * width + channel, mask=inside, other=0.0)
    tl.store(out + row * (tokens + 1) * width + channel, carried, mask=inside)
    for first in range(0, tokens, TIME):
        time = first + tl.arange(0, TIME)
        there = (time < tokens)[:, None] & inside[None, :]
        place = (row * tokens + time)[:, None] * width + channel[None, :]
        z = tl.load(logit + place, mask=there, other=-1e30).to(tl.float32)
        cut = tl.zeros([TIME, CHANNELS], dtype=tl.int32)
        if HAS_RESETS:
            starts = tl.load(resets + row * tokens + time, mask=time < tokens, other=0).to(tl.int32)
            cut += starts[:, None]
            # A document begins with the constant 1 = e^0.
            opened = tl.maximum(z, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(z)))
            z = tl.where(cut != 0, opened, z)
        # The carried sum joins the first token, so that the scan needs no second pass.
        joined = tl.maximum(z, carried[None, :]) + tl.log(1.0 + tl.exp(-tl.abs(z - carried[None, :])))
        z = tl.where((tl.arange(0, TIME) == 0)[:, None] & (cut == 0), joined, z)
        z, _ = tl.associative_scan((z, cut), 0, _log_add)
        below = (row * (tokens + 1) + time + 1)[:, None] * width + channel[None, :]
        tl.store(out + below, z, mask=there)
        last = tl.minimum(first + TIME, tokens) - 1 - first
        carried = tl.sum(tl.where((tl.arange(0, TIME) == last)[:, None], z, 0.0), 0)


@triton.jit
def recurrence_kernel(factor, term, last, out, tokens, width, TIME: tl.constexpr, CHANNELS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < width
    carried = tl.load(last + row * width + channel, mask=inside, other=0.0)
    tl.store(out + (row * (tokens + 1) + tokens) * width + channel, carried, mask=inside)
    for back in range(0, tokens, TIME):
        # Tokens from the last to the first, so that a scan runs forward.
        time = tokens - 1 - back - tl.arange(0, TIME)
        there = (time >= 0)[:, None] & inside[None, :]
        place = (row * tokens + time)[:, None] * width + channel[None, :]
        a = tl.load(factor + place, mask=there, other=0.0)
        b = tl.load(term + place, mask=there, other=0.0)
        b = tl.where((tl.arange(0, TIME) == 0)[:, None], a * carried[None, :] + b, b)
        _, x = tl.associative_scan((a, b), 0, _compose)
        tl.store(out + (row * (tokens + 1) + time)[:, None] * width + channel[None, :], x, mask=there)
        end = tl.minimum(TIME, tokens - back) - 1
        carried = tl.sum(tl.where((tl.arange(0, TIME) == end)[:, None], x, 0.0), 0)


def log_sums(logit: Tensor, start: Tensor, resets: Tensor | None) -> Tensor:
    """z_0 … z_T, (B, T + 1, C) float32, with z_t = logaddexp(z_{t−1}, f_t), and z_t = logaddexp(0, f_t) at resets.

    Args:
        logit: f, (B, T, C), any floating dtype.
        start: z_0, (B, C) float32.
        resets: (B, T) bool.
    """
    batch, tokens, width = logit.shape
    out = torch.empty(batch, tokens + 1, width, dtype=torch.float32, device=logit.device)
    flags = start if resets is None else resets.contiguous().view(torch.uint8)
    time, channels = SUM_TILE
    log_sum_kernel[(batch, triton.cdiv(width, channels))](
        logit.contiguous(), start.contiguous(), flags, out, tokens, width,
        HAS_RESETS=resets is not None, TIME=time, CHANNELS=channels, num_warps=4,
    )  # fmt: skip
    return out


def recurrence_back(factor: Tensor, term: Tensor, last: Tensor) -> Tensor:
    """x_0 … x_T, (B, T + 1, C) float32: x_T = last (B, C), x_{t−1} = factor_t · x_t + term_t, both (B, T, C)."""
    batch, tokens, width = factor.shape
    out = torch.empty(batch, tokens + 1, width, dtype=torch.float32, device=factor.device)
    time, channels = RECURRENCE_TILE
    recurrence_kernel[(batch, triton.cdiv(width, channels))](
        factor.contiguous(), term.contiguous(), last.contiguous(), out, tokens, width,
        TIME=time, CHANNELS=channels, num_warps=4,
    )  # fmt: skip
    return out
