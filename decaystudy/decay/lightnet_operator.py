"""LightNet's log λ as a PyTorch operator for GPUs, which keeps nothing for its gradient but log λ itself.

With z_t = logaddexp(z_{t−1}, f_t), log λ_t = z_{t−1} − z_t and s_t = 1 − λ_t = exp(f_t − z_t), every derivative is
made of λ: dz_t/dz_{t−1} = λ_t, dz_t/df_t = s_t, and dlog λ_t/dz_{t−1} = s_t = −dlog λ_t/df_t. So backwards in time

    dL/dz_{t−1} = λ_t · dL/dz_t + s_t · dL/dlog λ_t,    dL/df_t = s_t · (dL/dz_t − dL/dlog λ_t),

where nothing goes on beyond a reset. The operator on log λ keeps it anyway.
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
    "decaystudy::lightnet_decay",
    mutates_args=(),
    schema="(Tensor logit, Tensor start, Tensor? resets) -> (Tensor, Tensor)",
)
def lightnet_decay(logit, start, resets):
    """log λ (B, T, C) and z_T (B, C), float32.

    Args:
        logit: f, (B, T, C).
        start: z_0, (B, C) float32.
        resets: (B, T) bool, or None.
    """
    from decaystudy.decay import lightnet_kernels

    with torch.cuda.device_of(logit):
        return lightnet_kernels.log_decays(logit, start, resets)


@lightnet_decay.register_fake
def _(logit, start, resets):
    return logit.new_empty(logit.shape, dtype=torch.float32), start.new_empty(start.shape, dtype=torch.float32)


@torch.library.custom_op(
    "decaystudy::lightnet_decay_backward",
    mutates_args=(),
    schema="(Tensor log_decay, Tensor? resets, Tensor d_log_decay, Tensor d_final, ScalarType dtype)"
    " -> (Tensor, Tensor)",
)
def _backward(log_decay, resets, d_log_decay, d_final, dtype):
    from decaystudy.decay import lightnet_kernels

    with torch.cuda.device_of(log_decay):
        return lightnet_kernels.gradients(log_decay, resets, d_log_decay, d_final, dtype)


@_backward.register_fake
def _(log_decay, resets, d_log_decay, d_final, dtype):
    return log_decay.new_empty(log_decay.shape, dtype=dtype), d_final.new_empty(d_final.shape)


def _save(ctx, inputs, output):
    logit, _, resets = inputs
    ctx.save_for_backward(output[0], resets)
    ctx.dtype = logit.dtype


def _differentiate(ctx, d_log_decay, d_final):
    log_decay, resets = ctx.saved_tensors
    return *_backward(log_decay, resets, d_log_decay, d_final, ctx.dtype), None


lightnet_decay.register_autograd(_differentiate, setup_context=_save)
