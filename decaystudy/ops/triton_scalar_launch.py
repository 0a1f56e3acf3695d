"""Launching the Triton kernels of one log-decay per head, (B, T, H)."""

from dataclasses import dataclass

from torch import Tensor

from decaystudy.ops.triton_launch import (
    CARRY,
    CHUNK,
    INTERPRETED,
    Config,
    chunks_of,
    launch_options,
    member_matrices,
    new_final_state,
    new_scores,
    new_states,
    readable,
    strides,
    tiles,
)
from decaystudy.ops.triton_scalar import decay_kernel, scalar_carry_kernel, scalar_output_kernel
from decaystudy.ops.triton_scalar_backward import scalar_gradient_kernel

OUTPUT = Config(keys=128, values=128)
GRADIENT = Config(keys=64, values=64)  # larger tiles spill registers


@dataclass(frozen=True)
class Decays:
    """Of every token, (B·H, chunks·CHUNK) in float32."""

    logs: Tensor
    """Log-decays of base 2, not below the kernels' CUT."""
    reads: Tensor
    """From its chunk's start to the token."""
    writes: Tensor
    """From after the token to its chunk's end."""


def decays(g: Tensor, ceiling: Tensor | None) -> Decays:
    batch, tokens, heads = g.shape
    chunks = chunks_of(tokens)
    made = Decays(*(g.new_empty(batch * heads, chunks * CHUNK) for _ in range(3)))
    decay_kernel[(batch * heads * chunks,)](
        g,
        g if ceiling is None else ceiling,
        made.logs,
        made.reads,
        made.writes,
        tokens,
        heads,
        chunks,
        *strides(g),
        HAS_RESETS=ceiling is not None,
        num_warps=2,
    )
    return made


def forward(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, ceiling: Tensor | None, first: Tensor | None, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """o, the final state, the chunks' states for `backward`, and no scores: making them again costs less."""
    of = decays(g, ceiling)
    states, final = carry(k, v, of, first, backward=False)
    return output(q, k, v, of, states), final, states, new_scores(q, False)


def backward(
    d_o: Tensor, d_final: Tensor | None, q: Tensor, k: Tensor, v: Tensor, g: Tensor, ceiling: Tensor | None,
    states: Tensor, scores: Tensor, needs_decay: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of q, k, v, g (empty unless needed) and the initial state."""
    of = decays(g, ceiling)
    d_states, d_first = carry(q, d_o, of, d_final, backward=True)
    return *gradient(q, k, v, of, d_o, states, d_states, g.shape if needs_decay else (0,)), d_first


def carry(
    x: Tensor, y: Tensor, of: Decays, first: Tensor | None, backward: bool, config: Config = CARRY
) -> tuple[Tensor, Tensor]:
    """Each chunk's state before it (B·H, chunks·Dv, Dk), in the order of the carrying, and the last one."""
    batch, tokens, heads, width = x.shape
    options = launch_options(config, x, y)
    states, last = new_states(x, y), new_final_state(x, y)
    arguments = [readable(t) for t in (x, y)]
    scalar_carry_kernel[(batch * heads * tiles(width, options["BK"]) * tiles(y.shape[-1], options["BV"]),)](
        *arguments,
        of.reads,
        of.writes,
        of.reads if first is None else first.contiguous(),
        states,
        last,
        tokens,
        heads,
        chunks_of(tokens),
        *strides(*arguments),
        BACKWARD=backward,
        HAS_FIRST=first is not None,
        **options,
    )
    return states, last


def output(q: Tensor, k: Tensor, v: Tensor, of: Decays, states: Tensor, config: Config = OUTPUT) -> Tensor:
    """o (B, T, H, Dv)."""
    batch, tokens, heads, _ = q.shape
    chunks = chunks_of(tokens)
    o = q.new_empty(v.shape)
    target = o.float() if INTERPRETED else o
    arguments = [readable(t) for t in (q, k, v)]
    options = launch_options(config, q, v)
    scalar_output_kernel[(batch * heads * chunks * tiles(v.shape[-1], options["BV"]),)](
        *arguments,
        member_matrices(q.device),
        of.logs,
        of.reads,
        states,
        target,
        tokens,
        heads,
        chunks,
        *strides(*arguments),
        **options,
    )
    return o.copy_(target) if INTERPRETED else o


def gradient(
    q: Tensor, k: Tensor, v: Tensor, of: Decays, d_o: Tensor, states: Tensor, d_states: Tensor,
    of_decay: tuple[int, ...], config: Config = GRADIENT,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Of q, k, v and g, whose shape `of_decay` is: (0,) if no gradient is needed."""
    batch, tokens, heads, _ = q.shape
    chunks = chunks_of(tokens)
    grads = [x.new_empty(x.shape) for x in (q, k, v)]
    targets = [x.float() for x in grads] if INTERPRETED else grads
    d_g = of.logs.new_empty(of_decay)
    arguments = [readable(t) for t in (q, k, v, d_o)]
    scalar_gradient_kernel[(batch * heads * chunks,)](
        *arguments,
        member_matrices(q.device),
        of.logs,
        of.reads,
        of.writes,
        states,
        d_states,
        *targets,
        d_g,
        tokens,
        heads,
        chunks,
        *strides(*arguments),
        NEEDS_DECAY=of_decay != (0,),
        **launch_options(config, q, v),
    )
    if INTERPRETED:
        targets = [x.copy_(y) for x, y in zip(grads, targets, strict=True)]
    d_q, d_k, d_v = targets
    return d_q, d_k, d_v, d_g
