"""The kernel that makes a chunk's gradients, given the states around it and their gradients.

The log-decays' gradients come from the exponents' (x dx for a factor x = e^s), through the transposed sums. No two
large terms cancel there, and a token's product with itself, which has no decay, is left out.
"""

import triton
import triton.language as tl

from decaystudy.ops.triton_levels import (
    BLOCKS,
    CHUNK,
    CUT,
    LOG2_E,
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
def gradient_kernel(
    q, k, v, g, resets, d_o, scores, states, d_states, d_q, d_k, d_v, d_g,
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
    rows = tl.arange(0, CHUNK)
    inside = start + rows < T
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
    cut = load_resets(resets + b * T + start, rows, inside, HAS_RESETS)
    i, j = rows[:, None], rows[None, :]
    near_rows = tl.arange(0, ROWS)
    ni, nj = near_rows[None, :, None], near_rows[None, None, :]

    # Gradients of v, and of the scores: w[i, j] = w[j, i] holds that of the pair of i and j.
    w = tl.zeros((CHUNK, CHUNK), tl.float32)
    w_near = tl.zeros((BLOCKS, ROWS, ROWS), tl.float32)
    w_self = tl.zeros((CHUNK,), tl.float32)
    a = tl.load(scores + j * CHUNK + i)
    a = operand(a, PRECISION, INTERPRETED)
    for v_tile in tl.static_range(0, DV, BV):
        vs = v_tile + tl.arange(0, BV)
        d_out = operand(load_rows(d_o, rows, vs, o_t, inside, DV), PRECISION, INTERPRETED)
        values = operand(load_rows(v, rows, vs, v_t, inside, DV), PRECISION, INTERPRETED)
        w += _pair_gradients(d_out, tl.trans(values), values, tl.trans(d_out), i, j, DOT)
        w_self += tl.sum(d_out.to(tl.float32) * values.to(tl.float32), 1)
        near_out = tl.reshape(d_out, (BLOCKS, ROWS, BV))
        near_values = tl.reshape(values, (BLOCKS, ROWS, BV))
        w_near += _pair_gradients(
            near_out, tl.permute(near_values, (0, 2, 1)), near_values, tl.permute(near_out, (0, 2, 1)), ni, nj, DOT
        )
        total = tl.dot(a, d_out, input_precision=DOT)
        for tile in range(0, DK, BK):
            ks = tile + tl.arange(0, BK)
            keys = load_rows(k, rows, ks, k_t, inside, DK).to(tl.float32)
            decay = load_decay(g, rows, ks, g_t, inside, cut, DK, SCALAR)
            keys *= tl.exp2(sums(j > i, decay, PRECISION, INTERPRETED))
            d_state = operand(load_rows(d_states, vs, ks, DK, vs < DV, DK), PRECISION, INTERPRETED)
            total = tl.dot(narrow(keys, PRECISION, INTERPRETED), tl.trans(d_state), total, input_precision=DOT)
        store_rows(d_v, total, rows, vs, H * DV, inside, DV)
    w = factor(w, PRECISION, INTERPRETED)
    w_near = factor(w_near, PRECISION, INTERPRETED)

    scalar_decay = tl.zeros((CHUNK,), tl.float32)
    for tile in range(0, DK, BK):
        ks = tile + tl.arange(0, BK)
        queries = load_rows(q, rows, ks, q_t, inside, DK).to(tl.float32)
        keys = load_rows(k, rows, ks, k_t, inside, DK).to(tl.float32)
        decay = load_decay(g, rows, ks, g_t, inside, cut, DK, SCALAR)
        # Through the states.
        reads = tl.zeros((CHUNK, BK), tl.float32)
        writes = tl.zeros((CHUNK, BK), tl.float32)
        passed = tl.zeros((BK,), tl.float32)
        for v_tile in tl.static_range(0, DV, BV):
            vs = v_tile + tl.arange(0, BV)
            d_out = operand(load_rows(d_o, rows, vs, o_t, inside, DV), PRECISION, INTERPRETED)
            values = operand(load_rows(v, rows, vs, v_t, inside, DV), PRECISION, INTERPRETED)
            state = operand(load_rows(states, vs, ks, DK, vs < DV, DK), PRECISION, INTERPRETED)
            d_state = operand(load_rows(d_states, vs, ks, DK, vs < DV, DK), PRECISION, INTERPRETED)
            reads = tl.dot(d_out, state, reads, input_precision=DOT)
            writes = tl.dot(values, d_state, writes, input_precision=DOT)
            passed += tl.sum(state.to(tl.float32) * d_state.to(tl.float32), 0)
        from_start = tl.exp2(sums(j <= i, decay, PRECISION, INTERPRETED))
        to_end = tl.exp2(sums(j > i, decay, PRECISION, INTERPRETED))
        total_decay = tl.exp2(tl.sum(decay, 0))
        dq = reads * from_start
        dk = writes * to_end
        dg = sums(j >= i, dq * queries, PRECISION, INTERPRETED)
        dg += sums(j < i, dk * keys, PRECISION, INTERPRETED)
        dg += tl.where(total_decay > 0.0, passed * total_decay, 0.0)[None, :]
        # Pairs inside the chunk.
        dq, dk, dg = _far_gradients(dq, dk, dg, queries, keys, decay, w, i, j, 32, PRECISION, DOT, INTERPRETED)
        dq, dk, dg = _far_gradients(dq, dk, dg, queries, keys, decay, w, i, j, 16, PRECISION, DOT, INTERPRETED)
        near_q = tl.reshape(queries, (BLOCKS, ROWS, BK))
        near_k = tl.reshape(keys, (BLOCKS, ROWS, BK))
        near_decay = tl.reshape(decay, (BLOCKS, ROWS, BK))
        nq = tl.zeros((BLOCKS, ROWS, BK), tl.float32)
        nk = tl.zeros((BLOCKS, ROWS, BK), tl.float32)
        ng = tl.zeros((BLOCKS, ROWS, BK), tl.float32)
        nq, nk, ng = _near_gradients(
            nq, nk, ng, near_q, near_k, near_decay, w_near, ni, nj, 8, PRECISION, DOT, INTERPRETED
        )
        nq, nk, ng = _near_gradients(
            nq, nk, ng, near_q, near_k, near_decay, w_near, ni, nj, 4, PRECISION, DOT, INTERPRETED
        )
        nq, nk, ng = _near_gradients(
            nq, nk, ng, near_q, near_k, near_decay, w_near, ni, nj, 2, PRECISION, DOT, INTERPRETED
        )
        nq, nk, ng = _near_gradients(
            nq, nk, ng, near_q, near_k, near_decay, w_near, ni, nj, 1, PRECISION, DOT, INTERPRETED
        )
        dq += tl.reshape(nq, (CHUNK, BK)) + w_self[:, None] * keys
        dk += tl.reshape(nk, (CHUNK, BK)) + w_self[:, None] * queries
        dg += tl.reshape(ng, (CHUNK, BK))
        # A token that forgets everything has no gradient, whatever its neighbours' magnitudes.
        dg = tl.where(decay > CUT * LOG2_E, dg, 0.0)
        store_rows(d_q, dq, rows, ks, H * DK, inside, DK)
        store_rows(d_k, dk, rows, ks, H * DK, inside, DK)
        if not NEEDS_DECAY:
            pass
        elif SCALAR:
            scalar_decay += tl.sum(tl.where(ks[None, :] < DK, dg, 0.0), 1)
        else:
            store_rows(d_g + first * DK, dg, rows, ks, H * DK, inside, DK)
    if SCALAR and NEEDS_DECAY:
        tl.store(d_g + first + rows * H, scalar_decay, mask=inside)


@triton.jit
def _pair_gradients(d_out, values_t, values, d_out_t, i, j, DOT: tl.constexpr):
    """The gradient of the score of i and j, whichever of them is the later one."""
    return tl.where(i > j, tl.dot(d_out, values_t, input_precision=DOT), tl.dot(values, d_out_t, input_precision=DOT))


@triton.jit
def _far_gradients(
    dq, dk, dg, queries, keys, decay, w, i, j, SIZE: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    e = tl.exp2(sums(in_factor(i, j, SIZE), decay, PRECISION, INTERPRETED))
    x = factor(tl.where(is_query(i, SIZE), queries, keys) * e, PRECISION, INTERPRETED)
    dx = tl.dot(tl.where(is_pair(i, j, SIZE), w, 0.0), x, input_precision=DOT)
    dg += sums(in_factor(j, i, SIZE), dx * x, PRECISION, INTERPRETED)
    dx *= e
    dq += tl.where(is_query(i, SIZE), dx, 0.0)
    dk += tl.where(is_query(i, SIZE), 0.0, dx)
    return dq, dk, dg


@triton.jit
def _near_gradients(
    dq, dk, dg, queries, keys, decay, w, i, j, SIZE: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    members = tl.broadcast_to(in_factor(i, j, SIZE), (BLOCKS, ROWS, ROWS))
    transposed = tl.broadcast_to(in_factor(j, i, SIZE), (BLOCKS, ROWS, ROWS))
    e = tl.exp2(sums(members, decay, PRECISION, INTERPRETED))
    x = factor(tl.where(is_query(i, SIZE), queries, keys) * e, PRECISION, INTERPRETED)
    dx = tl.dot(tl.where(is_pair(i, j, SIZE), w, 0.0), x, input_precision=DOT)
    dg += sums(transposed, dx * x, PRECISION, INTERPRETED)
    dx *= e
    dq += tl.where(is_query(i, SIZE), dx, 0.0)
    dk += tl.where(is_query(i, SIZE), 0.0, dx)
    return dq, dk, dg
