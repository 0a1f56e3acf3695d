"""Launching the Triton kernels: buffers, precision and launch configurations, from shapes, dtypes and the device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from decaystudy.ops.triton_backward import gradient_kernel, value_gradient_kernel
from decaystudy.ops.triton_carry import carry_kernel
from decaystudy.ops.triton_forward import output_kernel
from decaystudy.ops import triton_levels

CHUNK: int = triton_levels.CHUNK.value
SPANS: int = triton_levels.SPANS.value

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


CARRY = Config(keys=32, values=128, stages=2)
OUTPUT = Config(keys=32, values=128)
VALUE_GRADIENT = Config(keys=32, values=128)
GRADIENT = Config(keys=32, values=128)
WIDE = Config(keys=16, values=64)
"""float32, whose factors take twice the space, of two or three parts each."""


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


def _power(width: int) -> int:
    """The smallest power of two that holds width, at least a tensor core's tile."""
    return max(16, 1 << (width - 1).bit_length())


def _tiles(config: Config, q: Tensor, v: Tensor) -> dict[str, object]:
    keys, values = q.shape[-1], v.shape[-1]
    kind = precision(q.dtype)
    if kind.name != "bf16":
        config = Config(min(config.keys, WIDE.keys), min(config.values, WIDE.values))
    return {
        "DK": keys,
        "DV": values,
        "BK": min(config.keys, _power(keys)),
        "BV": min(config.values, _power(values)),
        "PRECISION": kind.name,
        "DOT": kind.dot,
        "INTERPRETED": INTERPRETED,
        "num_warps": config.warps,
        "num_stages": config.stages,
        "maxnreg": config.registers,
        "enable_fp_fusion": True,
    }


def _strides(*tensors: Tensor) -> list[int]:
    """Those of batch, time and heads."""
    return [stride for x in tensors for stride in x.stride()[:3]]


def readable(x: Tensor) -> Tensor:
    """x as the kernels read it: channels side by side, anything else as it comes; float32 under the interpreter."""
    if INTERPRETED and x.dtype in (torch.bfloat16, torch.float16):
        x = x.float()
    return x if x.dim() == 3 or x.stride(-1) == 1 else x.contiguous()


