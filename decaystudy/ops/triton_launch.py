"""Launching the Triton kernels: buffers, precision and launch configurations, from shapes, dtypes and the device.

The kernels here are those of a log-decay per channel.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from decaystudy.ops import triton_levels
from decaystudy.ops.triton_backward import gradient_kernel, value_gradient_kernel
from decaystudy.ops.triton_carry import carry_kernel
from decaystudy.ops.triton_forward import output_kernel

CHUNK: int = triton_levels.CHUNK.value
LEVELS: int = triton_levels.LEVELS.value

INTERPRETED = type(carry_kernel).__name__ == "InterpretedFunction"
"""Whether TRITON_INTERPRET=1 was set when the kernels were defined: then they run on CPU tensors."""


@dataclass(frozen=True)
class Config:
    """How a kernel is launched."""

    keys: int
    """Channels of keys that a program works on at once."""
    values: int
    """Channels of values."""
    warps: int = 4
    stages: int = 1
    registers: int | None = None
    """At most so many per thread, so that more programs run at a time; the compiler's choice if None."""


CARRY = Config(keys=32, values=128, stages=3)
OUTPUT = Config(keys=64, values=128)
VALUE_GRADIENT = Config(keys=64, values=128, stages=2)
GRADIENT = Config(keys=32, values=128)
SAFE = Config(keys=32, values=64, warps=2)
"""Of any kernel in float32 and float16 and at other widths than WIDTHS. Two warps multiply by mma instructions. Those
of four, wgmma, need addresses in shared memory that ptxas 12.8 (Triton 3.6) loses in some kernels at some widths: wrong
results or illegal accesses."""
WIDTHS = (64, 128)
"""Channels per head at which the configurations above were verified on a GPU, in bfloat16."""


@dataclass(frozen=True)
class Precision:
    name: str
    """As the kernels call it."""
    dot: str
    """input_precision of products of float32."""
    stored: torch.dtype
    """Of states and scores."""


def precision(dtype: torch.dtype) -> Precision:
    """Of a call whose q has this dtype."""
    if dtype == torch.float32:
        return Precision("fp32", "tf32x3", torch.float32)
    if dtype == torch.float16:
        return Precision("fp16", "tf32", torch.float32)
    return Precision("bf16", "tf32", torch.float32 if INTERPRETED else torch.bfloat16)


@functools.cache
def member_matrices(device: torch.device) -> Tensor:
    """Which log-decays u the factor of token i holds, (LEVELS + 3, CHUNK, CHUNK) of 0 and 1 at [·, i, u].

    In a right half those from the half's start to i, in a left one those after i to its end. Then READ: those of the
    chunk up to i; WRITE: those after i; EVERY: all.
    """
    i, u = torch.arange(CHUNK)[:, None], torch.arange(CHUNK)[None, :]
    until = u <= i
    levels = [(i >> n == u >> n) & (until == ((i >> n) % 2 == 1)) for n in range(LEVELS)]
    members = torch.stack([*levels, until, ~until, until | ~until])
    return members.to(torch.float32 if INTERPRETED else torch.float16).to(device)


def ceilings(resets: Tensor | None) -> Tensor | None:
    """What log-decays may be at most, (B, T) float32: the kernels' −inf at resets (B, T), +inf elsewhere."""
    if resets is None:
        return None
    return torch.where(resets, triton_levels.CUT.value, torch.inf)


def launch_options(config: Config, q: Tensor, v: Tensor) -> dict[str, object]:
    """What all kernels take in the end."""
    keys, values = q.shape[-1], v.shape[-1]
    kind = precision(q.dtype)
    if kind.name != "bf16" or not {keys, values} <= {*WIDTHS}:
        config = SAFE
    return {
        "DK": keys,
        "DV": values,
        "BK": min(config.keys, 64 if keys <= 64 else 128),
        "BV": min(config.values, 64 if values <= 64 else 128),
        "PRECISION": kind.name,
        "DOT": kind.dot,
        "INTERPRETED": INTERPRETED,
        "num_warps": config.warps,
        "num_stages": config.stages,
        "maxnreg": config.registers,
        "enable_fp_fusion": True,
    }


