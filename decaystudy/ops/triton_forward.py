"""The kernel that makes a chunk's outputs from its inputs and the state before it."""

import triton
import triton.language as tl

from decaystudy.ops.triton_levels import (
    BLOCKS,
    CHUNK,
    ROWS,
    factor,
    in_factor,
    is_pair,
    is_query,
    load_decay,
    load_resets,
    load_rows,
    narrow,
    operand,
    store_rows,
    sums,
)


@triton.jit
def output_kernel(
    q, k, v, g, resets, states, o, scores,
    T, H, chunks,
    q_b, q_t, q_h, k_b, k_t, k_h, v_b, v_t, v_h, g_b, g_t, g_h,
    DK: tl.constexpr, DV: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    SCALAR: tl.constexpr, HAS_RESETS: tl.constexpr, KEEP_SCORES: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """o = A v + q̂ S, one program a chunk: A the decayed scores, q̂ the queries decayed from the chunk's start.

    states (B·H, chunks, DV, DK), scores (B·H, chunks, CHUNK, CHUNK).
    """
    program = tl.program_id(0)
    head, chunk = (program // chunks).to(tl.int64), (program % chunks).to(tl.int64)
    b, h = head // H, head % H
    start = chunk * CHUNK
    rows = tl.arange(0, CHUNK)
    inside = start + rows < T
    q += b * q_b + h * q_h + start * q_t
    k += b * k_b + h * k_h + start * k_t
    v += b * v_b + h * v_h + start * v_t
    g += b * g_b + h * g_h + start * g_t
    o += ((b * T + start) * H + h) * DV
    states += (head * chunks + chunk) * (DK * DV)
    cut = load_resets(resets + b * T + start, rows, inside, HAS_RESETS)
    i, j = rows[:, None], rows[None, :]
    near_rows = tl.arange(0, ROWS)
    ni, nj = near_rows[None, :, None], near_rows[None, None, :]

    far = tl.zeros((CHUNK, CHUNK), tl.float32)
    near_8 = tl.zeros((BLOCKS, ROWS, ROWS), tl.float32)
    near_4 = tl.zeros((BLOCKS, ROWS, ROWS), tl.float32)
    near_2 = tl.zeros((BLOCKS, ROWS, ROWS), tl.float32)
    near_1 = tl.zeros((BLOCKS, ROWS, ROWS), tl.float32)
    self_scores = tl.zeros((CHUNK,), tl.float32)
    for tile in range(0, DK, BK):
        ks = tile + tl.arange(0, BK)
        queries = load_rows(q, rows, ks, q_t, inside, DK).to(tl.float32)
        keys = load_rows(k, rows, ks, k_t, inside, DK).to(tl.float32)
        decay = load_decay(g, rows, ks, g_t, inside, cut, DK, SCALAR)
        self_scores += tl.sum(queries * keys, 1)
        far += _far_scores(queries, keys, decay, i, j, 32, PRECISION, DOT, INTERPRETED)
        far += _far_scores(queries, keys, decay, i, j, 16, PRECISION, DOT, INTERPRETED)
        queries = tl.reshape(queries, (BLOCKS, ROWS, BK))
        keys = tl.reshape(keys, (BLOCKS, ROWS, BK))
        decay = tl.reshape(decay, (BLOCKS, ROWS, BK))
        near_8 = _near_scores(near_8, queries, keys, decay, ni, nj, 8, PRECISION, DOT, INTERPRETED)
        near_4 = _near_scores(near_4, queries, keys, decay, ni, nj, 4, PRECISION, DOT, INTERPRETED)
        near_2 = _near_scores(near_2, queries, keys, decay, ni, nj, 2, PRECISION, DOT, INTERPRETED)
        near_1 = _near_scores(near_1, queries, keys, decay, ni, nj, 1, PRECISION, DOT, INTERPRETED)
    near = tl.where(is_pair(ni, nj, 8), near_8, 0.0)
    near = tl.where(is_pair(ni, nj, 4), near_4, near)
    near = tl.where(is_pair(ni, nj, 2), near_2, near)
    near = tl.where(is_pair(ni, nj, 1), near_1, near)
    near = tl.broadcast_to(tl.expand_dims(near, 2), (BLOCKS, ROWS, BLOCKS, ROWS))
    a = tl.where(i // ROWS == j // ROWS, tl.reshape(near, (CHUNK, CHUNK)), far)
    a = tl.where(i == j, self_scores[:, None], tl.where(i > j, a, 0.0))
    a = narrow(a, PRECISION, INTERPRETED)
    if KEEP_SCORES:
        scores += (head * chunks + chunk) * (CHUNK * CHUNK)
        tl.store(scores + i * CHUNK + j, a.to(scores.dtype.element_ty))

    for v_tile in tl.static_range(0, DV, BV):
        vs = v_tile + tl.arange(0, BV)
        values = operand(load_rows(v, rows, vs, v_t, inside, DV), PRECISION, INTERPRETED)
        out = tl.dot(a, values, input_precision=DOT)
        for tile in range(0, DK, BK):
            ks = tile + tl.arange(0, BK)
            queries = load_rows(q, rows, ks, q_t, inside, DK).to(tl.float32)
            decay = load_decay(g, rows, ks, g_t, inside, cut, DK, SCALAR)
            queries *= tl.exp2(sums(j <= i, decay, PRECISION, INTERPRETED))
            state = operand(load_rows(states, vs, ks, DK, vs < DV, DK), PRECISION, INTERPRETED)
            out = tl.dot(narrow(queries, PRECISION, INTERPRETED), tl.trans(state), out, input_precision=DOT)
        store_rows(o, out, rows, vs, H * DV, inside, DV)


@triton.jit
def _far_scores(
    queries, keys, decay, i, j, SIZE: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    x = tl.where(is_query(i, SIZE), queries, keys)
    x *= tl.exp2(sums(in_factor(i, j, SIZE), decay, PRECISION, INTERPRETED))
    x = factor(x, PRECISION, INTERPRETED)
    return tl.where(is_pair(i, j, SIZE), tl.dot(x, tl.trans(x), input_precision=DOT), 0.0)


@triton.jit
def _near_scores(
    total, queries, keys, decay, i, j, SIZE: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """total plus the products of all tokens' factors at this level, (BLOCKS, ROWS, ROWS); only its pairs count."""
    members = tl.broadcast_to(in_factor(i, j, SIZE), (BLOCKS, ROWS, ROWS))
    x = tl.where(is_query(i, SIZE), queries, keys) * tl.exp2(sums(members, decay, PRECISION, INTERPRETED))
    x = factor(x, PRECISION, INTERPRETED)
    return tl.dot(x, tl.permute(x, (0, 2, 1)), total, input_precision=DOT)