def new_states(q: Tensor, v: Tensor) -> Tensor:
    batch, tokens, heads, width = q.shape
    return q.new_empty(batch * heads, -(-tokens // CHUNK), v.shape[-1], width, dtype=precision(q.dtype).stored)


def new_scores(q: Tensor, keep: bool) -> Tensor:
    batch, tokens, heads, _ = q.shape
    shape = (batch * heads, -(-tokens // CHUNK), CHUNK, CHUNK) if keep else (0,)
    return q.new_empty(shape, dtype=precision(q.dtype).stored)


def new_final_state(q: Tensor, v: Tensor) -> Tensor:
    batch, _, heads, width = q.shape
    return q.new_empty(batch, heads, width, v.shape[-1], dtype=torch.float32)


def carry(
    x: Tensor, y: Tensor, g: Tensor, resets: Tensor | None, first: Tensor | None, backward: bool, config: Config = CARRY
) -> tuple[Tensor, Tensor, Tensor]:
    """Each chunk's state before it (B·H, chunks, Dv, Dk), in the order of the carrying, the last one, and block sums."""
    batch, tokens, heads, width = x.shape
    options = _tiles(config, x, y)
    states, last = new_states(x, y), new_final_state(x, y)
    block_sums = g.new_empty(*states.shape[:2], SPANS, width)
    tiles = -(-width // options["BK"]) * -(-y.shape[-1] // options["BV"])
    arguments = [readable(t) for t in (x, y, g)]
    carry_kernel[(batch * heads * tiles,)](
        *arguments,
        g if resets is None else resets,
        g if first is None else first.contiguous(),
        states,
        last,
        block_sums,
        tokens,
        heads,
        states.shape[1],
        *_strides(*arguments),
        BACKWARD=backward,
        SCALAR=g.dim() == 3,
        HAS_RESETS=resets is not None,
        HAS_FIRST=first is not None,
        **options,
    )
    return states, last, block_sums


def output(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, resets: Tensor | None, states: Tensor, block_sums: Tensor,
    keep_scores: bool,
    config: Config = OUTPUT,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """o (B, T, H, Dv) and the chunks' decayed scores (B·H, chunks, CHUNK, CHUNK), empty unless kept."""
    batch, tokens, heads, _ = q.shape
    chunks = states.shape[1]
    o = q.new_empty(v.shape)
    target = o.float() if INTERPRETED else o
    scores = new_scores(q, keep_scores)
    arguments = [readable(t) for t in (q, k, v, g)]
    output_kernel[(batch * heads * chunks,)](
        *arguments,
        g if resets is None else resets,
        states,
        block_sums,
        target,
        scores,
        tokens,
        heads,
        chunks,
        *_strides(*arguments),
        SCALAR=g.dim() == 3,
        HAS_RESETS=resets is not None,
        KEEP_SCORES=keep_scores,
        **_tiles(config, q, v),
    )
    return o.copy_(target) if INTERPRETED else o, scores


def value_gradient(
    k: Tensor, v: Tensor, g: Tensor, resets: Tensor | None, d_o: Tensor, scores: Tensor, d_states: Tensor,
    block_sums: Tensor, config: Config = VALUE_GRADIENT,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The gradient of v, and those of the scores as symmetric matrices (B·H, chunks, CHUNK, CHUNK) in float32."""
    batch, tokens, heads, _ = k.shape
    chunks = d_states.shape[1]
    d_v = v.new_empty(v.shape)
    target = d_v.float() if INTERPRETED else d_v
    pairs = g.new_empty(batch * heads, chunks, CHUNK, CHUNK)
    arguments = [readable(t) for t in (k, v, g, d_o)]
    value_gradient_kernel[(batch * heads * chunks,)](
        *arguments[:3],
        g if resets is None else resets,
        arguments[3],
        scores,
        d_states,
        block_sums,
        target,
        pairs,
        tokens,
        heads,
        chunks,
        *_strides(*arguments),
        SCALAR=g.dim() == 3,
        HAS_RESETS=resets is not None,
        **_tiles(config, k, v),
    )
    return d_v.copy_(target) if INTERPRETED else d_v, pairs


def gradient(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, resets: Tensor | None, d_o: Tensor, pairs: Tensor, states: Tensor,
    d_states: Tensor, block_sums: Tensor, needs_decay: bool, config: Config = GRADIENT,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Of q, k and g (empty unless needed)."""
    batch, tokens, heads, _ = q.shape
    chunks = states.shape[1]
    d_q, d_k = grads = [x.new_empty(x.shape) for x in (q, k)]
    if INTERPRETED:
        d_q, d_k = (x.float() for x in grads)
    options = _tiles(config, q, v)
    tiles = -(-q.shape[-1] // options["BK"])
    # Where a head has one log-decay, each tile of channels writes its part: adding them in turn stays reproducible.
    scalar = g.dim() == 3
    d_g = g.new_empty(((tiles,) if scalar else ()) + g.shape if needs_decay else (0,))
    arguments = [readable(t) for t in (q, k, v, g, d_o)]
    gradient_kernel[(batch * heads * chunks * tiles,)](
        *arguments[:4],
        g if resets is None else resets,
        arguments[4],
        pairs,
        states,
        d_states,
        block_sums,
        d_q,
        d_k,
        d_g,
        tokens,
        heads,
        chunks,
        *_strides(*arguments),
        SCALAR=scalar,
        HAS_RESETS=resets is not None,
        NEEDS_DECAY=needs_decay,
        **options,
    )
    if INTERPRETED:
        d_q, d_k = (x.copy_(y) for x, y in zip(grads, (d_q, d_k), strict=True))
    return d_q, d_k, d_g.sum(0) if scalar and needs_decay else d_g
