"""One decay per channel inside chunks, exactly, by halving the chunk recursively.

Between tokens j < i lies the decay exp(g_{j+1} + … + g_i) of each channel. The usual factorisation
(q_i e^{P_i}) · (k_j e^{−P_j}) over prefix sums P overflows once the decay is strong. But a pair lies in exactly one of
the recursively halved blocks whose middle separates it, and there it is

    (q_i e^{sum from the middle to i}) · (k_j e^{sum from j to the middle}),

with both factors at most one. All pairs of a level are one batched matrix product, and going up a level multiplies
the right halves' queries by the left halves' total decays, and the left halves' keys by the right halves'. At the top
the queries have been decayed from the chunk's start and the keys to its end, which is what the states need.
"""

from functools import partial

import torch
from torch import Tensor

from decaystudy.ops.decayed_chunk import DecayedChunk, DecayedChunkGradients, no_gradients


def within_chunks(q: Tensor, k: Tensor, g: Tensor, scores: bool, gradients: bool) -> DecayedChunk:
    chunks, length, width = k.shape
    rows = q.shape[1] // length
    decay = first = g.exp()
    reads = (q.view(chunks, length, rows, width) * decay.unsqueeze(2)).view(q.shape)
    writes = k.clone()
    products = q.new_zeros(chunks, length * rows, length) if scores else q.new_empty(0)
    levels: list[tuple[Tensor, ...]] = []
    total = g
    size = 1
    while size < length:
        right, left = _halves(reads, size * rows)[1], _halves(writes, size)[0]
        # At this level two neighbouring blocks are the halves of one of 2·size tokens: the queries on the right have
        # been decayed from its middle, and the keys on the left to it.
        if scores:
            block = _lower_left(products, size * rows, size)
            block.copy_(((right * left).sum(-1) if size == 1 else torch.bmm(right, left.mT)).view(block.shape))
        # Sums of logarithms rather than products of decays: near one the products would drift.
        if size > 1:
            decay = total.exp()
        of_left, of_right = (decay[:, half::2].reshape(-1, 1, width) for half in (0, 1))
        if gradients:
            levels.append((right.clone(), left.clone(), of_left, of_right))
        right *= of_left
        left *= of_right
        total = total[:, 0::2] + total[:, 1::2]
        size *= 2
    total = total.squeeze(1).exp()
    backward = partial(_backward, q, first, levels, total) if gradients else no_gradients
    return DecayedChunk(products, reads, writes, total, backward)


def _backward(
    q: Tensor, first: Tensor, levels: list[tuple[Tensor, ...]], total: Tensor, d: DecayedChunkGradients
) -> tuple[Tensor, Tensor, Tensor]:
    """Down the levels again. d_g holds the gradients of the blocks' sums of log-decays.

    For x with a factor e^s the gradient of s is x·dx. The sum of a block of 2·size tokens is that of its two halves, so
    each half inherits the block's gradient, and adds what its own decay did to the other half's queries or keys.
    """
    chunks, length, width = first.shape
    rows = q.shape[1] // length
    d_g = (d.total * total).unsqueeze(1)
    for right, left, of_left, of_right in reversed(levels):
        size = left.shape[1]
        d_right, d_left = _halves(d.reads, size * rows)[1], _halves(d.writes, size)[0]
        d_halves = d_g.new_empty(chunks, d_g.shape[1], 2, width)
        for half, d_x, x, factor in ((0, d_right, right, of_left), (1, d_left, left, of_right)):
            d_factor = (d_x * x).sum(1, keepdim=True) if x.shape[1] > 1 else d_x * x
            torch.addcmul(d_g, d_factor.view(d_g.shape), factor.view(d_g.shape), out=d_halves[:, :, half])
        d_g = d_halves.view(chunks, -1, width)
        block = _lower_left(d.scores, size * rows, size).reshape(-1, size * rows, size)
        _scale_and_add_product(d_right, of_left, block, left)
        _scale_and_add_product(d_left, of_right, block.mT, right)
    d_q = d.reads.view(chunks, length, rows, width).mul_(first.unsqueeze(2))
    for row in range(rows):
        d_g.addcmul_(d_q[:, :, row], q.view(d_q.shape)[:, :, row])
    return d.reads, d.writes, d_g


def _halves(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Left and right halves, (blocks, size, Dk) each, of the blocks of 2·size rows."""
    x = x.view(-1, 2, size, x.shape[-1])
    return x[:, 0], x[:, 1]


def _lower_left(scores: Tensor, rows: int, columns: int) -> Tensor:
    """(N, blocks, rows, columns): for each block on the diagonal, its right half's rows on its left half's columns."""
    blocks = scores.shape[2] // (2 * columns)
    x = scores.view(len(scores), blocks, 2 * rows, blocks, 2 * columns).diagonal(dim1=1, dim2=3)
    return x[:, rows:, :columns].permute(0, 3, 1, 2)


def _scale_and_add_product(x: Tensor, factor: Tensor, a: Tensor, b: Tensor) -> None:
    """x = factor · x + a @ b, batched. For one or two terms, calling a matrix product costs more than the product."""
    if b.shape[1] <= 2:
        x *= factor
        for term in range(b.shape[1]):
            x.addcmul_(a[:, :, term : term + 1], b[:, term : term + 1])
    else:
        torch.addcmul(torch.bmm(a, b), x, factor, out=x)
