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


@triton.jit
def gradient_kernel(
    q, k, v, g, resets, d_o, scores, states, d_states, block_sums, d_q, d_k, d_v, d_g,
    T, H, chunks,
    q_b, q_t, q_h, k_b, k_t, k_h, v_b, v_t, v_h, g_b, g_t, g_h, o_b, o_t, o_h,
    DK: tl.constexpr, DV: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    SCALAR: tl.constexpr, HAS_RESETS: tl.constexpr, NEEDS_DECAY: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """One program a chunk. states hold each chunk's S before it and d_states the gradient of S after it."""
    program = tl.program_id(0)
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
    d_v += first * DV
    scores += (head * chunks + chunk) * (CHUNK * CHUNK)
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

    # Gradients of v, and of the scores: w[i, j] = w[j, i] holds that of the pair of i and j.
    w = tl.zeros((CHUNK, CHUNK), tl.float32)
    for v_tile in tl.static_range(0, DV, BV):
        vs = v_tile + tl.arange(0, BV)[None, :]
        vr = v_tile + tl.arange(0, BV)[:, None]
        d_out = operand(load_rows(d_o, i, vs, o_t, inside_rows, DV), PRECISION, INTERPRETED)
        values = operand(load_rows(v, i, vs, v_t, inside_rows, DV), PRECISION, INTERPRETED)
        w += tl.where(
            i >= j,
            tl.dot(d_out, tl.trans(values), input_precision=DOT),
            tl.dot(values, tl.trans(d_out), input_precision=DOT),
        )
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
    w_near = tl.reshape(tl.where(i // ROWS == j // ROWS, w, 0.0), (BLOCKS, ROWS, BLOCKS, ROWS))
    w_near = tl.sum(w_near, 2)
    w_self = tl.sum(tl.where(ni == nj, w_near, 0.0), 2, keep_dims=True)
    w = factor(w, PRECISION, INTERPRETED)
    w_near = factor(w_near, PRECISION, INTERPRETED)

    scalar_decay = tl.zeros((BLOCKS, ROWS, 1), tl.float32)
    for tile in range(0, DK, BK):
        ks = tile + tl.arange(0, BK)[None, None, :]
        sk = tile + tl.arange(0, BK)[None, :]
        queries = load_rows(q, rows, ks, q_t, inside, DK).to(tl.float32)
        keys = load_rows(k, rows, ks, k_t, inside, DK).to(tl.float32)
        decay = load_decay(g, rows, ks, g_t, inside, cut, DK, SCALAR)
        # Pairs inside a block.
        dq = w_self * keys
        dk = w_self * queries
        dg = tl.zeros((BLOCKS, ROWS, BK), tl.float32)
        dq, dk, dg = _near(dq, dk, dg, queries, keys, decay, w_near, ni, nj, 8, PRECISION, DOT, INTERPRETED)
        dq, dk, dg = _near(dq, dk, dg, queries, keys, decay, w_near, ni, nj, 4, PRECISION, DOT, INTERPRETED)
        dq, dk, dg = _near(dq, dk, dg, queries, keys, decay, w_near, ni, nj, 2, PRECISION, DOT, INTERPRETED)
        dq, dk, dg = _near(dq, dk, dg, queries, keys, decay, w_near, ni, nj, 1, PRECISION, DOT, INTERPRETED)
        # Pairs of blocks, and the states. d_read and d_write are gradients of the sums of log-decays from a block's
        # start and to its end; a and b are what of them reaches beyond the block.
        read = sums(until, decay, PRECISION, INTERPRETED)
        write = sums(after, decay, PRECISION, INTERPRETED)
        e, dx, d_far = _far(queries, keys, tl.where(is_query(blocks, 1), read, write), w, is_pair(i, j, 16), is_query(blocks, 1), PRECISION, DOT, INTERPRETED)
        dq += tl.where(is_query(blocks, 1), dx, 0.0)
        dk += tl.where(is_query(blocks, 1), 0.0, dx)
        d_read = tl.where(is_query(blocks, 1), d_far, 0.0)
        d_write = tl.where(is_query(blocks, 1), 0.0, d_far)
        between = load_span(block_sums, BETWEEN, blocks, ks, DK)
        e, dx, d_far = _far(queries, keys, tl.where(is_query(blocks, 2), read, write) + between, w, is_pair(i, j, 32), is_query(blocks, 2), PRECISION, DOT, INTERPRETED)
        dq += tl.where(is_query(blocks, 2), dx, 0.0)
        dk += tl.where(is_query(blocks, 2), 0.0, dx)
        d_read += tl.where(is_query(blocks, 2), d_far, 0.0)
        d_write += tl.where(is_query(blocks, 2), 0.0, d_far)

        d_start = tl.zeros((CHUNK, BK), tl.float32)
        d_end = tl.zeros((CHUNK, BK), tl.float32)
        passed = tl.zeros((BK,), tl.float32)
        for v_tile in tl.static_range(0, DV, BV):
            vs = v_tile + tl.arange(0, BV)[None, :]
            vr = v_tile + tl.arange(0, BV)[:, None]
            d_out = operand(load_rows(d_o, i, vs, o_t, inside_rows, DV), PRECISION, INTERPRETED)
            values = operand(load_rows(v, i, vs, v_t, inside_rows, DV), PRECISION, INTERPRETED)
            state = operand(load_rows(states, vr, sk, DK, vr < DV, DK), PRECISION, INTERPRETED)
            d_state = operand(load_rows(d_states, vr, sk, DK, vr < DV, DK), PRECISION, INTERPRETED)
            d_start = tl.dot(d_out, state, d_start, input_precision=DOT)
            d_end = tl.dot(values, d_state, d_end, input_precision=DOT)
            passed += tl.sum(state.to(tl.float32) * d_state.to(tl.float32), 0)
        total_decay = tl.exp2(tl.load(block_sums + ALL * BLOCKS * DK + sk, mask=sk < DK, other=0.0))
        passed = tl.where(total_decay > 0.0, passed[None, :] * total_decay, 0.0)
        before = load_span(block_sums, BEFORE, blocks, ks, DK)
        behind = load_span(block_sums, AFTER, blocks, ks, DK)
        d_start = tl.reshape(d_start, (BLOCKS, ROWS, BK)) * tl.exp2(read + before)
        d_end = tl.reshape(d_end, (BLOCKS, ROWS, BK)) * tl.exp2(write + behind)
        dq += d_start
        dk += d_end
        d_start *= queries
        d_end *= keys
        d_read += d_start
        d_write += d_end
        dg += gradient_sums(tl.broadcast_to(nj >= ni, (BLOCKS, ROWS, ROWS)), d_read, PRECISION, INTERPRETED)
        dg += gradient_sums(tl.broadcast_to(nj < ni, (BLOCKS, ROWS, ROWS)), d_write, PRECISION, INTERPRETED)
        one = tl.sum(tl.where(blocks == 0, d_end, d_start), 1)
        two = tl.sum(tl.where((blocks == 0) | (blocks == 3), d_far, d_end), 1)
        to, of = tl.arange(0, BLOCKS)[:, None, None], tl.arange(0, BLOCKS)[None, :, None]
        one = tl.where(tl.where(of == 0, to > 0, to < of), one[None, :, :], 0.0)
        in_two = tl.where(of == 0, to == 1, tl.where(of == 3, to == 2, to > of))
        two = tl.where(in_two, two[None, :, :], 0.0)
        dg += tl.sum(one + two, 1)[:, None, :] + passed[:, None, :]
        # A token that forgets everything has no gradient, whatever its neighbours' magnitudes.
        dg = tl.where(decay > CUT * LOG2_E, dg, 0.0)
        store_rows(d_q, dq, rows, ks, H * DK, inside, DK)
        store_rows(d_k, dk, rows, ks, H * DK, inside, DK)
        if not NEEDS_DECAY:
            pass
        elif SCALAR:
            scalar_decay += tl.sum(tl.where(ks < DK, dg, 0.0), 2, keep_dims=True)
        else:
            store_rows(d_g + first * DK, dg, rows, ks, H * DK, inside, DK)
    if SCALAR and NEEDS_DECAY:
        tl.store(d_g + first + rows * H, scalar_decay, mask=inside)


@triton.jit
def _near(
    dq, dk, dg, queries, keys, decay, w, i, j, SIZE: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """Add the gradients of the pairs at a level inside blocks."""
    members = tl.broadcast_to(in_factor(i, j, SIZE), (BLOCKS, ROWS, ROWS))
    transposed = tl.broadcast_to(in_factor(j, i, SIZE), (BLOCKS, ROWS, ROWS))
    queried = is_query(i, SIZE)
    e = tl.exp2(sums(members, decay, PRECISION, INTERPRETED))
    x = factor(tl.where(queried, queries * e, keys * e), PRECISION, INTERPRETED)
    dx = tl.dot(tl.where(is_pair(i, j, SIZE), w, 0.0), x, input_precision=DOT)
    dg += gradient_sums(transposed, dx * x, PRECISION, INTERPRETED)
    dx *= e
    dq += tl.where(queried, dx, 0.0)
    dk += tl.where(queried, 0.0, dx)
    return dq, dk, dg


@triton.jit
def _far(
    queries, keys, exponent, w, pairs, queried,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """The factors of a level of whole blocks, the gradients of what they multiply, and those of their exponents."""
    e = tl.exp2(exponent)
    x = factor(tl.where(queried, queries * e, keys * e), PRECISION, INTERPRETED)
    flat = tl.reshape(x, (CHUNK, x.shape[2]))
    dx = tl.reshape(tl.dot(tl.where(pairs, w, 0.0), flat, input_precision=DOT), x.shape)
    return e, dx * e, dx * x
