"""LightNet's decay and its gradient on a GPU: one scan over time each, which reads and writes its tensors once.

One program scans some channels of one row. Every step of a scan adds positive numbers or multiplies by factors of at
most one, so no digits are lost whatever the logits are. Triton is imported here at once.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

FORWARD_TILE = (16, 16)
BACKWARD_TILE = (64, 32)
"""Tokens and channels: the fastest of twelve on an H100 at 16 × 2048 tokens of 768 channels, of the scans alone."""


@triton.jit
def _log1p(x):
    """log(1 + x) for 0 ≤ x ≤ 1 to float32's relative precision: 2 artanh(w) with w = x / (2 + x) ≤ 1/3."""
    w = x / (2.0 + x)
    square = w * w
    series = 1.0 / 15.0
    series = 1.0 / 13.0 + square * series
    series = 1.0 / 11.0 + square * series
    series = 1.0 / 9.0 + square * series
    series = 1.0 / 7.0 + square * series
    series = 1.0 / 5.0 + square * series
    series = 1.0 / 3.0 + square * series
    return 2.0 * w * (1.0 + square * series)


@triton.jit
def _one_minus_exp(x):
    """1 − e^x for x ≤ 0 to float32's relative precision: a series near zero, where the difference would lose digits."""
    near = tl.maximum(x, -0.5)
    series = 1.0 + near / 9.0
    series = 1.0 + near / 8.0 * series
    series = 1.0 + near / 7.0 * series
    series = 1.0 + near / 6.0 * series
    series = 1.0 + near / 5.0 * series
    series = 1.0 + near / 4.0 * series
    series = 1.0 + near / 3.0 * series
    series = 1.0 + near / 2.0 * series
    return tl.where(x > -0.5, -near * series, 1.0 - tl.exp(x))


@triton.jit
def _log_add(left, right):
    return tl.maximum(left, right) + _log1p(tl.exp(-tl.abs(left - right)))


@triton.jit
def _join(left, left_cut, right, right_cut):
    """Two stretches joined: the log-sum of both, or of the right one alone where a document starts in it."""
    return tl.where(right_cut != 0, right, _log_add(left, right)), left_cut | right_cut


@triton.jit
def _compose(left_factor, left_term, right_factor, right_term):
    """x → right_factor · (left_factor · x + left_term) + right_term."""
    return left_factor * right_factor, right_factor * left_term + right_term


