"""z_t = log(e^{z_0} + Σ_{s≤t} exp f_s) along time, starting again at documents, as a PyTorch operator for GPUs.

Its gradient is a linear recurrence backwards in time: with λ_t = exp(z_{t−1} − z_t), which is at most one,
dL/dz_{t−1} = own gradient + λ_t · dL/dz_t, and dL/df_t = exp(f_t − z_t) · dL/dz_t.
"""

import functools
import importlib.util
import os

import torch
from torch import Tensor


def is_available(logit: Tensor) -> bool:
    """Whether the kernels can serve logits like these."""
    on_device = logit.is_cuda or (logit.device.type == "cpu" and _interpreted())
    return on_device and logit.dtype != torch.float64 and _has_triton()


@torch.compiler.assume_constant_result
def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


@torch.compiler.assume_constant_result
def _has_triton() -> bool:
    return _triton_is_installed()


@functools.cache
def _triton_is_installed() -> bool:
    return importlib.util.find_spec("triton") is not None


@torch.library.custom_op(
    "decaystudy::running_log_sum",
    mutates_args=(),
    schema="(Tensor logit, Tensor start, Tensor? resets) -> Tensor",
)
def running_log_sum(logit, start, resets):
    """z_0 … z_T, (B, T + 1, C) float32; logit (B, T, C), start (B, C) float32, resets (B, T) bool or None."""
    from decaystudy.decay import scan_kernels

    with torch.cuda.device_of(logit):
        return scan_kernels.log_sums(logit, start, resets)


@running_log_sum.register_fake
def _(logit, start, resets):
    batch, tokens, width = logit.shape
    return logit.new_empty(batch, tokens + 1, width, dtype=torch.float32)


@torch.library.custom_op(
    "decaystudy::recurrence_back", mutates_args=(), schema="(Tensor factor, Tensor term, Tensor last) -> Tensor"
)
def _recurrence_back(factor, term, last):
    from decaystudy.decay import scan_kernels

    with torch.cuda.device_of(factor):
        return scan_kernels.recurrence_back(factor, term, last)


@_recurrence_back.register_fake
def _(factor, term, last):
    batch, tokens, width = factor.shape
    return factor.new_empty(batch, tokens + 1, width)


def _save(ctx, inputs, output):
    logit, _, resets = inputs
    ctx.save_for_backward(logit, resets, output)


def _differentiate(ctx, gradient):
    logit, resets, sums = ctx.saved_tensors
    before, after = sums[:, :-1], sums[:, 1:]
    factor = (before - after).exp()
    if resets is not None:
        factor = torch.where(resets[..., None], 0.0, factor)
    own = _recurrence_back(factor, gradient[:, :-1], gradient[:, -1])
    d_logit = (logit.float() - after).exp() * own[:, 1:]
    return d_logit.to(logit.dtype), own[:, 0], None


running_log_sum.register_autograd(_differentiate, setup_context=_save)
