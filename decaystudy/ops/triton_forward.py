"""The kernel that makes a chunk's outputs from its inputs and the state before it."""

import triton
import triton.language as tl

from decaystudy.ops.triton_levels import (
    BEFORE,
    BETWEEN,
    BLOCKS,
    CHUNK,
    ROWS,
    SPANS,
    factor,
    in_factor,
    is_pair,
    is_query,
    load_decay,
    load_resets,
    load_rows,
    load_span,
    narrow,
    operand,
    store_rows,
    sums,
)


@triton.jit(do_not_specialize=["T", "H", "chunks"])
def output_kernel(
    q, k, v, g, resets, states, block_sums, o, scores,
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
    q += b * q_b + h * q_h + start * q_t
    k += b * k_b + h * k_h + start * k_t
    v += b * v_b + h * v_h + start * v_t
    g += b * g_b + h * g_h + start * g_t
    o += ((b * T + start) * H + h) * DV
    states += (head * chunks + chunk) * (DK * DV)
    block_sums += (head * chunks + chunk) * (SPANS * DK)
    i, j = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
    blocks = tl.arange(0, BLOCKS)[:, None, None]
    ni, nj = tl.arange(0, ROWS)[None, :, None], tl.arange(0, ROWS)[None, None, :]
    rows = blocks * ROWS + ni
    inside = start + rows < T
    cut = load_resets(resets + b * T + start, rows, inside, HAS_RESETS)
    until = tl.broadcast_to(nj <= ni, (BLOCKS, ROWS, ROWS))
    after = tl.broadcast_to(nj > ni, (BLOCKS, ROWS, ROWS))
    near_levels = tl.minimum(chunks, 1) * 4  # known at run time only: an unrolled loop needs too many registers

    far = tl.zeros((CHUNK, CHUNK), tl.float32)
    near = tl.zeros((BLOCKS, ROWS, ROWS), tl.float32)
    self_products = tl.zeros((BLOCKS, ROWS, BK), tl.float32)
    for tile in range(0, DK, BK):
        ks = tile + tl.arange(0, BK)[None, None, :]
        queries = load_rows(q, rows, ks, q_t, inside, DK).to(tl.float32)
        keys = load_rows(k, rows, ks, k_t, inside, DK).to(tl.float32)
        decay = load_decay(g, rows, ks, g_t, inside, cut, DK, SCALAR)
        self_products += queries * keys
        for level in range(near_levels):
            members = tl.broadcast_to(in_factor(ni, nj, level), (BLOCKS, ROWS, ROWS))
            is_q = is_query(ni, level)
            e = tl.exp2(sums(members, decay, PRECISION, INTERPRETED))
            x = factor(tl.where(is_q, queries * e, keys * e), PRECISION, INTERPRETED)
            product = tl.dot(x, tl.permute(x, (0, 2, 1)), input_precision=DOT)
            near += tl.where(is_pair(ni, nj, level), product, 0.0)
        read = sums(until, decay, PRECISION, INTERPRETED)
        write = sums(after, decay, PRECISION, INTERPRETED)
        between = load_span(block_sums, BETWEEN, blocks, ks, DK)
        queried = is_query(blocks, 0)
        e = tl.exp2(tl.where(queried, read, write))
        x = tl.where(queried, queries * e, keys * e)
        far += tl.where(is_pair(i, j, 4), _products(x, PRECISION, DOT, INTERPRETED), 0.0)
        queried = is_query(blocks, 1)
        e = tl.exp2(tl.where(queried, read, write) + between)
        x = tl.where(queried, queries * e, keys * e)
        far += tl.where(is_pair(i, j, 5), _products(x, PRECISION, DOT, INTERPRETED), 0.0)
    near = tl.where(ni == nj, tl.sum(self_products, 2, keep_dims=True), near)
    near = tl.broadcast_to(tl.expand_dims(near, 2), (BLOCKS, ROWS, BLOCKS, ROWS))
    a = tl.where(i // ROWS == j // ROWS, tl.reshape(near, (CHUNK, CHUNK)), far)
    a = narrow(tl.where(i >= j, a, 0.0), PRECISION, INTERPRETED)
    if KEEP_SCORES:
        scores += (head * chunks + chunk) * (CHUNK * CHUNK)
        tl.store(scores + i * CHUNK + j, a.to(scores.dtype.element_ty))

    inside_rows = start + i < T
    for v_tile in tl.static_range(0, DV, BV):
        vs = v_tile + tl.arange(0, BV)[None, :]
        vr = v_tile + tl.arange(0, BV)[:, None]
        values = operand(load_rows(v, i, vs, v_t, inside_rows, DV), PRECISION, INTERPRETED)
        out = tl.dot(a, values, input_precision=DOT)
        for tile in range(0, DK, BK):
            ks = tile + tl.arange(0, BK)[None, None, :]
            queries = load_rows(q, rows, ks, q_t, inside, DK).to(tl.float32)
            decay = load_decay(g, rows, ks, g_t, inside, cut, DK, SCALAR)
            before = load_span(block_sums, BEFORE, blocks, ks, DK)
            queries *= tl.exp2(sums(until, decay, PRECISION, INTERPRETED) + before)
            queries = tl.reshape(narrow(queries, PRECISION, INTERPRETED), (CHUNK, BK))
            sk = tile + tl.arange(0, BK)[None, :]
            state = operand(load_rows(states, vr, sk, DK, vr < DV, DK), PRECISION, INTERPRETED)
            out = tl.dot(queries, tl.trans(state), out, input_precision=DOT)
        store_rows(o, out, i, vs, H * DV, inside_rows, DV)


@triton.jit
def _products(x, PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr):
    """Of all pairs of a chunk's tokens."""
    x = tl.reshape(factor(x, PRECISION, INTERPRETED), (CHUNK, x.shape[2]))
    return tl.dot(x, tl.trans(x), input_precision=DOT)
