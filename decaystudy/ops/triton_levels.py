"""Device functions that the Triton kernels share: decays inside a chunk as sums, levels and rounded factors.

A chunk of CHUNK tokens is halved recursively. A pair of tokens j < i lies in exactly one block of 2·SIZE tokens whose
middle separates it, and there its decay is a product of two factors that are at most one,

    exp(sum of log-decays from the middle to i) · exp(sum of log-decays from j + 1 to the middle),

so that at each level every token has one factor, as a query in a right half or as a key in a left one. All sums of a
level are one product with a matrix of zeros and ones: no sum is a difference of two, nothing overflows, and no sum
holds a later token. A log-decay below CUT counts as CUT, whose exponential is zero in float32 like that of −inf.
"""

import triton
import triton.language as tl

CHUNK = tl.constexpr(64)
ROWS = tl.constexpr(16)
"""Rows of a tensor core's tile: pairs closer than this are taken from blocks of ROWS × ROWS on the diagonal."""
BLOCKS = tl.constexpr(4)
"""CHUNK // ROWS."""
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
def sums(members, x, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """Sums of rows of x (float32): members (boolean) @ x. In parts of 8 bits, which products with 0 and 1 keep exact.

    Three parts are all of float32, two leave an error of 2^-17.
    """
    if INTERPRETED:
        total = tl.dot(members.to(tl.float32), x, input_precision="ieee")
    else:
        ones = members.to(tl.bfloat16)
        first = x.to(tl.bfloat16)
        rest = x - first.to(tl.float32)
        second = rest.to(tl.bfloat16)
        total = tl.dot(ones, first)
        total = tl.dot(ones, second, total)
        if PRECISION == "fp32":
            total = tl.dot(ones, (rest - second.to(tl.float32)).to(tl.bfloat16), total)
    return total


@triton.jit
def is_query(i, SIZE: tl.constexpr):
    """Whether token i of a chunk is in a right half at the level of halves of SIZE tokens."""
    return (i // SIZE) % 2 == 1


@triton.jit
def in_factor(i, u, SIZE: tl.constexpr):
    """Whether the factor of token i at a level holds the log-decay of token u."""
    same_half = i // SIZE == u // SIZE
    return same_half & ((u <= i) == is_query(i, SIZE))


@triton.jit
def is_pair(i, j, SIZE: tl.constexpr):
    """Whether i and j are separated by the middle of a block of 2·SIZE tokens."""
    return (i // (2 * SIZE) == j // (2 * SIZE)) & (i // SIZE != j // SIZE)


@triton.jit
def load_rows(x, rows, columns, stride, inside, WIDTH: tl.constexpr):
    """x[rows, columns] from row pointers; zero outside of the sequence and beyond WIDTH."""
    mask = inside[:, None] & (columns[None, :] < WIDTH)
    return tl.load(x + rows[:, None] * stride + columns[None, :], mask=mask, other=0.0)


@triton.jit
def store_rows(x, values, rows, columns, stride, inside, WIDTH: tl.constexpr):
    mask = inside[:, None] & (columns[None, :] < WIDTH)
    tl.store(x + rows[:, None] * stride + columns[None, :], values.to(x.dtype.element_ty), mask=mask)


@triton.jit
def load_decay(g, rows, columns, stride, inside, cut, WIDTH: tl.constexpr, SCALAR: tl.constexpr):
    """Log-decays (base 2) of a chunk's rows, at least CUT; `cut` (boolean) marks rows that forget everything."""
    if SCALAR:
        one = tl.load(g + rows * stride, mask=inside, other=0.0)
        x = tl.broadcast_to(one[:, None], (rows.shape[0], columns.shape[0]))
    else:
        x = load_rows(g, rows, columns, stride, inside, WIDTH)
    x = tl.where(cut[:, None] | (x < CUT), CUT, x)
    return x * LOG2_E


@triton.jit
def load_resets(resets, rows, inside, HAS_RESETS: tl.constexpr):
    if HAS_RESETS:
        cut = tl.load(resets + rows, mask=inside, other=0) != 0
    else:
        cut = rows < 0
    return cut
