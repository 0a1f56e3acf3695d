"""The kernels that make a chunk's gradients, given the states around it and their gradients.

The log-decays' gradients come from the exponents' (x dx for a factor x = e^s), through the transposed sums. No two
large terms cancel there, and a token's product with itself, which has no decay, is left out.
"""

import triton
import triton.language as tl

from decaystudy.ops.triton_levels import (
    CHUNK,
    CUT,
    EVERY,
    HALF,
    LEVELS,
    LOG2_E,
    READ,
    WRITE,
    add_gradient_sums,
    before_pairing,
    factor,
    from_halves,
    is_pair,
    is_query,
    load_decay,
    load_members,
    load_rows,
    narrow,
    operand,
    other_half,
    paired,
    store_rows,
    sums_of_columns,
    sums_of_rows,
    swapped,
    to_halves,
)


@triton.jit(do_not_specialize=["T", "H", "chunks"])
def value_gradient_kernel(
    k, v, g, ceilings, members, d_o, scores, d_states, d_v, pairs,
    T, H, chunks,
    k_b, k_t, k_h, v_b, v_t, v_h, g_b, g_t, g_h, o_b, o_t, o_h,
    DK: tl.constexpr, DV: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    HAS_RESETS: tl.constexpr,
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
    ceilings += b * T + start
    d_o += b * o_b + h * o_h + start * o_t
    d_v += ((b * T + start) * H + h) * DV
    d_states += (head * chunks + chunk) * (DK * DV)
    scores += (head * chunks + chunk) * (CHUNK * CHUNK)
    pairs += (head * chunks + chunk) * (CHUNK * CHUNK)
    i, j = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
    inside = start + i < T

    d_scores = tl.zeros((CHUNK, CHUNK), tl.float32)
    for v_tile in tl.static_range(0, DV, BV):
        vs = v_tile + tl.arange(0, BV)[None, :]
        d_out = operand(load_rows(d_o, i, vs, o_t, inside, DV), PRECISION, INTERPRETED)
        values = operand(load_rows(v, i, vs, v_t, inside, DV), PRECISION, INTERPRETED)
        d_scores = tl.dot(d_out, tl.trans(values), d_scores, input_precision=DOT)
    d_scores = factor(d_scores, PRECISION, INTERPRETED)
    tl.store(pairs + i * CHUNK + j, d_scores, mask=i >= j)
    tl.store(pairs + j * CHUNK + i, d_scores, mask=i > j)
    a = operand(tl.load(scores + i * CHUNK + j), PRECISION, INTERPRETED)
    to_end = load_members(members, WRITE, i, j)
    for v_tile in tl.static_range(0, DV, BV):
        vs = v_tile + tl.arange(0, BV)[None, :]
        vr = v_tile + tl.arange(0, BV)[:, None]
        d_out = operand(load_rows(d_o, i, vs, o_t, inside, DV), PRECISION, INTERPRETED)
        total = tl.dot(tl.trans(a), d_out, input_precision=DOT)
        for tile in range(0, DK, BK):
            ks = tile + tl.arange(0, BK)[None, :]
            keys = load_rows(k, i, ks, k_t, inside, DK).to(tl.float32)
            decay = load_decay(g, ceilings, i, ks, g_t, inside, DK, HAS_RESETS)
            d_state = operand(load_rows(d_states, vr, ks, DK, vr < DV, DK), PRECISION, INTERPRETED)
            decayed = keys * tl.exp2(sums_of_rows(to_end, decay, PRECISION, INTERPRETED))
            first = narrow(decayed, PRECISION, INTERPRETED)
            total = tl.dot(first, tl.trans(d_state), total, input_precision=DOT)
            if PRECISION == "bf16":  # what rounding took: under weak decay it costs as much as rounding the result
                rest = narrow(decayed - first.to(tl.float32), PRECISION, INTERPRETED)
                total = tl.dot(rest, tl.trans(d_state), total, input_precision=DOT)
        store_rows(d_v, total, i, vs, H * DV, inside, DV)


@triton.jit(do_not_specialize=["T", "H", "chunks"])
def gradient_kernel(
    q, k, v, g, ceilings, members, d_o, pairs, states, d_states, d_q, d_k, d_g,
    T, H, chunks,
    q_b, q_t, q_h, k_b, k_t, k_h, v_b, v_t, v_h, g_b, g_t, g_h, o_b, o_t, o_h,
    DK: tl.constexpr, DV: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    HAS_RESETS: tl.constexpr, NEEDS_DECAY: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """The gradients of BK channels of a chunk's queries, keys and log-decays, in one program.

    states hold each chunk's S before it and d_states the gradient of S after it. Tensors are transposed, (2·BK, HALF):
    so the result of a product over tokens is, as it lies in registers, a factor of the next.
    """
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
    ceilings += b * T + start
    d_o += b * o_b + h * o_h + start * o_t
    first = (b * T + start) * H + h
    d_q += first * DK
    d_k += first * DK
    pairs += (head * chunks + chunk) * (CHUNK * CHUNK)
    states += (head * chunks + chunk) * (DK * DV)
    d_states += (head * chunks + chunk) * (DK * DV)
    rows = tl.arange(0, CHUNK)[:, None]
    inside = start + rows < T
    ks = tile + tl.arange(0, BK)[None, :]
    second = (tl.arange(0, 2 * BK)[:, None] >> 3) & 1 == 1  # rows of the second half, see `to_halves`
    n, m = tl.arange(0, HALF)[None, :], tl.arange(0, HALF)[:, None]
    levels = tl.minimum(chunks, 1) * (LEVELS - 1)  # known at run time only: an unrolled loop needs too many registers

    # Sums of log-decays come before anything else: in the other order ptxas 12.8 (Triton 3.6) loses the address of one
    # of their factors in shared memory. benchmarks/kernel_resources.py shows whether it does.
    queries = load_rows(q, rows, ks, q_t, inside, DK)
    keys = load_rows(k, rows, ks, k_t, inside, DK)
    decay = load_decay(g, ceilings, rows, ks, g_t, inside, DK, HAS_RESETS)
    queries, keys = to_halves(queries).to(tl.float32), to_halves(keys).to(tl.float32)
    decay = to_halves(decay)
    until, after = load_members(members, READ, m, n), load_members(members, WRITE, m, n)
    read = tl.exp2(sums_of_columns(decay, tl.trans(until), PRECISION, INTERPRETED))
    write = tl.exp2(sums_of_columns(decay, tl.trans(after), PRECISION, INTERPRETED))
    half = sums_of_columns(decay, load_members(members, EVERY, m, n), PRECISION, INTERPRETED)
    other = swapped(half)
    # What comes through the states.
    d_start = tl.zeros((CHUNK, BK), tl.float32)
    d_end = tl.zeros((CHUNK, BK), tl.float32)
    passed = tl.zeros((BK,), tl.float32)
    for v_tile in tl.static_range(0, DV, BV):
        vs = v_tile + tl.arange(0, BV)[None, :]
        vr = v_tile + tl.arange(0, BV)[:, None]
        d_out = operand(load_rows(d_o, rows, vs, o_t, inside, DV), PRECISION, INTERPRETED)
        state = operand(load_rows(states, vr, ks, DK, vr < DV, DK), PRECISION, INTERPRETED)
        values = operand(load_rows(v, rows, vs, v_t, inside, DV), PRECISION, INTERPRETED)
        d_state = operand(load_rows(d_states, vr, ks, DK, vr < DV, DK), PRECISION, INTERPRETED)
        d_start = tl.dot(d_out, state, d_start, input_precision=DOT)
        d_end = tl.dot(values, d_state, d_end, input_precision=DOT)
        passed += tl.sum(state.to(tl.float32) * d_state.to(tl.float32), 0)

    dq = to_halves(d_start) * tl.exp2(tl.where(second, other, 0.0)) * read
    dk = to_halves(d_end) * tl.exp2(tl.where(second, 0.0, other)) * write
    # Across the other half whole, and across the chunk.
    across = other_half(tl.sum(tl.where(second, dq * queries, dk * keys), 1))
    whole = tl.exp2(half + other)
    passed = tl.reshape(tl.broadcast_to(tl.reshape(passed, (BK // 8, 1, 8)), (BK // 8, 2, 8)), (2 * BK,))
    dg = across[:, None] + tl.where(whole > 0.0, passed[:, None], 0.0) * whole
    # Pairs of the two halves.
    above = paired(tl.load(pairs + (HALF + m) * CHUNK + n), PRECISION)  # symmetric: read as its transpose
    below = paired(tl.load(pairs + m * CHUNK + HALF + n), PRECISION)
    x = paired(factor(tl.where(second, queries * read, keys * write), PRECISION, INTERPRETED), PRECISION)
    of_keys = tl.dot(x, tl.trans(above), input_precision=DOT)
    of_queries = tl.dot(x, tl.trans(below), input_precision=DOT)
    dx = swapped(tl.where(second, of_queries, of_keys))
    dq += tl.where(second, dx * read, 0.0)
    dk += tl.where(second, 0.0, dx * write)
    dg = add_gradient_sums(dg, dq * queries, until, PRECISION, DOT, INTERPRETED)
    dg = add_gradient_sums(dg, dk * keys, after, PRECISION, DOT, INTERPRETED)
    w_self = tl.where(second, tl.load(pairs + (HALF + n) * (CHUNK + 1)), tl.load(pairs + n * (CHUNK + 1)))
    dq += w_self * keys
    dk += w_self * queries
    # Pairs inside a half.
    order = before_pairing(n, PRECISION)
    pairs += m * CHUNK + n
    left, right = paired(tl.load(pairs), PRECISION), paired(tl.load(pairs + HALF * (CHUNK + 1)), PRECISION)
    held = load_members(members, 0, m, n)
    for level in tl.range(0, levels, num_stages=1):  # not pipelined, as in `output_kernel`
        of_next = load_members(members, level + 1, m, n)
        queried = is_query(n, level)
        e = tl.exp2(sums_of_columns(decay, tl.trans(held), PRECISION, INTERPRETED))
        of_query, of_key = tl.where(queried, e, 0.0), tl.where(queried, 0.0, e)
        x = factor(queries * of_query + keys * of_key, PRECISION, INTERPRETED)
        of_level = is_pair(m, order, level)
        in_left = tl.dot(paired(x, PRECISION), tl.trans(tl.where(of_level, left, 0.0)), input_precision=DOT)
        in_right = tl.dot(paired(x, PRECISION), tl.trans(tl.where(of_level, right, 0.0)), input_precision=DOT)
        dx = tl.where(second, in_right, in_left)
        dg = add_gradient_sums(dg, dx * x, held, PRECISION, DOT, INTERPRETED)
        dq += dx * of_query
        dk += dx * of_key
        held = of_next
    store_rows(d_q, from_halves(dq), rows, ks, H * DK, inside, DK)
    store_rows(d_k, from_halves(dk), rows, ks, H * DK, inside, DK)
    if NEEDS_DECAY:
        # A token that forgets everything has no gradient, whatever its neighbours' magnitudes.
        dg = from_halves(tl.where(decay > CUT * LOG2_E, dg, 0.0))
        store_rows(d_g + first * DK, dg, rows, ks, H * DK, inside, DK)
