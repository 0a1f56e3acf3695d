"""The kernel that makes a chunk's outputs from its inputs and the state before it."""

import triton
import triton.language as tl

from decaystudy.ops.triton_levels import (
    CHUNK,
    LEVELS,
    READ,
    factor,
    is_asked,
    is_query,
    load_decay,
    load_members,
    load_rows,
    narrow,
    operand,
    paired,
    placed,
    store_rows,
    sums_of_rows,
)


@triton.jit(do_not_specialize=["T", "H", "chunks"])
def output_kernel(
    q, k, v, g, ceilings, members, states, o, scores,
    T, H, chunks,
    q_b, q_t, q_h, k_b, k_t, k_h, v_b, v_t, v_h, g_b, g_t, g_h,
    DK: tl.constexpr, DV: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    HAS_RESETS: tl.constexpr, KEEP_SCORES: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """o = A v + q̂ S: A the decayed scores, q̂ the queries decayed from the chunk's start.

    One program makes BV channels of a chunk. states (B·H, chunks, DV, DK), scores (B·H, chunks, CHUNK, CHUNK).
    """
    tiles: tl.constexpr = (DV + BV - 1) // BV
    v_tile = tl.program_id(0) % tiles
    program = tl.program_id(0) // tiles
    head, chunk = (program // chunks).to(tl.int64), (program % chunks).to(tl.int64)
    b, h = head // H, head % H
    start = chunk * CHUNK
    q += b * q_b + h * q_h + start * q_t
    k += b * k_b + h * k_h + start * k_t
    v += b * v_b + h * v_h + start * v_t
    g += b * g_b + h * g_h + start * g_t
    ceilings += b * T + start
    o += ((b * T + start) * H + h) * DV
    states += (head * chunks + chunk) * (DK * DV)
    i, j = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
    inside = start + i < T
    vs = v_tile * BV + tl.arange(0, BV)[None, :]
    vr = v_tile * BV + tl.arange(0, BV)[:, None]
    levels = tl.minimum(chunks, 1) * LEVELS  # known at run time only: an unrolled loop needs too many registers

    values = load_rows(v, i, vs, v_t, inside, DV)
    a = tl.zeros((CHUNK, CHUNK), tl.float32)
    self_products = tl.zeros((CHUNK,), tl.float32)
    for tile in range(0, DK, BK):
        ks = tile + tl.arange(0, BK)[None, :]
        held = load_members(members, 0, i, j)
        queries = load_rows(q, i, ks, q_t, inside, DK)
        keys = load_rows(k, i, ks, k_t, inside, DK)
        decay = load_decay(g, ceilings, i, ks, g_t, inside, DK, HAS_RESETS)
        queries, keys = placed(queries, PRECISION, INTERPRETED), placed(keys, PRECISION, INTERPRETED)
        self_products += tl.sum(queries * keys, 1)
        # Not pipelined: where one tile holds all channels, Triton 3.6 then reads beyond its shared memory.
        for level in tl.range(0, levels, num_stages=1):
            of_next = load_members(members, level + 1, i, j)
            e = tl.exp2(sums_of_rows(held, decay, PRECISION, INTERPRETED))
            x = paired(factor(tl.where(is_query(i, level), queries, keys) * e, PRECISION, INTERPRETED), PRECISION)
            a = tl.where(is_asked(i, j, level), tl.dot(x, tl.trans(x), a, input_precision=DOT), a)
            held = of_next
    a = tl.where(i == j, self_products[:, None], a)
    a = narrow(a, PRECISION, INTERPRETED)
    if KEEP_SCORES:
        scores += (head * chunks + chunk) * (CHUNK * CHUNK)
        tl.store(scores + i * CHUNK + j, a.to(scores.dtype.element_ty), mask=v_tile + i * 0 < 1)
    # What the state adds: apart from the scores, which need the registers.
    out = tl.dot(a, operand(values, PRECISION, INTERPRETED), input_precision=DOT)
    until = load_members(members, READ, i, j)
    for tile in range(0, DK, BK):
        ks = tile + tl.arange(0, BK)[None, :]
        queries = load_rows(q, i, ks, q_t, inside, DK).to(tl.float32)
        decay = load_decay(g, ceilings, i, ks, g_t, inside, DK, HAS_RESETS)
        state = operand(load_rows(states, vr, ks, DK, vr < DV, DK), PRECISION, INTERPRETED)
        decayed = narrow(queries * tl.exp2(sums_of_rows(until, decay, PRECISION, INTERPRETED)), PRECISION, INTERPRETED)
        out = tl.dot(decayed, tl.trans(state), out, input_precision=DOT)
    store_rows(o, out, i, vs, H * DV, inside, DV)
