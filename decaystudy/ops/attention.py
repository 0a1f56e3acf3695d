"""The public functions: check a call, choose a backend, run it."""

import torch
from torch import Tensor

from decaystudy.errors import UserError
from decaystudy.ops.backends import choose
from decaystudy.ops.call import AttentionCall
from decaystudy.ops.precision import full_precision


def decay_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    *,
    resets: Tensor | None = None,
    initial_state: Tensor | None = None,
    return_state: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor | None]:
    """Linear attention with decay: s_t = diag(exp(log_decay_t)) s_{t−1} + k_t v_tᵀ, o_t = s_tᵀ q_t (scale 1).

    The recurrence of *Elucidating the Design Space of Decay in Linear Attention* (arXiv 2509.05282).

    Args:
        q, k: (B, T, H, Dk), T ≥ 1; float64, float32, bfloat16 or float16.
        v: (B, T, H, Dv).
        log_decay: natural logarithm of λ ≤ 1: (B, T, H), one per head, or (B, T, H, Dk), one per channel. −inf forgets
            all that was before. float32, or float64 where q is: bfloat16 would round every λ above 0.998 to one.
        resets: (B, T) bool, true at a document's first token: no state crosses it, as if λ were 0 there.
        initial_state: s_0 (B, H, Dk, Dv) in log_decay's dtype; zeros if None.
        return_state: also return s_T.
        backend: ``auto``, ``recurrent`` (the sequential reference), ``chunked`` (plain PyTorch, exact),
            ``fla`` (flash-linear-attention's kernels) or ``triton`` (our own, exact; for 16 to 256 channels per head).
            ``auto`` takes ``recurrent`` for one token, on CUDA the fastest backend that can serve the call, and else
            ``chunked``. In float32 ``fla`` multiplies in TF32, so ``auto`` takes it only after
            ``torch.set_float32_matmul_precision("high")``.

    Returns:
        o (B, T, H, Dv) in q's dtype, computed and accumulated in log_decay's dtype (``fla`` multiplies in q's), and
        s_T (B, H, Dk, Dv) in log_decay's dtype, or None.
        Gradients flow to every tensor; that of log_decay is zero where it is −inf and at resets. No token's output
        depends on a later token, not even in its rounding (if all are finite). Nothing from before a reset is in an
        output, a state or a gradient of what comes after it (if it is finite).

    Raises:
        UserError: shapes or dtypes that don't fit, an unknown backend, or one that can't serve this call.
    """
    _check(q, k, v, log_decay, initial_state, resets)
    return _run(AttentionCall(q, k, v, log_decay, None, initial_state, resets), return_state, backend)


def dplr_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    beta: Tensor,
    *,
    resets: Tensor | None = None,
    initial_state: Tensor | None = None,
    return_state: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor | None]:
    """Decay attention with a diagonal plus low-rank transition, the delta rule under decay.

    s_t = (I − β_t k_t k_tᵀ) diag(exp(log_decay_t)) s_{t−1} + β_t k_t v_tᵀ, o_t = s_tᵀ q_t (section 5.6 of
    arXiv 2509.05282). It is stable for k of unit length and β in [0, 2]; neither is checked.

    Args:
        beta: (B, T, H), any floating dtype.

    The other arguments, what it returns and its errors are those of `decay_attention`.
    """
    _check(q, k, v, log_decay, initial_state, resets)
    _check_like("beta", beta, q.shape[:3], q)
    return _run(AttentionCall(q, k, v, log_decay, beta, initial_state, resets), return_state, backend)


def _run(call: AttentionCall, return_state: bool, backend: str) -> tuple[Tensor, Tensor | None]:
    with full_precision(call.q.device):
        o, state = choose(call.facts, backend).run(call)
    return o, state if return_state else None


def _check(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, initial_state: Tensor | None, resets: Tensor | None
) -> None:
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.dim() != 4:
            raise UserError(f"{name} has shape {tuple(x.shape)}: decay attention needs (batch, time, heads, channels)")
    if not q.is_floating_point():
        raise UserError(f"q is {_name(q.dtype)}: decay attention needs a floating dtype")
    if q.shape[1] < 1:
        raise UserError(f"q has shape {tuple(q.shape)}: decay attention needs at least one token")
    _check_like("k", k, q.shape, q)
    _check_like("v", v, (*q.shape[:3], v.shape[-1]), q)
    shape = q.shape[:3] if log_decay.dim() == 3 else q.shape
    _check_like("log_decay", log_decay, shape, q)
    working = torch.float64 if q.dtype == torch.float64 else torch.float32
    if log_decay.dtype != working:
        raise UserError(
            f"log_decay is {_name(log_decay.dtype)} where q is {_name(q.dtype)}: pass it as {_name(working)}, "
            "computed in that precision"
        )
    if initial_state is not None:
        _check_like("initial_state", initial_state, (q.shape[0], q.shape[2], q.shape[3], v.shape[3]), q)
        if initial_state.dtype != working:
            raise UserError(
                f"initial_state is {_name(initial_state.dtype)} where q is {_name(q.dtype)}: pass it as "
                f"{_name(working)}, as decay attention returns it"
            )
    if resets is not None:
        _check_resets(resets, q)


def _check_resets(resets: Tensor, q: Tensor) -> None:
    if resets.shape != q.shape[:2]:
        raise UserError(
            f"resets has shape {tuple(resets.shape)}: with q {tuple(q.shape)} it must be {tuple(q.shape[:2])}, one "
            "entry per token"
        )
    if resets.dtype != torch.bool:
        raise UserError(f"resets is {_name(resets.dtype)}: pass bool, true at a document's first token")
    if resets.device != q.device:
        raise UserError(f"resets is on {resets.device} and q on {q.device}: move them to one device")


def _check_like(name: str, x: Tensor, shape: tuple[int, ...], q: Tensor) -> None:
    if x.shape != tuple(shape):
        also = f" or {tuple(q.shape)}" if name == "log_decay" and x.dim() == 3 else ""
        raise UserError(f"{name} has shape {tuple(x.shape)}: with q {tuple(q.shape)} it must be {tuple(shape)}{also}")
    if not x.is_floating_point():
        raise UserError(f"{name} is {_name(x.dtype)}: decay attention needs a floating dtype")
    if x.device != q.device:
        raise UserError(f"{name} is on {x.device} and q on {q.device}: move them to one device")
    if name in ("k", "v", "beta") and (x.dtype == torch.float64) and (q.dtype != torch.float64):
        raise UserError(f"{name} is float64 and q {_name(q.dtype)}: convert one of them")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
