"""flash-linear-attention's Triton kernels (https://github.com/fla-org/flash-linear-attention) behind our interface.

One decay per channel: `chunk_gla`. One per head: `chunk_simple_gla`, or `chunk_gla` with the decay repeated where the
former is known to be wrong. DPLR: `chunk_kda`, whose transition (I − β k kᵀ) diag(λ) is ours.
The package is imported when a call needs it (that takes seconds).
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable
from importlib import metadata

import torch
from torch import Tensor

from decaystudy.ops.call import AttentionCall, CallFacts, decay_at_resets, per_channel

CHANNELS = (16, 256)
"""Fewest (a tensor core's tile) and most (the kernels hold a key whole) channels per head."""
FORGETS = -200.0
"""Stands for −inf: exp(−200) is zero in float32, and so are its products with anything a float32 state can hold."""


def refusal(facts: CallFacts) -> str | None:
    """Why these kernels can't serve such calls, or None."""
    widths = (facts.key_width, facts.value_width)
    if facts.device.type != "cuda":
        return f"its kernels need an NVIDIA GPU and the tensors are on {facts.device}"
    if facts.dtype == torch.float64:
        return "its kernels have no float64"
    if min(widths) < CHANNELS[0] or max(widths) > CHANNELS[1]:
        return f"its kernels take {CHANNELS[0]} to {CHANNELS[1]} channels per head, not {widths[0]} and {widths[1]}"
    if facts.dplr and facts.dtype == torch.float32:
        return "its DPLR kernel is made for bfloat16 and float16"
    reason: str | None = _why_not("fla.ops.kda" if facts.dplr else "fla.ops.gla")
    return reason


Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None]
"""q, k, v, log_decay, beta, initial_state."""


def inputs(call: AttentionCall) -> Inputs:
    """What `attend` takes, of a call that `refusal` lets pass."""
    dtype = call.q.dtype
    # The kernels turn −inf into NaN. Neither `clamp` nor the selection passes a gradient on where it changes something.
    decay = decay_at_resets(call.log_decay.clamp(min=FORGETS), call.resets, FORGETS)
    beta = None if call.beta is None else call.beta.to(dtype)
    if not call.facts.scalar or call.facts.dplr or _scalar_kernel_is_wrong(call.q.device.index or 0):
        decay = per_channel(decay).expand_as(call.q).contiguous()
    return call.q, call.k.to(dtype), call.v.to(dtype), decay, beta, call.initial_state


def attend(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor | None, initial_state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """o and the final state by the kernel that suits, in a single call; arguments as ``inputs`` returns them."""
    arguments = {"q": q, "k": k, "v": v, "scale": 1.0, "initial_state": initial_state, "output_final_state": True}
    if beta is not None:
        return _kernel("kda")(g=log_decay, beta=beta, **arguments)
    return _kernel("simple_gla" if log_decay.dim() == 3 else "gla")(g=log_decay, **arguments)


def _kernel(family: str) -> Callable[..., tuple[Tensor, Tensor]]:
    """``chunk_<family>`` of ``fla.ops.<family>``."""
    module = importlib.import_module(f"fla.ops.{family}")
    kernel: Callable[..., tuple[Tensor, Tensor]] = getattr(module, f"chunk_{family}")
    return kernel


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _why_not(kernels: str) -> str | None:
    return _missing(kernels)


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


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _scalar_kernel_is_wrong(device: int) -> bool:
    return _is_wrong(device)


@functools.cache
def _is_wrong(device: int) -> bool:
    """On Hopper, triton from 3.4 to before 3.7.1 miscompiles its backward pass, which therefore raises."""
    version = tuple(int(part) for part in metadata.version("triton").split("+")[0].split(".")[:3] if part.isdigit())
    return torch.cuda.get_device_capability(device)[0] == 9 and (3, 4) <= version < (3, 7, 1)
