"""The kernels for one log-decay per head: decays between a chunk's tokens as one matrix, states and outputs.

All channels of a head decay alike, so that a chunk's decayed scores are (q kᵀ) ∘ D, D_ij the exponential of the sum of
log-decays j + 1 to i. Tensor cores make these sums as those of `triton_levels`, by a product with zeros and ones: none
is a difference of two, and none holds a later token. Factors that lead through a state multiply rows of products, after
them, in float32.
"""

import triton
import triton.language as tl

from decaystudy.ops.triton_levels import (
    CHUNK,
    CUT,
    LOG2_E,
    READ,
    load_members,
    load_rows,
    narrow,
    operand,
    store_rows,
    sums_of_rows,
    tile_of,
)


@triton.jit(do_not_specialize=["T", "H", "chunks"])
def decay_kernel(
    g, ceilings, logs, reads, writes,
    T, H, chunks, g_b, g_t, g_h,
    HAS_RESETS: tl.constexpr,
):  # fmt: skip
    """Of a chunk's tokens: log-decays (base 2, at least CUT), and the decays from its start and to its end.

    logs, reads and writes are (B·H, chunks·CHUNK); `ceilings` (B, T) has CUT at resets. Beyond T nothing decays.
    """
    program = tl.program_id(0)
    head, chunk = (program // chunks).to(tl.int64), (program % chunks).to(tl.int64)
    b, h = head // H, head % H
    i, u = tl.arange(0, CHUNK), tl.arange(0, CHUNK)[None, :]
    t = chunk * CHUNK + u
    x = tl.load(g + b * g_b + h * g_h + t * g_t, mask=t < T, other=0.0)
    if HAS_RESETS:
        ceiling = tl.load(ceilings + b * T + t, mask=t < T, other=0.0)
        x = tl.minimum(x, ceiling, propagate_nan=tl.PropagateNan.ALL)
    x = tl.maximum(x, CUT, propagate_nan=tl.PropagateNan.ALL) * LOG2_E
    place = (head * chunks + chunk) * CHUNK
    tl.store(logs + place + u, x)
    tl.store(reads + place + i, tl.exp2(tl.sum(tl.where(u <= i[:, None], x, 0.0), 1)))
    tl.store(writes + place + i, tl.exp2(tl.sum(tl.where(u > i[:, None], x, 0.0), 1)))


@triton.jit
def decay_matrix(logs, members, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """D of a chunk, zero where i < j."""
    i, j = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
    until = load_members(members, READ, i, j)
    after = tl.where(i != j, until.to(tl.float32) * tl.load(logs + i), 0.0)  # token i's where it is after j
    return tl.where(i >= j, tl.exp2(sums_of_rows(until, after, PRECISION, INTERPRETED)), 0.0)


@triton.jit
def scaled(x, decay):
    """x · decay, zero where the decay is, however large x."""
    return tl.where(decay > 0.0, x, 0.0) * decay


@triton.jit(do_not_specialize=["T", "H", "chunks"])
def scalar_carry_kernel(
    x, y, reads, writes, first, states, last,
    T, H, chunks,
    x_b, x_t, x_h, y_b, y_t, y_h,
    DK: tl.constexpr, DV: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    BACKWARD: tl.constexpr, HAS_FIRST: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """As `carry_kernel`: S ← λ S + yᵀ x̂ over the chunks, where one number λ is a chunk's decay."""
    head, key, value = tile_of(tl.program_id(0), DK, DV, BK, BV)
    b, h = head // H, head % H
    ks, vs = key + tl.arange(0, BK)[None, :], value + tl.arange(0, BV)[None, :]
    vr = value + tl.arange(0, BV)[:, None]
    rows = tl.arange(0, CHUNK)[:, None]
    x += b * x_b + h * x_h
    y += b * y_b + h * y_h
    reads += head * chunks * CHUNK
    writes += head * chunks * CHUNK
    states += head * chunks * (DK * DV)
    tile = (vr < DV) & (ks < DK)
    ends = head * (DK * DV) + ks * DV + vr
    if HAS_FIRST:
        state = tl.load(first + ends, mask=tile, other=0.0)
    else:
        state = tl.zeros((BV, BK), tl.float32)
    for n in range(chunks):
        chunk = head * 0 + (chunks - 1 - n if BACKWARD else n)  # in 64 bits
        start = chunk * CHUNK
        inside = start + rows < T
        wide = load_rows(x + start * x_t, rows, ks, x_t, inside, DK).to(tl.float32)
        values = operand(load_rows(y + start * y_t, rows, vs, y_t, inside, DV), PRECISION, INTERPRETED)
        decay = tl.load((reads if BACKWARD else writes) + start + rows)
        # One copy per row, for a lone number's load isn't pipelined.
        whole = tl.load(reads + start + (CHUNK - 1) + vr * 0)
        narrowed = narrow(state, PRECISION, INTERPRETED)
        tl.store(states + chunk * (DK * DV) + vr * DK + ks, narrowed.to(states.dtype.element_ty), mask=tile)
        wide = narrow(wide * decay, PRECISION, INTERPRETED)
        state = tl.dot(tl.trans(values), wide, scaled(state, whole), input_precision=DOT)
    tl.store(last + ends, state, mask=tile)


@triton.jit(do_not_specialize=["T", "H", "chunks"])
def scalar_output_kernel(
    q, k, v, members, logs, reads, states, o,
    T, H, chunks,
    q_b, q_t, q_h, k_b, k_t, k_h, v_b, v_t, v_h,
    DK: tl.constexpr, DV: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """o = ((q kᵀ) ∘ D) v + r ∘ (q S), r the decays from the chunk's start. One program makes BV channels of a chunk."""
    tiles: tl.constexpr = (DV + BV - 1) // BV
    v_tile = tl.program_id(0) % tiles
    program = tl.program_id(0) // tiles
    head, chunk = (program // chunks).to(tl.int64), (program % chunks).to(tl.int64)
    b, h = head // H, head % H
    start = chunk * CHUNK
    q += b * q_b + h * q_h + start * q_t
    k += b * k_b + h * k_h + start * k_t
    v += b * v_b + h * v_h + start * v_t
    logs += (head * chunks + chunk) * CHUNK
    reads += (head * chunks + chunk) * CHUNK
    o += ((b * T + start) * H + h) * DV
    states += (head * chunks + chunk) * (DK * DV)
    i = tl.arange(0, CHUNK)[:, None]
    inside = start + i < T
    vs = v_tile * BV + tl.arange(0, BV)[None, :]
    vr = v_tile * BV + tl.arange(0, BV)[:, None]

    a = tl.zeros((CHUNK, CHUNK), tl.float32)
    out = tl.zeros((CHUNK, BV), tl.float32)
    for tile in range(0, DK, BK):
        ks = tile + tl.arange(0, BK)[None, :]
        queries = operand(load_rows(q, i, ks, q_t, inside, DK), PRECISION, INTERPRETED)
        keys = operand(load_rows(k, i, ks, k_t, inside, DK), PRECISION, INTERPRETED)
        state = operand(load_rows(states, vr, ks, DK, vr < DV, DK), PRECISION, INTERPRETED)
        a = tl.dot(queries, tl.trans(keys), a, input_precision=DOT)
        out = tl.dot(queries, tl.trans(state), out, input_precision=DOT)
    decays = decay_matrix(logs, members, PRECISION, INTERPRETED)
    a = narrow(scaled(a, decays), PRECISION, INTERPRETED)
    values = operand(load_rows(v, i, vs, v_t, inside, DV), PRECISION, INTERPRETED)
    out = tl.dot(a, values, scaled(out, tl.load(reads + i)), input_precision=DOT)
    store_rows(o, out, i, vs, H * DV, inside, DV)
