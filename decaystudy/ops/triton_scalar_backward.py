"""The kernel that makes a chunk's gradients where a head has one log-decay, given the states around it."""

import triton
import triton.language as tl

from decaystudy.ops.triton_levels import (
    CHUNK,
    CUT,
    LOG2_E,
    READ,
    factor,
    load_members,
    load_rows,
    narrow,
    operand,
    round_bits,
    store_rows,
)
from decaystudy.ops.triton_scalar import decay_matrix, scaled


@triton.jit
def split(x, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """A float32 factor of a product with inputs, as two terms: bfloat16 ones in bfloat16 calls, else x and nothing.

    Two products of bfloat16 take as long as one of TF32, and keep five bits more.
    """
    if PRECISION != "bf16":
        first, rest = factor(x, PRECISION, INTERPRETED), tl.zeros_like(x)
    elif INTERPRETED:
        first = round_bits(x, 16)
        rest = round_bits(x - first, 16)
    else:
        first = x.to(tl.bfloat16)
        rest = (x - first.to(tl.float32)).to(tl.bfloat16)
    return first, rest


@triton.jit
def dot_split(first, rest, y, total, PRECISION: tl.constexpr, DOT: tl.constexpr):
    """total + (first + rest) @ y, of what `split` made."""
    total = tl.dot(first, y, total, input_precision=DOT)
    if PRECISION == "bf16":
        total = tl.dot(rest, y, total, input_precision=DOT)
    return total


@triton.jit(do_not_specialize=["T", "H", "chunks"])
def scalar_gradient_kernel(
    q, k, v, d_o, members, logs, reads, writes, states, d_states, d_q, d_k, d_v, d_g,
    T, H, chunks,
    q_b, q_t, q_h, k_b, k_t, k_h, v_b, v_t, v_h, o_b, o_t, o_h,
    DK: tl.constexpr, DV: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, NEEDS_DECAY: tl.constexpr,
    PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """All gradients of a chunk, in one program.

    states hold each chunk's S before it and d_states the gradient of S after it. With P = q kᵀ, A = P ∘ D, dA = d_o vᵀ
    and dP = dA ∘ D: d_v = Aᵀ d_o + w ∘ (k d_S), d_q = dP k + r ∘ (d_o S), d_k = dPᵀ q + w ∘ (v d_S), r and w the decays
    from the chunk's start and to its end. The log-decay of token u gets dA_ij A_ij of the pairs j < u ≤ i, and likewise
    of what reads, writes and passes through a state: no two large terms cancel, and no token's product with itself,
    which has no decay, is among them.
    """
    program = tl.program_id(0)
    head, chunk = (program // chunks).to(tl.int64), (program % chunks).to(tl.int64)
    b, h = head // H, head % H
    start = chunk * CHUNK
    q += b * q_b + h * q_h + start * q_t
    k += b * k_b + h * k_h + start * k_t
    v += b * v_b + h * v_h + start * v_t
    d_o += b * o_b + h * o_h + start * o_t
    first = (b * T + start) * H + h
    d_q += first * DK
    d_k += first * DK
    d_v += first * DV
    logs += (head * chunks + chunk) * CHUNK
    reads += (head * chunks + chunk) * CHUNK
    writes += (head * chunks + chunk) * CHUNK
    states += (head * chunks + chunk) * (DK * DV)
    d_states += (head * chunks + chunk) * (DK * DV)
    i, j = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
    inside = start + i < T

    decays = decay_matrix(logs, members, PRECISION, INTERPRETED)
    a = tl.zeros((CHUNK, CHUNK), tl.float32)
    for tile in range(0, DK, BK):
        ks = tile + tl.arange(0, BK)[None, :]
        queries = operand(load_rows(q, i, ks, q_t, inside, DK), PRECISION, INTERPRETED)
        keys = operand(load_rows(k, i, ks, k_t, inside, DK), PRECISION, INTERPRETED)
        a = tl.dot(queries, tl.trans(keys), a, input_precision=DOT)
    d_a = tl.zeros((CHUNK, CHUNK), tl.float32)
    for v_tile in range(0, DV, BV):
        vs = v_tile + tl.arange(0, BV)[None, :]
        d_out = operand(load_rows(d_o, i, vs, o_t, inside, DV), PRECISION, INTERPRETED)
        values = operand(load_rows(v, i, vs, v_t, inside, DV), PRECISION, INTERPRETED)
        d_a = tl.dot(d_out, tl.trans(values), d_a, input_precision=DOT)
    a = scaled(a, decays)
    if NEEDS_DECAY:
        # Of the pairs j < u ≤ i: summed over i by a product, then over j.
        since = operand(tl.trans(load_members(members, READ, i, j)), PRECISION, INTERPRETED)
        pairs, rest = split(d_a * a, PRECISION, INTERPRETED)
        of_pairs = tl.dot(since, pairs, input_precision=DOT)
        if PRECISION == "bf16":
            of_pairs = tl.dot(since, rest, of_pairs, input_precision=DOT)
        dg = tl.sum(tl.where(i > j, of_pairs, 0.0), 1)
    a = narrow(a, PRECISION, INTERPRETED)
    d_p, rest = split(scaled(d_a, decays), PRECISION, INTERPRETED)

    for v_tile in range(0, DV, BV):
        vs = v_tile + tl.arange(0, BV)[None, :]
        vr = v_tile + tl.arange(0, BV)[:, None]
        total = tl.zeros((CHUNK, BV), tl.float32)
        for tile in range(0, DK, BK):
            ks = tile + tl.arange(0, BK)[None, :]
            keys = operand(load_rows(k, i, ks, k_t, inside, DK), PRECISION, INTERPRETED)
            d_state = operand(load_rows(d_states, vr, ks, DK, vr < DV, DK), PRECISION, INTERPRETED)
            total = tl.dot(keys, tl.trans(d_state), total, input_precision=DOT)
        d_out = operand(load_rows(d_o, i, vs, o_t, inside, DV), PRECISION, INTERPRETED)
        total = tl.dot(tl.trans(a), d_out, scaled(total, tl.load(writes + i)), input_precision=DOT)
        store_rows(d_v, total, i, vs, H * DV, inside, DV)

    of_reads = tl.zeros((CHUNK, 1), tl.float32)
    of_writes = tl.zeros((CHUNK, 1), tl.float32)
    passed = tl.zeros((BK,), tl.float32)
    for tile in range(0, DK, BK):
        ks = tile + tl.arange(0, BK)[None, :]
        dq = tl.zeros((CHUNK, BK), tl.float32)
        for v_tile in range(0, DV, BV):
            vs = v_tile + tl.arange(0, BV)[None, :]
            vr = v_tile + tl.arange(0, BV)[:, None]
            state = operand(load_rows(states, vr, ks, DK, vr < DV, DK), PRECISION, INTERPRETED)
            if NEEDS_DECAY:
                d_state = operand(load_rows(d_states, vr, ks, DK, vr < DV, DK), PRECISION, INTERPRETED)
                passed += tl.sum(state.to(tl.float32) * d_state.to(tl.float32), 0)
            d_out = operand(load_rows(d_o, i, vs, o_t, inside, DV), PRECISION, INTERPRETED)
            dq = tl.dot(d_out, state, dq, input_precision=DOT)
        dq = scaled(dq, tl.load(reads + i))
        if NEEDS_DECAY:
            queries = load_rows(q, i, ks, q_t, inside, DK).to(tl.float32)
            of_reads += tl.sum(dq * queries, 1)[:, None]
        keys = operand(load_rows(k, i, ks, k_t, inside, DK), PRECISION, INTERPRETED)
        dq = dot_split(d_p, rest, keys, dq, PRECISION, DOT)
        store_rows(d_q, dq, i, ks, H * DK, inside, DK)
    for tile in range(0, DK, BK):
        ks = tile + tl.arange(0, BK)[None, :]
        dk = tl.zeros((CHUNK, BK), tl.float32)
        for v_tile in range(0, DV, BV):
            vs = v_tile + tl.arange(0, BV)[None, :]
            vr = v_tile + tl.arange(0, BV)[:, None]
            d_state = operand(load_rows(d_states, vr, ks, DK, vr < DV, DK), PRECISION, INTERPRETED)
            values = operand(load_rows(v, i, vs, v_t, inside, DV), PRECISION, INTERPRETED)
            dk = tl.dot(values, d_state, dk, input_precision=DOT)
        dk = scaled(dk, tl.load(writes + i))
        if NEEDS_DECAY:
            keys = load_rows(k, i, ks, k_t, inside, DK).to(tl.float32)
            of_writes += tl.sum(dk * keys, 1)[:, None]
        queries = operand(load_rows(q, i, ks, q_t, inside, DK), PRECISION, INTERPRETED)
        dk = dot_split(tl.trans(d_p), tl.trans(rest), queries, dk, PRECISION, DOT)
        store_rows(d_k, dk, i, ks, H * DK, inside, DK)
    if NEEDS_DECAY:
        u = tl.arange(0, CHUNK)  # as j in the next line: a query holds u from i = u on, a key before
        dg += tl.sum(tl.where(i >= j, of_reads, of_writes), 0)
        dg += scaled(tl.sum(passed), tl.load(reads + CHUNK - 1))
        # A token that forgets everything has no gradient, whatever its neighbours' magnitudes.
        dg = tl.where(tl.load(logs + u) > CUT * LOG2_E, dg, 0.0)
        tl.store(d_g + first + u * H, dg, mask=start + u < T)