def tiles(width: int, tile: object) -> int:
    assert isinstance(tile, int)
    return -(-width // tile)


def strides(*tensors: Tensor) -> list[int]:
    """Those of batch, time and heads."""
    return [stride for x in tensors for stride in x.stride()[:3]]


def readable(x: Tensor) -> Tensor:
    """x as the kernels read it: channels side by side, anything else as it comes; float32 under the interpreter."""
    if INTERPRETED and x.dtype in (torch.bfloat16, torch.float16):
        x = x.float()
    return x if x.dim() == 3 or x.stride(-1) == 1 else x.contiguous()


def chunks_of(tokens: int) -> int:
    return -(-tokens // CHUNK)


def new_states(q: Tensor, v: Tensor) -> Tensor:
    """(B·H, chunks·Dv, Dk): no dimension of chunks alone, in which one would be a special case to a compiler."""
    batch, tokens, heads, width = q.shape
    return q.new_empty(batch * heads, chunks_of(tokens) * v.shape[-1], width, dtype=precision(q.dtype).stored)


def new_scores(q: Tensor, keep: bool) -> Tensor:
    """(B·H, chunks·CHUNK, CHUNK), empty unless kept."""
    batch, tokens, heads, _ = q.shape
    shape = (batch * heads, chunks_of(tokens) * CHUNK, CHUNK) if keep else (0,)
    return q.new_empty(shape, dtype=precision(q.dtype).stored)


def new_final_state(q: Tensor, v: Tensor) -> Tensor:
    batch, _, heads, width = q.shape
    return q.new_empty(batch, heads, width, v.shape[-1], dtype=torch.float32)


def forward(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, ceiling: Tensor | None, first: Tensor | None, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """o, the final state, and for `backward` the chunks' states and scores (empty unless kept)."""
    states, final = carry(k, v, g, ceiling, first, backward=False)
    o, scores = output(q, k, v, g, ceiling, states, keep_scores=keep)
    return o, final, states, scores


def backward(
    d_o: Tensor, d_final: Tensor | None, q: Tensor, k: Tensor, v: Tensor, g: Tensor, ceiling: Tensor | None,
    states: Tensor, scores: Tensor, needs_decay: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of q, k, v, g (empty unless needed) and the initial state."""
    d_states, d_first = carry(q, d_o, g, ceiling, d_final, backward=True)
    d_v, pairs = value_gradient(k, v, g, ceiling, d_o, scores, d_states)
    d_q, d_k, d_g = gradient(q, k, v, g, ceiling, d_o, pairs, states, d_states, needs_decay)
    return d_q, d_k, d_v, d_g, d_first


def carry(
    x: Tensor, y: Tensor, g: Tensor, ceiling: Tensor | None, first: Tensor | None, backward: bool,
    config: Config = CARRY,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Each chunk's state before it (B·H, chunks·Dv, Dk), in the order of the carrying, and the last one."""
    batch, tokens, heads, width = x.shape
    options = launch_options(config, x, y)
    states, last = new_states(x, y), new_final_state(x, y)
    programs = batch * heads * tiles(width, options["BK"]) * tiles(y.shape[-1], options["BV"])
    arguments = [readable(t) for t in (x, y, g)]
    carry_kernel[(programs,)](
        *arguments,
        g if ceiling is None else ceiling,
        member_matrices(x.device),
        g if first is None else first.contiguous(),
        states,
        last,
        tokens,
        heads,
        chunks_of(tokens),
        *strides(*arguments),
        BACKWARD=backward,
        HAS_FIRST=first is not None,
        HAS_RESETS=ceiling is not None,
        **options,
    )
    return states, last


def output(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, ceiling: Tensor | None, states: Tensor, keep_scores: bool,
    config: Config = OUTPUT,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """o (B, T, H, Dv) and the chunks' decayed scores (B·H, chunks·CHUNK, CHUNK), empty unless kept."""
    batch, tokens, heads, _ = q.shape
    chunks = chunks_of(tokens)
    o = q.new_empty(v.shape)
    target = o.float() if INTERPRETED else o
    scores = new_scores(q, keep_scores)
    arguments = [readable(t) for t in (q, k, v, g)]
    options = launch_options(config, q, v)
    output_kernel[(batch * heads * chunks * tiles(v.shape[-1], options["BV"]),)](
        *arguments,
        g if ceiling is None else ceiling,
        member_matrices(q.device),
        states,
        target,
        scores,
        tokens,
        heads,
        chunks,
        *strides(*arguments),
        KEEP_SCORES=keep_scores,
        HAS_RESETS=ceiling is not None,
        **options,
    )
    return o.copy_(target) if INTERPRETED else o, scores


def value_gradient(
    k: Tensor, v: Tensor, g: Tensor, ceiling: Tensor | None, d_o: Tensor, scores: Tensor, d_states: Tensor,
    config: Config = VALUE_GRADIENT,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The gradient of v, and those of the scores as symmetric matrices (B·H, chunks·CHUNK, CHUNK) in float32."""
    batch, tokens, heads, _ = k.shape
    chunks = chunks_of(tokens)
    d_v = v.new_empty(v.shape)
    target = d_v.float() if INTERPRETED else d_v
    pairs = g.new_empty(batch * heads, chunks * CHUNK, CHUNK)
    arguments = [readable(t) for t in (k, v, g, d_o)]
    value_gradient_kernel[(batch * heads * chunks,)](
        *arguments[:3],
        g if ceiling is None else ceiling,
        member_matrices(k.device),
        arguments[3],
        scores,
        d_states,
        target,
        pairs,
        tokens,
        heads,
        chunks,
        *strides(*arguments),
        HAS_RESETS=ceiling is not None,
        **launch_options(config, k, v),
    )
    return d_v.copy_(target) if INTERPRETED else d_v, pairs


def gradient(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, ceiling: Tensor | None, d_o: Tensor, pairs: Tensor, states: Tensor,
    d_states: Tensor, needs_decay: bool, config: Config = GRADIENT,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Of q, k and g (empty unless needed)."""
    batch, tokens, heads, width = q.shape
    chunks = chunks_of(tokens)
    d_q, d_k = grads = [x.new_empty(x.shape) for x in (q, k)]
    if INTERPRETED:
        d_q, d_k = (x.float() for x in grads)
    options = launch_options(config, q, v)
    d_g = g.new_empty(g.shape if needs_decay else (0,))
    arguments = [readable(t) for t in (q, k, v, g, d_o)]
    gradient_kernel[(batch * heads * chunks * tiles(width, options["BK"]),)](
        *arguments[:4],
        g if ceiling is None else ceiling,
        member_matrices(q.device),
        arguments[4],
        pairs,
        states,
        d_states,
        d_q,
        d_k,
        d_g,
        tokens,
        heads,
        chunks,
        *strides(*arguments),
        NEEDS_DECAY=needs_decay,
        HAS_RESETS=ceiling is not None,
        **options,
    )
    if INTERPRETED:
        d_q, d_k = (x.copy_(y) for x, y in zip(grads, (d_q, d_k), strict=True))
    return d_q, d_k, d_g
