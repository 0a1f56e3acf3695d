"""flash-linear-attention's Triton kernels (https://github.com/fla-org/flash-linear-attention) behind our interface.

One decay a channel: `chunk_gla`. One decay a head: `chunk_simple_gla`, or `chunk_gla` with the decay repeated where the
former is known to be wrong. DPLR: `chunk_kda`, whose transition (I − β k kᵀ) diag(λ) is ours.
The package is imported when a call needs it (that takes seconds).
"""

import functools
import importlib
import importlib.util
from importlib import metadata

import torch
from torch import Tensor

from decaystudy.ops.backends import Call

CHANNELS = (16, 256)
"""Fewest (a tensor core's tile) and most (the kernels hold a key whole) channels a head."""


def refusal(call: Call) -> str | None:
    """Why these kernels can't serve the call, or None. On CUDA it waits for log_decay, to look for −inf in it."""
    device, dtype, channels = call.q.device, call.q.dtype, (call.q.shape[-1], call.v.shape[-1])
    if device.type != "cuda":
        return f"its kernels need an NVIDIA GPU and the tensors are on {device}"
    if dtype == torch.float64:
        return "its kernels have no float64"
    if min(channels) < CHANNELS[0] or max(channels) > CHANNELS[1]:
        return f"its kernels take {CHANNELS[0]} to {CHANNELS[1]} channels a head, not {channels[0]} and {channels[1]}"
    if call.beta is not None and dtype == torch.float32:
        return "its DPLR kernel is made for bfloat16 and float16"
    if missing := _missing("fla.ops.kda" if call.beta is not None else "fla.ops.gla"):
        return missing
    if bool(torch.isneginf(call.log_decay).any()):
        return "its kernels turn a log decay of -inf into NaN"
    return None


def run(call: Call) -> tuple[Tensor, Tensor]:
    """Serve a call that `refusal` lets pass."""
    q, k, v = call.q, call.k.to(call.q.dtype), call.v.to(call.q.dtype)
    options = {"scale": 1.0, "initial_state": call.initial_state, "output_final_state": True}
    if call.beta is None and call.scalar and not _scalar_kernel_is_wrong(q.device.index or 0):
        from fla.ops.simple_gla import chunk_simple_gla

        return chunk_simple_gla(q=q, k=k, v=v, g=call.log_decay, **options)
    decay = call.channel_decay.expand_as(q).contiguous()
    if call.beta is None:
        from fla.ops.gla import chunk_gla

        return chunk_gla(q=q, k=k, v=v, g=decay, **options)
    from fla.ops.kda import chunk_kda

    return chunk_kda(q=q, k=k, v=v, g=decay, beta=call.beta.to(q.dtype), **options)


@functools.cache
def _missing(kernels: str) -> str | None:
    for module, package in (("triton", "triton"), ("fla", "flash-linear-attention")):
        if importlib.util.find_spec(module) is None:
            return f"{package} is not installed (pip install 'decaystudy[gpu]')"
    try:
        importlib.import_module(kernels)
    except Exception as error:  # a third party's import may fail in any way
        reason = str(error).strip().partition("\n")[0]
        return f"flash-linear-attention's {kernels} can't be imported ({type(error).__name__}: {reason})"
    return None


@functools.cache
def _scalar_kernel_is_wrong(device: int) -> bool:
    """On Hopper, triton from 3.4 to before 3.7.1 miscompiles its backward pass, which therefore raises."""
    version = tuple(int(part) for part in metadata.version("triton").split("+")[0].split(".")[:3] if part.isdigit())
    return torch.cuda.get_device_capability(device)[0] == 9 and (3, 4) <= version < (3, 7, 1)
