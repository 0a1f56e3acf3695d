"""The kernel that makes a chunk's gradients, given the states around it and their gradients.

The log-decays' gradients come from the exponents' (x dx for a factor x = e^s), through the transposed sums. No two
large terms cancel there, and a token's product with itself, which has no decay, is left out.
"""

import triton
import triton.language as tl

from decaystudy.ops.triton_levels import (
    AFTER,
    ALL,
    BEFORE,
    BETWEEN,
    BLOCKS,
    CHUNK,
    CUT,
    LOG2_E,
    ROWS,
    SPANS,
    factor,
    gradient_sums,
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
def value_gradient_kernel(
    k, v, g, resets, d_o, scores, d_states, block_sums, d_v, pairs,
    T, H, chunks,
    k_b, k_t, k_h, v_b, v_t, v_h, g_b, g_t, g_h, o_b, o_t, o_h,
    DK: tl.constexpr, DV: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    SCALAR: tl.constexpr, HAS_RESETS: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """The gradients of a chunk's values, d_v = Aᵀ d_o + k̂ d_S, and of its scores, d_o vᵀ; one program a chunk.

    pairs (B·H, chunks, CHUNK, CHUNK) gets the scores' gradients as a symmetric matrix: that of the pair of i and j
    at [i, j] and at [j, i].
    """
    program = tl.program_id(0)
    head, chunk = (program // chunks).to(tl.int64), (program % chunks).to(tl.int64)
    b, h = head // H, head % H
    start = chunk * CHUNK
    k += b * k_b + h * k_h + start * k_t
    v += b * v_b + h * v_h + start * v_t
    g += b * g_b + h * g_h + start * g_t
    d_o += b * o_b + h * o_h + start * o_t
    d_v += ((b * T + start) * H + h) * DV
    d_states += (head * chunks + chunk) * (DK * DV)
    block_sums += (head * chunks + chunk) * (SPANS * DK)
    scores += (head * chunks + chunk) * (CHUNK * CHUNK)
    pairs += (head * chunks + chunk) * (CHUNK * CHUNK)
    i, j = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
    blocks = tl.arange(0, BLOCKS)[:, None, None]
    ni, nj = tl.arange(0, ROWS)[None, :, None], tl.arange(0, ROWS)[None, None, :]
    rows = blocks * ROWS + ni
    inside = start + rows < T
    inside_rows = start + i < T
    cut = load_resets(resets + b * T + start, rows, inside, HAS_RESETS)
    after = tl.broadcast_to(nj > ni, (BLOCKS, ROWS, ROWS))
    near_levels = tl.minimum(chunks, 1) * 4  # known at run time only: an unrolled loop needs too many registers

    forwards = tl.zeros((CHUNK, CHUNK), tl.float32)
    backwards = tl.zeros((CHUNK, CHUNK), tl.float32)
    for v_tile in tl.static_range(0, DV, BV):
        vs = v_tile + tl.arange(0, BV)[None, :]
        vr = v_tile + tl.arange(0, BV)[:, None]
        d_out = operand(load_rows(d_o, i, vs, o_t, inside_rows, DV), PRECISION, INTERPRETED)
        values = operand(load_rows(v, i, vs, v_t, inside_rows, DV), PRECISION, INTERPRETED)
        forwards = tl.dot(d_out, tl.trans(values), forwards, input_precision=DOT)
        backwards = tl.dot(values, tl.trans(d_out), backwards, input_precision=DOT)
        a = operand(tl.load(scores + j * CHUNK + i), PRECISION, INTERPRETED)
        total = tl.dot(a, d_out, input_precision=DOT)
        for tile in range(0, DK, BK):
            ks = tile + tl.arange(0, BK)[None, None, :]
            sk = tile + tl.arange(0, BK)[None, :]
            keys = load_rows(k, rows, ks, k_t, inside, DK).to(tl.float32)
            decay = load_decay(g, rows, ks, g_t, inside, cut, DK, SCALAR)
            to_end = sums(after, decay, PRECISION, INTERPRETED) + load_span(block_sums, AFTER, blocks, ks, DK)
            keys = tl.reshape(narrow(keys * tl.exp2(to_end), PRECISION, INTERPRETED), (CHUNK, BK))
            d_state = operand(load_rows(d_states, vr, sk, DK, vr < DV, DK), PRECISION, INTERPRETED)
            total = tl.dot(keys, tl.trans(d_state), total, input_precision=DOT)
        store_rows(d_v, total, i, vs, H * DV, inside_rows, DV)
    tl.store(pairs + i * CHUNK + j, factor(tl.where(i >= j, forwards, backwards), PRECISION, INTERPRETED))


@triton.jit(do_not_specialize=["T", "H", "chunks"])
def gradient_kernel(
    q, k, v, g, resets, d_o, pairs, states, d_states, block_sums, d_q, d_k, d_g,
    T, H, chunks,
    q_b, q_t, q_h, k_b, k_t, k_h, v_b, v_t, v_h, g_b, g_t, g_h, o_b, o_t, o_h,
    DK: tl.constexpr, DV: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    SCALAR: tl.constexpr, HAS_RESETS: tl.constexpr, NEEDS_DECAY: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """One program a chunk. states hold each chunk's S before it and d_states the gradient of S after it."""
    tiles: tl.constexpr = (DK + BK - 1) // BK
    tile = tl.program_id(0) % tiles * BK
    program = tl.program_id(0) // tiles
    head, chunk = (program // chunks).to(tl.int64), (program % chunks).to(tl.int64)
    b, h = head // H, head % H
    start = chunk * CHUNK
    q += b * q_b + h * q_h + start * q_t
    k += b * k_b + h * k_h + start * k_t
    v += b * v_b + h * v_h + start * v_t
    g += b * g_b + h * g_h + start * g_t
    d_o += b * o_b + h * o_h + start * o_t
    first = (b * T + start) * H + h
    d_q += first * DK
    d_k += first * DK
    pairs += (head * chunks + chunk) * (CHUNK * CHUNK)
    states += (head * chunks + chunk) * (DK * DV)
    d_states += (head * chunks + chunk) * (DK * DV)
    block_sums += (head * chunks + chunk) * (SPANS * DK)
    i, j = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
    blocks = tl.arange(0, BLOCKS)[:, None, None]
    ni, nj = tl.arange(0, ROWS)[None, :, None], tl.arange(0, ROWS)[None, None, :]
    rows = blocks * ROWS + ni
    inside = start + rows < T
    inside_rows = start + i < T
    cut = load_resets(resets + b * T + start, rows, inside, HAS_RESETS)
    until = tl.broadcast_to(nj <= ni, (BLOCKS, ROWS, ROWS))
    after = tl.broadcast_to(nj > ni, (BLOCKS, ROWS, ROWS))
    near_levels = tl.minimum(chunks, 1) * 4  # known at run time only: an unrolled loop needs too many registers

    w_self = tl.load(pairs + rows * CHUNK + rows)
    near = pairs + rows * CHUNK + blocks * ROWS + nj
    far = pairs + i * CHUNK + j
    ks = tile + tl.arange(0, BK)[None, None, :]
    sk = tile + tl.arange(0, BK)[None, :]
    queries = load_rows(q, rows, ks, q_t, inside, DK).to(tl.float32)
    keys = load_rows(k, rows, ks, k_t, inside, DK).to(tl.float32)
    decay = load_decay(g, rows, ks, g_t, inside, cut, DK, SCALAR)
    # Through the states. d_read and d_write are gradients of the sums of log-decays from a block's start and to its end.
    read = sums(until, decay, PRECISION, INTERPRETED)
    write = sums(after, decay, PRECISION, INTERPRETED)
    d_start = tl.zeros((CHUNK, BK), tl.float32)
    d_end = tl.zeros((CHUNK, BK), tl.float32)
    passed = tl.zeros((BK, BK), tl.float32)
    for v_tile in tl.static_range(0, DV, BV):
        vs = v_tile + tl.arange(0, BV)[None, :]
        vr = v_tile + tl.arange(0, BV)[:, None]
        d_out = operand(load_rows(d_o, i, vs, o_t, inside_rows, DV), PRECISION, INTERPRETED)
        state = operand(load_rows(states, vr, sk, DK, vr < DV, DK), PRECISION, INTERPRETED)
        d_start = tl.dot(d_out, state, d_start, input_precision=DOT)
        values = operand(load_rows(v, i, vs, v_t, inside_rows, DV), PRECISION, INTERPRETED)
        d_state = operand(load_rows(d_states, vr, sk, DK, vr < DV, DK), PRECISION, INTERPRETED)
        d_end = tl.dot(values, d_state, d_end, input_precision=DOT)
        passed += tl.dot(tl.trans(state), d_state, input_precision=DOT)
    total_decay = tl.exp2(tl.load(block_sums + ALL * BLOCKS * DK + sk, mask=sk < DK, other=0.0))
    eye = tl.arange(0, BK)[:, None] == tl.arange(0, BK)[None, :]
    passed = tl.sum(tl.where(eye & (total_decay > 0.0), passed * total_decay, 0.0), 0)[None, None, :]
    before = load_span(block_sums, BEFORE, blocks, ks, DK)
    behind = load_span(block_sums, AFTER, blocks, ks, DK)
    dq = tl.reshape(d_start, (BLOCKS, ROWS, BK)) * tl.exp2(read + before)
    dk = tl.reshape(d_end, (BLOCKS, ROWS, BK)) * tl.exp2(write + behind)
    d_read = dq * queries
    d_write = dk * keys
    one = tl.sum(tl.where(blocks == 0, d_write, d_read), 1)
    two = d_write
    dq += w_self * keys
    dk += w_self * queries
    # Pairs of blocks.
    queried = is_query(blocks, 0)
    dx, d_far = _far(
        queries, keys, tl.where(queried, read, write), far, is_pair(i, j, 4), queried, PRECISION, DOT, INTERPRETED
    )
    dq += tl.where(queried, dx, 0.0)
    dk += tl.where(queried, 0.0, dx)
    d_read += tl.where(queried, d_far, 0.0)
    d_write += tl.where(queried, 0.0, d_far)
    queried = is_query(blocks, 1)
    exponent = tl.where(queried, read, write) + load_span(block_sums, BETWEEN, blocks, ks, DK)
    dx, d_far = _far(queries, keys, exponent, far, is_pair(i, j, 5), queried, PRECISION, DOT, INTERPRETED)
    dq += tl.where(queried, dx, 0.0)
    dk += tl.where(queried, 0.0, dx)
    d_read += tl.where(queried, d_far, 0.0)
    d_write += tl.where(queried, 0.0, d_far)
    two = tl.sum(tl.where((blocks == 0) | (blocks == 3), d_far, two), 1)
    to, of = tl.arange(0, BLOCKS)[:, None, None], tl.arange(0, BLOCKS)[None, :, None]
    one = tl.where(tl.where(of == 0, to > 0, to < of), one[None, :, :], 0.0)
    in_two = tl.where(of == 0, to == 1, tl.where(of == 3, to == 2, to > of))
    two = tl.where(in_two, two[None, :, :], 0.0)
    dg = tl.sum(one + two, 1)[:, None, :] + passed
    dg += gradient_sums(tl.broadcast_to(nj >= ni, (BLOCKS, ROWS, ROWS)), d_read, PRECISION, INTERPRETED)
    dg += gradient_sums(tl.broadcast_to(nj < ni, (BLOCKS, ROWS, ROWS)), d_write, PRECISION, INTERPRETED)
    # Pairs inside a block.
    for level in range(near_levels):
        members = tl.broadcast_to(in_factor(ni, nj, level), (BLOCKS, ROWS, ROWS))
        transposed = tl.broadcast_to(in_factor(nj, ni, level), (BLOCKS, ROWS, ROWS))
        is_q = is_query(ni, level)
        e = tl.exp2(sums(members, decay, PRECISION, INTERPRETED))
        x = factor(tl.where(is_q, queries * e, keys * e), PRECISION, INTERPRETED)
        d_x = tl.dot(tl.load(near, mask=is_pair(ni, nj, level), other=0.0), x, input_precision=DOT)
        dg += gradient_sums(transposed, d_x * x, PRECISION, INTERPRETED)
        d_x *= e
        dq += tl.where(is_q, d_x, 0.0)
        dk += tl.where(is_q, 0.0, d_x)
    # A token that forgets everything has no gradient, whatever its neighbours' magnitudes.
    dg = tl.where(decay > CUT * LOG2_E, dg, 0.0)
    store_rows(d_q, dq, rows, ks, H * DK, inside, DK)
    store_rows(d_k, dk, rows, ks, H * DK, inside, DK)
    if NEEDS_DECAY and SCALAR:
        # Each tile's part, (tiles, B, T, H).
        d_g += tl.program_id(0) % tiles * (tl.num_programs(0) // (tiles * chunks) * T).to(tl.int64)
        sum_of_channels = tl.sum(tl.where(ks < DK, dg, 0.0), 2, keep_dims=True)
        tl.store(d_g + first + rows * H, sum_of_channels, mask=inside)
    elif NEEDS_DECAY:
        store_rows(d_g + first * DK, dg, rows, ks, H * DK, inside, DK)


@triton.jit
def _far(
    queries, keys, exponent, far, pairs, queried,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """At a level of whole blocks, the gradients of the queries or keys and of the exponents of their factors."""
    e = tl.exp2(exponent)
    x = factor(tl.where(queried, queries * e, keys * e), PRECISION, INTERPRETED)
    flat = tl.reshape(x, (CHUNK, x.shape[2]))
    dx = tl.reshape(tl.dot(tl.load(far, mask=pairs, other=0.0), flat, input_precision=DOT), x.shape)
    return dx * e, dx * x
