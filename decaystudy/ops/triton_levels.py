"""Device functions that the Triton kernels share: decays inside a chunk as sums, levels and rounded factors.

A chunk of CHUNK tokens is halved recursively. A pair of tokens j < i lies in exactly one block of 2·SIZE tokens whose
middle separates it, and there its decay is a product of two factors that are at most one,

    exp(sum of log-decays from the middle to i) · exp(sum of log-decays from j + 1 to the middle),

so that at each level every token has one factor, as a query in a right half or as a key in a left one. Sums are
products with matrices of zeros and ones: no sum is a difference of two, nothing overflows, and no sum holds a later
token. A log-decay below CUT counts as CUT, whose exponential is zero in float32 like that of −inf.

Tensors inside a chunk are (BLOCKS, ROWS, ·): halves below ROWS tokens ("near") are levels inside blocks, one tensor
core's tile each; those of ROWS and 2·ROWS tokens ("far") are levels of whole blocks.
"""

import triton
import triton.language as tl

CHUNK = tl.constexpr(64)
ROWS = tl.constexpr(16)
BLOCKS = tl.constexpr(4)
"""CHUNK // ROWS."""
SPANS = tl.constexpr(16)
"""Rows of sums over whole blocks, of which 3·BLOCKS + 1 are used."""
BEFORE = tl.constexpr(0)
AFTER = tl.constexpr(1)
BETWEEN = tl.constexpr(2)
ALL = tl.constexpr(3)
CUT = tl.constexpr(-1.0e4)
LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def round_bits(x, DROPPED: tl.constexpr):
    """float32 without its last DROPPED bits, rounded to nearest."""
    bits = x.to(tl.int32, bitcast=True)
    bits = (bits + (1 << (DROPPED - 1))) & (-(1 << DROPPED))
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def factor(x, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """A float32 factor of a product inside a chunk. Tensor cores drop the bits that TF32 lacks; rounding comes first."""
    if PRECISION != "fp32":
        if INTERPRETED:
            x = round_bits(x, 13)
        else:
            x = (x.to(tl.int32, bitcast=True) + 0x1000).to(tl.float32, bitcast=True)
    return x


@triton.jit
def narrow(x, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """A float32 factor of a product between chunks: bfloat16 in bfloat16 calls, which the interpreter imitates."""
    if PRECISION != "bf16":
        x = factor(x, PRECISION, INTERPRETED)
    elif INTERPRETED:
        x = round_bits(x, 16)
    else:
        x = x.to(tl.bfloat16)
    return x


@triton.jit
def operand(x, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """A loaded input as a factor of a product: bfloat16 in bfloat16 calls, else float32."""
    if PRECISION == "bf16" and not INTERPRETED:
        x = x.to(tl.bfloat16)
    else:
        x = x.to(tl.float32)
    return x


@triton.jit
def first_bits(x):
    """float32 cut to bfloat16's eight bits."""
    return ((x.to(tl.int32, bitcast=True) >> 16) & 0xFFFF).to(tl.int16).to(tl.bfloat16, bitcast=True)


@triton.jit
def sums(members, x, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """Sums of rows of x (float32), members (boolean) @ x, whose products with 0 and 1 are exact.

    x goes in parts of 8 bits: three are all of float32, two leave an error of 2^-16.
    """
    if INTERPRETED:
        total = tl.dot(members.to(tl.float32), x, input_precision="ieee")
    else:
        ones = members.to(tl.bfloat16)
        first = first_bits(x)
        rest = x - first.to(tl.float32)
        second = first_bits(rest)
        total = tl.dot(ones, first)
        total = tl.dot(ones, second, total)
        if PRECISION == "fp32":
            total = tl.dot(ones, first_bits(rest - second.to(tl.float32)), total)
    return total


@triton.jit
def gradient_sums(members, x, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """`sums` of terms that need no more precision than other factors: they don't cancel."""
    if PRECISION == "fp32":
        total = sums(members, x, PRECISION, INTERPRETED)
    else:
        x = narrow(x, PRECISION, INTERPRETED)
        total = tl.dot(members.to(x.dtype), x, input_precision="tf32")
    return total


@triton.jit
def spans(blocks, u):
    """Whether log-decay u of a chunk is part of a sum over whole blocks, by the sum's row (SPANS, 1).

    For each block a: rows a, all blocks before it; BLOCKS + a, all after it; 2·BLOCKS + a, those between it and the
    chunk's middle; and 3·BLOCKS, all blocks.
    """
    a, b = blocks % BLOCKS, u // ROWS
    before = (blocks < BLOCKS) & (b < a)
    after = (blocks // BLOCKS == 1) & (b > a)
    between = (blocks // BLOCKS == 2) & (((a == 0) & (b == 1)) | ((a == 3) & (b == 2)))
    return before | after | between | (blocks >= 3 * BLOCKS)


@triton.jit
def load_span(sums, kind: tl.constexpr, blocks, columns, WIDTH: tl.constexpr):
    """Rows kind·BLOCKS + blocks of the sums over whole blocks that `spans` describes, stored (SPANS, WIDTH)."""
    return tl.load(sums + (kind * BLOCKS + blocks) * WIDTH + columns, mask=columns < WIDTH, other=0.0)


@triton.jit
def is_query(i, level):
    """Whether token i of a chunk is in a right half, where halves have 2^level tokens."""
    return (i >> level) & 1 == 1


@triton.jit
def in_factor(i, u, level):
    """Whether the factor of token i at a level holds the log-decay of token u."""
    return (i >> level == u >> level) & ((u <= i) == is_query(i, level))


@triton.jit
def is_pair(i, j, level):
    """Whether i and j are separated by the middle of a block of two halves of 2^level tokens."""
    return (i ^ j) >> level == 1


@triton.jit
def load_rows(x, rows, columns, stride, inside, WIDTH: tl.constexpr):
    """x[rows, columns]; zero outside of the sequence and beyond WIDTH. rows and columns broadcast."""
    return tl.load(x + rows * stride + columns, mask=inside & (columns < WIDTH), other=0.0)


@triton.jit
def store_rows(x, values, rows, columns, stride, inside, WIDTH: tl.constexpr):
    tl.store(x + rows * stride + columns, values.to(x.dtype.element_ty), mask=inside & (columns < WIDTH))


@triton.jit
def load_decay(g, rows, columns, stride, inside, cut, WIDTH: tl.constexpr, SCALAR: tl.constexpr):
    """Log-decays (base 2) of rows, at least CUT; `cut` (boolean) marks rows that forget everything."""
    if SCALAR:
        x = tl.load(g + rows * stride + columns * 0, mask=inside, other=0.0)
    else:
        x = load_rows(g, rows, columns, stride, inside, WIDTH)
    return tl.where(cut | (x < CUT), CUT, x) * LOG2_E


@triton.jit
def load_resets(resets, rows, inside, HAS_RESETS: tl.constexpr):
    if HAS_RESETS:
        cut = tl.load(resets + rows, mask=inside, other=0) != 0
    else:
        cut = rows < 0
    return cut