@triton.jit
def decay_kernel(
    logit, start, resets, out, final, tokens, width,
    HAS_RESETS: tl.constexpr, TIME: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < width
    carried = tl.load(start + row * width + channel, mask=inside, other=0.0)
    for first in range(0, tokens, TIME):
        time = first + tl.arange(0, TIME)
        there = (time < tokens)[:, None] & inside[None, :]
        place = (row * tokens + time)[:, None] * width + channel[None, :]
        f = tl.load(logit + place, mask=there, other=0.0).to(tl.float32)
        # z before each token is the log-sum of z before the tile and of f up to the token before.
        earlier = tl.load(logit + place - width, mask=there & (time > 0)[:, None], other=-1e30).to(tl.float32)
        cut = tl.zeros([TIME, CHANNELS], dtype=tl.int32)
        joined = tl.where((time > 0)[:, None], _log_add(carried[None, :], earlier), carried[None, :])
        z = tl.where((tl.arange(0, TIME) == 0)[:, None], joined, earlier)
        if HAS_RESETS:
            starts = tl.load(resets + row * tokens + time, mask=time < tokens, other=0).to(tl.int32)
            cut += starts[:, None]
            z = tl.where(cut != 0, 0.0, z)  # a document begins with the constant 1 = e^0
        z, _ = tl.associative_scan((z, cut), 0, _join)
        above = f - z
        tl.store(out + place, -(tl.maximum(above, 0.0) + _log1p(tl.exp(-tl.abs(above)))), mask=there)
        last = (tl.arange(0, TIME) == tl.minimum(first + TIME, tokens) - 1 - first)[:, None]
        carried = tl.sum(tl.where(last, z, 0.0), 0)
    closing = tl.load(logit + (row * tokens + tokens - 1) * width + channel, mask=inside, other=0.0).to(tl.float32)
    tl.store(final + row * width + channel, _log_add(carried, closing), mask=inside)


@triton.jit
def gradient_kernel(
    log_decay, resets, d_log_decay, d_final, d_logit, d_start, tokens, width,
    HAS_RESETS: tl.constexpr, TIME: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < width
    carried = tl.load(d_final + row * width + channel, mask=inside, other=0.0)  # dL/dz after the last token of a tile
    for back in range(0, tokens + 1, TIME):
        # Tokens from the last to the first, so that a scan runs forward; z after token −1 is z_0.
        time = tokens - 1 - back - tl.arange(0, TIME)
        wide = inside[None, :]
        place = (row * tokens + time)[:, None] * width + channel[None, :]
        later = ((time + 1 >= 0) & (time + 1 < tokens))[:, None] & wide
        y = tl.load(log_decay + place + width, mask=later, other=0.0)
        factor = tl.exp(y)
        term = _one_minus_exp(y) * tl.load(d_log_decay + place + width, mask=later, other=0.0)
        if HAS_RESETS:
            starts = tl.load(resets + row * tokens + time + 1, mask=(time + 1 >= 0) & (time + 1 < tokens), other=0).to(
                tl.int32
            )
            factor = tl.where((starts != 0)[:, None], 0.0, factor)
            term = tl.where((starts != 0)[:, None], 0.0, term)
        term = tl.where((tl.arange(0, TIME) == 0)[:, None], factor * carried[None, :] + term, term)
        _, after = tl.associative_scan((factor, term), 0, _compose)
        there = (time >= 0)[:, None] & wide
        share = _one_minus_exp(tl.load(log_decay + place, mask=there, other=0.0))
        own = tl.load(d_log_decay + place, mask=there, other=0.0)
        tl.store(d_logit + place, (share * (after - own)).to(d_logit.dtype.element_ty), mask=there)
        tl.store(d_start + row * width + channel[None, :] + time[:, None] * 0, after, mask=(time == -1)[:, None] & wide)
        carried = tl.sum(tl.where((tl.arange(0, TIME) == TIME - 1)[:, None], after, 0.0), 0)


def log_decays(logit: Tensor, start: Tensor, resets: Tensor | None) -> tuple[Tensor, Tensor]:
    """log λ (B, T, C) and z_T (B, C), float32.

    Args:
        logit: f, (B, T, C), any floating dtype.
        start: z_0, (B, C) float32.
        resets: (B, T) bool.
    """
    batch, tokens, width = logit.shape
    out = torch.empty(batch, tokens, width, dtype=torch.float32, device=logit.device)
    final = torch.empty(batch, width, dtype=torch.float32, device=logit.device)
    time, channels = FORWARD_TILE
    decay_kernel[(batch, triton.cdiv(width, channels))](
        logit.contiguous(), start.contiguous(), _flags(resets, start), out, final, tokens, width,
        HAS_RESETS=resets is not None, TIME=time, CHANNELS=channels, num_warps=4,
    )  # fmt: skip
    return out, final


def gradients(
    log_decay: Tensor, resets: Tensor | None, d_log_decay: Tensor, d_final: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Gradients of f (B, T, C), of that dtype, and of z_0 (B, C) float32, from those of log λ and z_T, float32."""
    batch, tokens, width = log_decay.shape
    d_logit = torch.empty(log_decay.shape, dtype=dtype, device=log_decay.device)
    d_start = torch.empty(batch, width, dtype=torch.float32, device=log_decay.device)
    time, channels = BACKWARD_TILE
    gradient_kernel[(batch, triton.cdiv(width, channels))](
        log_decay.contiguous(), _flags(resets, log_decay), d_log_decay.contiguous(), d_final.contiguous(),
        d_logit, d_start, tokens, width,
        HAS_RESETS=resets is not None, TIME=time, CHANNELS=channels, num_warps=4,
    )  # fmt: skip
    return d_logit, d_start


def _flags(resets: Tensor | None, unused: Tensor) -> Tensor:
    """The resets as bytes; where there are none, a tensor that the kernel never reads."""
    return unused if resets is None else resets.contiguous().view(torch.uint8)
