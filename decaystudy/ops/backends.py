"""The backends and the choice between them.

A backend says in one sentence why it can't serve a call, or serves it. One that is optional is a module of this
package with two functions, ``refusal(call) -> str | None`` and ``run(call) -> (o, state)``, imported when it is asked
for: `fla_kernels` for ``fla``, and `triton_kernels` for ``triton``, which this version doesn't have.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from decaystudy.errors import UserError, unknown


@dataclass(frozen=True)
class Call:
    """The checked arguments of a call; with beta it is a DPLR one. Shapes as in `decay_attention`."""

    q: Tensor
    k: Tensor
    v: Tensor
    log_decay: Tensor
    beta: Tensor | None
    initial_state: Tensor | None

    @property
    def scalar(self) -> bool:
        """Whether there is one decay a head."""
        return self.log_decay.dim() == 3

    @property
    def channel_decay(self) -> Tensor:
        """log_decay as (B, T, H, 1) or (B, T, H, Dk)."""
        return self.log_decay.unsqueeze(-1) if self.scalar else self.log_decay

    def named(self) -> str:
        return "DPLR attention" if self.beta is not None else "decay attention"


@dataclass(frozen=True)
class Backend:
    name: str
    run: Callable[[Call], tuple[Tensor, Tensor]]
    refusal: Callable[[Call], str | None]
    """Why the call can't be served; None if it can."""


def _run_recurrent(call: Call) -> tuple[Tensor, Tensor]:
    from decaystudy.ops import recurrent

    decay = call.channel_decay
    if call.beta is None:
        return recurrent.decay_attention(call.q, call.k, call.v, decay, call.initial_state)
    return recurrent.dplr_attention(call.q, call.k, call.v, decay, call.beta, call.initial_state)


def _run_chunked(call: Call) -> tuple[Tensor, Tensor]:
    from decaystudy.ops.chunked import ChunkedDecayAttention
    from decaystudy.ops.chunked_dplr import ChunkedDPLRAttention

    decay = call.channel_decay
    if call.beta is None:
        return ChunkedDecayAttention.apply(call.q, call.k, call.v, decay, call.initial_state)
    return ChunkedDPLRAttention.apply(call.q, call.k, call.v, decay, call.beta, call.initial_state)


def _optional(name: str, module: str, missing: str) -> Backend:
    """A backend in a module of its own, imported lazily and perhaps absent."""

    def load():
        return importlib.import_module(f"{__package__}.{module}")

    def refusal(call: Call) -> str | None:
        if importlib.util.find_spec(f"{__package__}.{module}") is None:
            return missing
        return load().refusal(call)

    return Backend(name, lambda call: load().run(call), refusal)


def _never(call: Call) -> None:
    return None


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("recurrent", _run_recurrent, _never),
        Backend("chunked", _run_chunked, _never),
        _optional("fla", "fla_kernels", "the module is missing"),
        _optional("triton", "triton_kernels", "this version of decaystudy has no Triton kernels of its own"),
    )
}
FASTEST_ON_CUDA = ("triton", "fla")
"""In this order ``auto`` asks the backends on a GPU."""
WITH_TF32 = ("fla",)
"""Backends that round the factors of float32 products to TF32's ten bits."""


def choose(call: Call, name: str) -> Backend:
    """The backend of that name, or for ``auto`` the one that suits the call; an error if it can't serve it."""
    if name == "auto":
        return _automatic(call)
    if name not in BACKENDS:
        raise unknown("backend", name, ("auto", *BACKENDS))
    backend = BACKENDS[name]
    if reason := backend.refusal(call):
        raise UserError(
            f"backend {name!r} can't serve this {call.named()}: {reason}; backend 'auto' finds one that can"
        )
    return backend


def _automatic(call: Call) -> Backend:
    if call.q.shape[1] == 1:
        return BACKENDS["recurrent"]
    if call.q.device.type == "cuda":
        exact = call.q.dtype == torch.float32 and not _tf32_is_allowed()
        for name in FASTEST_ON_CUDA:
            if not (exact and name in WITH_TF32) and BACKENDS[name].refusal(call) is None:
                return BACKENDS[name]
    return BACKENDS["chunked"]


def _tf32_is_allowed() -> bool:
    # PyTorch 2.9 and later have a setting of their own, and raise where both have been used.
    setting = getattr(torch.backends.cuda.matmul, "fp32_precision", None)
    return torch.get_float32_matmul_precision() != "highest" if setting is None else setting == "tf32"
