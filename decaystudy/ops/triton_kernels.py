"""The backend of our own Triton kernels: decay attention, exact for every log-decay, with resets.

The kernels run in chunks of 64 tokens. `triton_carry` carries the state from chunk to chunk, `triton_forward` and
`triton_backward` make each chunk's outputs and gradients, all chunks at once; `triton_levels` says how decays stay
exact, `triton_launch` starts the kernels and `triton_operator` makes them a PyTorch operator. One log-decay per head
has kernels of its own: `triton_scalar`, `triton_scalar_backward` and `triton_scalar_launch`. Triton is imported when a
call needs it.
"""

import functools
import importlib
import importlib.util
import os
from importlib import metadata

import torch
from torch import Tensor

from decaystudy.ops.call import AttentionCall, CallFacts

CHANNELS = (16, 256)
"""Fewest (a tensor core's tile) and most channels per head."""
OLDEST_TRITON = (3, 6)


def refusal(facts: CallFacts) -> str | None:
    """Why these kernels can't serve such calls, or None."""
    widths = (facts.key_width, facts.value_width)
    kind = facts.device.type
    if facts.dplr:
        return "its kernels have no DPLR attention"
    if kind != "cuda" and not (kind == "cpu" and _interpreted()):
        return f"its kernels need an NVIDIA GPU and the tensors are on {facts.device}"
    if facts.dtype == torch.float64:
        return "its kernels have no float64"
    if min(widths) < CHANNELS[0] or max(widths) > CHANNELS[1]:
        return f"its kernels take {CHANNELS[0]} to {CHANNELS[1]} channels per head, not {widths[0]} and {widths[1]}"
    missing: str | None = _missing()
    return missing


def run(call: AttentionCall) -> tuple[Tensor, Tensor]:
    """Serve a call that `refusal` lets pass."""
    from decaystudy.ops.triton_operator import decay_attention

    dtype = call.q.dtype
    return decay_attention(call.q, call.k.to(dtype), call.v.to(dtype), call.log_decay, call.resets, call.initial_state)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _interpreted() -> bool:
    """Whether Triton's interpreter runs the kernels, on CPU tensors."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _missing() -> str | None:
    return _look_for_triton()


@functools.cache
def _look_for_triton() -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed (pip install 'decaystudy[gpu]')"
    version = metadata.version("triton")
    if tuple(int(part) for part in version.split("+")[0].split(".")[:2]) < OLDEST_TRITON:
        return f"its kernels need triton {OLDEST_TRITON[0]}.{OLDEST_TRITON[1]} or later, not {version}"
    try:
        importlib.import_module("triton.language")
    except Exception as error:  # a broken installation may fail in any way
        reason = str(error).strip().partition("\n")[0]
        return f"triton {version} can't be imported ({type(error).__name__}: {reason})"
    return None
