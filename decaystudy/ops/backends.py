"""The backends and the choice between them.

A backend says in one sentence why it can't serve a call, or serves it. Those that need a GPU are modules of this
package with two functions, ``refusal(facts: CallFacts) -> str | None`` and ``run(call: AttentionCall) -> (o, state)``,
imported when they are asked for: `triton_kernels` are our own, `fla_kernels` those of flash-linear-attention.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from decaystudy.errors import UserError, unknown
from decaystudy.ops.call import AttentionCall, CallFacts, decay_at_resets


@dataclass(frozen=True)
class Backend:
    name: str
    run: Callable[[AttentionCall], tuple[Tensor, Tensor]]
    refusal: Callable[[CallFacts], str | None]
    """Why such calls can't be served; None if they can."""


def _run_recurrent(call: AttentionCall) -> tuple[Tensor, Tensor]:
    from decaystudy.ops import recurrent

    decay = call.channel_decay
    if call.beta is None:
        return recurrent.decay_attention(call.q, call.k, call.v, decay, call.initial_state, call.resets)
    return recurrent.dplr_attention(call.q, call.k, call.v, decay, call.beta, call.initial_state, call.resets)


def _run_chunked(call: AttentionCall) -> tuple[Tensor, Tensor]:
    from decaystudy.ops import chunked_operator

    # Inside chunks every factor is the exponential of a sum of log-decays, so −inf is an exact reset.
    decay = decay_at_resets(call.channel_decay, call.resets, -torch.inf)
    if call.beta is None:
        return chunked_operator.decay_attention(call.q, call.k, call.v, decay, call.initial_state)
    return chunked_operator.dplr_attention(call.q, call.k, call.v, decay, call.beta, call.initial_state)


def _run_fla(call: AttentionCall) -> tuple[Tensor, Tensor]:
    from decaystudy.ops import fla_kernels

    inputs = fla_kernels.inputs(call)
    if torch.compiler.is_compiling():
        from decaystudy.ops import fla_operator

        return fla_operator.attend(*inputs)
    return fla_kernels.attend(*inputs)


def _fla_refusal(facts: CallFacts) -> str | None:
    from decaystudy.ops import fla_kernels

    return fla_kernels.refusal(facts)


def _run_triton(call: AttentionCall) -> tuple[Tensor, Tensor]:
    from decaystudy.ops import triton_kernels

    return triton_kernels.run(call)


def _triton_refusal(facts: CallFacts) -> str | None:
    from decaystudy.ops import triton_kernels

    return triton_kernels.refusal(facts)


def _never(facts: CallFacts) -> None:
    return None


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("recurrent", _run_recurrent, _never),
        Backend("chunked", _run_chunked, _never),
        Backend("fla", _run_fla, _fla_refusal),
        Backend("triton", _run_triton, _triton_refusal),
    )
}
FASTEST_ON_CUDA = ("triton", "fla")
"""The order in which ``auto`` asks the backends on a GPU: benchmarks/RESULTS.md has their times."""
WITH_TF32 = ("fla",)
"""Backends that round the factors of float32 products to TF32's ten bits."""


def choose(facts: CallFacts, name: str) -> Backend:
    """The backend of that name, or for ``auto`` the one that suits the call; an error if it can't serve it."""
    if name == "auto":
        return _automatic(facts)
    if name not in BACKENDS:
        raise unknown("backend", name, ("auto", *BACKENDS))
    backend = BACKENDS[name]
    if reason := backend.refusal(facts):
        raise UserError(
            f"backend {name!r} can't serve this {facts.operator}: {reason}; backend 'auto' finds one that can"
        )
    return backend


def _automatic(facts: CallFacts) -> Backend:
    if facts.tokens == 1:
        return BACKENDS["recurrent"]
    if facts.device.type == "cuda":
        for name in FASTEST_ON_CUDA:
            if _obstacle(facts, name) is None:
                return BACKENDS[name]
    return BACKENDS["chunked"]


def _obstacle(facts: CallFacts, name: str) -> str | None:
    """Why ``auto`` doesn't take a backend for such calls; None if it may."""
    if name in WITH_TF32 and facts.dtype == torch.float32 and not _tf32_is_allowed():
        return "it rounds the factors of float32 products to ten bits, which PyTorch is not set to allow"
    return BACKENDS[name].refusal(facts)


def passed_over(facts: CallFacts) -> dict[str, str]:
    """Why ``auto`` doesn't take a backend that is faster than the one it takes, by name."""
    reasons: dict[str, str] = {}
    for name in FASTEST_ON_CUDA if facts.tokens > 1 else ():
        reason = _obstacle(facts, name) if facts.device.type == "cuda" else BACKENDS[name].refusal(facts)
        if reason is None:
            break
        reasons[name] = reason
    return reasons


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _tf32_is_allowed() -> bool:
    # PyTorch 2.9 and later have a setting of their own, and raise where both have been used.
    setting = getattr(torch.backends.cuda.matmul, "fp32_precision", None)
    return torch.get_float32_matmul_precision() != "highest" if setting is None else setting == "tf32"
