"""Device functions that the Triton kernels share: decays inside a chunk as sums, levels and rounded factors.

A chunk of CHUNK tokens is halved recursively. A pair of tokens j < i lies in exactly one block of 2·SIZE tokens whose
middle separates it, and there its decay is a product of two factors that are at most one,

    exp(sum of log-decays from the middle to i) · exp(sum of log-decays from j + 1 to the middle),

so that at each of the LEVELS every token has one factor, as a query in a right half or as a key in a left one. Two
more kinds of factors lead through the state: READ from the chunk's start to a token, WRITE from a token to its end;
and EVERY is the whole chunk's.
Each exponent is a sum that tensor cores make, by a product with a matrix of zeros and ones (`member_matrices`): no sum
is a difference of two, nothing overflows, and no sum holds a later token. A log-decay below CUT counts as CUT, whose
exponential is zero in float32 like that of −inf.
"""

import triton
import triton.language as tl

CHUNK = tl.constexpr(64)
LEVELS = tl.constexpr(6)
"""log2 of CHUNK."""
READ = tl.constexpr(6)
WRITE = tl.constexpr(7)
EVERY = tl.constexpr(8)
HALF = tl.constexpr(32)
"""CHUNK // 2. Both halves of a chunk, their channels one below the other, are a tensor (2·channels, HALF)."""
CUT = tl.constexpr(-1.0e4)
LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def tile_of(program, DK: tl.constexpr, DV: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr):
    """The head (in 64 bits) and the first channels of keys and values of a program that holds BV × BK channels."""
    k_tiles: tl.constexpr = (DK + BK - 1) // BK
    v_tiles: tl.constexpr = (DV + BV - 1) // BV
    head = (program // (k_tiles * v_tiles)).to(tl.int64)
    return head, program % k_tiles * BK, (program // k_tiles) % v_tiles * BV


@triton.jit
def round_bits(x, DROPPED: tl.constexpr):
    """float32 without its last DROPPED bits, rounded to nearest."""
    bits = x.to(tl.int32, bitcast=True)
    bits = (bits + (1 << (DROPPED - 1))) & (-(1 << DROPPED))
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def factor(x, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """A float32 factor of a product inside a chunk, rounded: tensor cores would cut the bits that TF32 lacks."""
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
def sums_of_rows(members, x, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """members @ x, x float32; products with 0 and 1 are exact.

    x, at least CUT / log 2, goes as float16: eleven bits in bfloat16 calls, and else with what rounding took.
    """
    if INTERPRETED:
        total = tl.dot(members, round_bits(x, 13) if PRECISION == "bf16" else x, input_precision="ieee")
    else:
        first = x.to(tl.float16)
        total = tl.dot(members, first)
        if PRECISION != "bf16":
            total = tl.dot(members, (x - first.to(tl.float32)).to(tl.float16), total)
    return total


@triton.jit
def sums_of_columns(x, members, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """x @ members, as `sums_of_rows`."""
    if INTERPRETED:
        total = tl.dot(round_bits(x, 13) if PRECISION == "bf16" else x, members, input_precision="ieee")
    else:
        first = x.to(tl.float16)
        total = tl.dot(first, members)
        if PRECISION != "bf16":
            total = tl.dot((x - first.to(tl.float32)).to(tl.float16), members, total)
    return total


@triton.jit
def add_gradient_sums(total, x, members, PRECISION: tl.constexpr, DOT: tl.constexpr, INTERPRETED: tl.constexpr):
    """total + x @ members for terms that don't cancel, and need no more precision than other factors."""
    if PRECISION == "bf16" and not INTERPRETED:
        total = tl.dot(x.to(tl.bfloat16), members.to(tl.bfloat16), total)
    else:
        x = narrow(x, PRECISION, INTERPRETED)
        total = tl.dot(x, members.to(tl.float32), total, input_precision=DOT)
    return total


@triton.jit
def placed(x, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """A loaded input (CHUNK, ·) in float32, held by the threads that hold such a product's result.

    A product with the identity takes it there once; else the compiler may do it at every use, through shared memory.
    """
    if PRECISION == "bf16" and not INTERPRETED:
        i, j = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
        x = tl.dot(tl.where(i == j, 1.0, 0.0).to(tl.bfloat16), x)
    else:
        x = x.to(tl.float32)
    return x


@triton.jit
def paired(x, PRECISION: tl.constexpr):
    """x with its columns in another order, in which a product's result has the layout of a TF32 product's factor.

    A tensor core's thread holds columns 2c and 2c + 1 of a result, and c and c + 4 of a factor. Both factors of a
    product must be `paired`, along the dimension that is summed.
    """
    rows: tl.constexpr = x.shape[0]
    columns: tl.constexpr = x.shape[1]
    if PRECISION != "fp32":  # whose factors in three parts Triton 3.2 then can't place
        x = tl.permute(tl.reshape(x, (rows, columns // 8, 4, 2)), (0, 1, 3, 2))
    return tl.reshape(x, (rows, columns))


@triton.jit
def before_pairing(column, PRECISION: tl.constexpr):
    """The column of x that is at `column` in `paired`(x)."""
    if PRECISION != "fp32":
        column = (column & -8) | ((column & 3) << 1) | ((column >> 2) & 1)
    return column


@triton.jit
def to_halves(x):
    """(CHUNK, channels) as (2·channels, HALF).

    Rows go by eights, eight channels' first halves and then their second ones: rows r and r + 8 of a product are in the
    same thread, so that halves are told apart and swapped without cost.
    """
    channels: tl.constexpr = x.shape[1]
    x = tl.permute(tl.reshape(x, (2, HALF, channels // 8, 8)), (2, 0, 3, 1))
    return tl.reshape(x, (2 * channels, HALF))


@triton.jit
def from_halves(x):
    """(2·channels, HALF) as (CHUNK, channels)."""
    channels: tl.constexpr = x.shape[0] // 2
    x = tl.permute(tl.reshape(x, (channels // 8, 2, 8, HALF)), (1, 3, 0, 2))
    return tl.reshape(x, (CHUNK, channels))


@triton.jit
def other_half(x):
    """(2·channels,): the other half's."""
    rows: tl.constexpr = x.shape[0]
    to, of = tl.arange(0, 2)[None, :, None, None], tl.arange(0, 2)[None, None, :, None]
    x = tl.where(to != of, tl.reshape(x, (rows // 16, 1, 2, 8)), 0.0)
    return tl.reshape(tl.sum(x, 2), (rows,))


@triton.jit
def swapped(x):
    """(2·channels, HALF): the other half's."""
    rows: tl.constexpr = x.shape[0]
    to, of = tl.arange(0, 2)[None, :, None, None, None], tl.arange(0, 2)[None, None, :, None, None]
    x = tl.where(to != of, tl.reshape(x, (rows // 16, 1, 2, 8, HALF)), 0.0)
    return tl.reshape(tl.sum(x, 2), (rows, HALF))


@triton.jit
def is_query(i, level):
    """Whether token i of a chunk is in a right half, where halves have 2^level tokens."""
    return (i >> level) & 1 == 1


@triton.jit
def is_pair(i, j, level):
    """Whether i and j are separated by the middle of a block of two halves of 2^level tokens."""
    return (i ^ j) >> level == 1


@triton.jit
def is_asked(i, j, level):
    """Whether i is a query and j a key of such a pair. Compares rows with columns: little to keep in a loop."""
    half = i >> level
    return tl.where(half & 1 == 1, half - 1, -1) == j >> level


@triton.jit
def load_members(members, level, i, u):
    """Whether the factor of token i at a level (or READ, WRITE, EVERY) holds the log-decay of token u, as 1 and 0."""
    return tl.load(members + level * (CHUNK * CHUNK) + i * CHUNK + u)


@triton.jit
def load_rows(x, rows, columns, stride, inside, WIDTH: tl.constexpr):
    """x[rows, columns]; zero outside of the sequence and beyond WIDTH. rows and columns broadcast."""
    return tl.load(x + rows * stride + columns, mask=inside & (columns < WIDTH), other=0.0)


@triton.jit
def store_rows(x, values, rows, columns, stride, inside, WIDTH: tl.constexpr):
    tl.store(x + rows * stride + columns, values.to(x.dtype.element_ty), mask=inside & (columns < WIDTH))


@triton.jit
def load_decay(
    g, ceilings, rows, columns, stride, inside, WIDTH: tl.constexpr, HAS_RESETS: tl.constexpr
):  # fmt: skip
    """Log-decays (base 2) of rows, at least CUT, and CUT where `ceilings` (B, T) has it: at resets.

    rows broadcast with columns.
    """
    x = load_rows(g, rows, columns, stride, inside, WIDTH)
    if HAS_RESETS:
        ceiling = tl.load(ceilings + rows, mask=inside, other=0.0)
        x = tl.minimum(x, ceiling, propagate_nan=tl.PropagateNan.ALL)
    return tl.maximum(x, CUT, propagate_nan=tl.PropagateNan.ALL) * LOG2_E
