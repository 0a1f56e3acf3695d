"""The kernel that carries a state from chunk to chunk, forwards or backwards."""

import triton
import triton.language as tl

from decaystudy.ops.triton_levels import (
    CHUNK,
    EVERY,
    READ,
    WRITE,
    load_decay,
    load_members,
    load_rows,
    narrow,
    operand,
    sums_of_rows,
    tile_of,
)


@triton.jit(do_not_specialize=["T", "H", "chunks"])
def carry_kernel(
    x, y, g, ceilings, members, first, states, last,
    T, H, chunks,
    x_b, x_t, x_h, y_b, y_t, y_h, g_b, g_t, g_h,
    DK: tl.constexpr, DV: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    BACKWARD: tl.constexpr, HAS_RESETS: tl.constexpr, HAS_FIRST: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """S ← S diag(Λ) + yᵀ x̂ over the chunks, transposed (DV, DK); each chunk's S before it is stored.

    Forwards x is k, decayed to the chunk's end, and y is v. Backwards, where S is the gradient of the state after the
    chunk, x is q, decayed from the chunk's start, and y is the gradient of o.
    One program holds BV × BK channels of one head. first and last are (B, H, DK, DV) in float32.
    """
    head, key, value = tile_of(tl.program_id(0), DK, DV, BK, BV)
    b, h = head // H, head % H
    ks, vs = key + tl.arange(0, BK)[None, :], value + tl.arange(0, BV)[None, :]
    vr = value + tl.arange(0, BV)[:, None]
    rows = tl.arange(0, CHUNK)[:, None]
    x += b * x_b + h * x_h
    y += b * y_b + h * y_h
    g += b * g_b + h * g_h
    ceilings += b * T
    states += head * chunks * (DK * DV)
    tile = (vr < DV) & (ks < DK)
    ends = head * (DK * DV) + ks * DV + vr
    through = load_members(members, READ if BACKWARD else WRITE, rows, tl.arange(0, CHUNK)[None, :])
    every = load_members(members, EVERY, tl.arange(0, BV)[:, None] % CHUNK, tl.arange(0, CHUNK)[None, :])
    if HAS_FIRST:
        state = tl.load(first + ends, mask=tile, other=0.0)
    else:
        state = tl.zeros((BV, BK), tl.float32)
    for n in range(chunks):
        chunk = head * 0 + (chunks - 1 - n if BACKWARD else n)  # in 64 bits
        start = chunk * CHUNK
        inside = start + rows < T
        decay = load_decay(g + start * g_t, ceilings + start, rows, ks, g_t, inside, DK, HAS_RESETS)
        wide = load_rows(x + start * x_t, rows, ks, x_t, inside, DK).to(tl.float32)
        values = operand(load_rows(y + start * y_t, rows, vs, y_t, inside, DV), PRECISION, INTERPRETED)
        narrowed = narrow(state, PRECISION, INTERPRETED)
        tl.store(states + chunk * (DK * DV) + vr * DK + ks, narrowed.to(states.dtype.element_ty), mask=tile)
        wide = narrow(wide * tl.exp2(sums_of_rows(through, decay, PRECISION, INTERPRETED)), PRECISION, INTERPRETED)
        # As a product the sum over the chunk comes in the state's shape, without a reduction across warps.
        total = tl.exp2(sums_of_rows(every, decay, PRECISION, INTERPRETED))
        state = tl.where(total > 0.0, state, 0.0) * total  # the other way round Triton 3.2 crashes
        state = tl.dot(tl.trans(values), wide, state, input_precision=DOT)
    tl.store(last + ends, state, mask=tile)
