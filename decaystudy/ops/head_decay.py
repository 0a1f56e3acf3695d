"""One decay per head inside chunks, exactly: the decays of a chunk's pairs are one C × C matrix that multiplies q·k.

Each pair has its own running sum of log-decays; a difference of two prefix sums would lose digits after a strong decay
in the same chunk.
"""

import torch
from torch import Tensor

from decaystudy.ops.decayed_chunk import DecayedChunk, DecayedChunkGradients, no_gradients


def within_chunks(q: Tensor, k: Tensor, g: Tensor, scores: bool, gradients: bool) -> DecayedChunk:
    chunks, length, width = k.shape
    rows = q.shape[1] // length
    g = g.squeeze(-1)
    later = torch.ones(length, length, dtype=torch.bool, device=g.device).triu_(1)
    # From token j (rows) to a later i: each row sums its own g_{j+1} + … + g_i. The zeros up to j are selected, since
    # 0 · −inf would be NaN.
    pairs = torch.where(later, g.unsqueeze(1), 0.0).cumsum(-1).exp_()
    to_end, decays, outside = pairs[:, :, -1:], pairs.mT.unsqueeze(2), ~later.mT.unsqueeze(1)
    from_start = g.cumsum(-1).exp_().unsqueeze(-1)
    reads = (q.view(chunks, length, rows, width) * from_start.unsqueeze(2)).view(q.shape)
    writes = k * to_end
    total = from_start[:, -1]
    products = torch.bmm(q, k.mT) if scores else q.new_empty(0)
    if scores:
        products.view(chunks, length, rows, length).mul_(decays).masked_fill_(outside, 0.0)

    def backward(d: DecayedChunkGradients) -> tuple[Tensor, Tensor, Tensor]:
        d_products = d.scores.view(chunks, length, rows, length) * decays
        d_products = d_products.masked_fill_(outside, 0.0).view(d.scores.shape)
        # For x with a factor e^s the gradient of s is x·dx. What a token writes to the chunk's end, and what it reads
        # from its start, are pairs like the others, with one of the two tokens outside the chunk.
        d_pairs = (d_products * torch.bmm(q, k.mT)).view(chunks, length, rows, length).sum(2)
        d_pairs[:, -1] += (d.writes * writes).sum(-1)
        d_start = (d.reads * reads).view(chunks, length, -1).sum(-1)
        d_start[:, -1] += (d.total * total).squeeze(-1)
        # g_s is a term of every pair j < s ≤ i: sum over i ≥ s, then over j < s.
        d_g = d_pairs.flip(1).cumsum(1).flip(1).tril_(-1).sum(-1) + d_start.flip(1).cumsum(1).flip(1)
        d.reads.view(chunks, length, rows, width).mul_(from_start.unsqueeze(2))
        d.writes.mul_(to_end)
        return d.reads.baddbmm_(d_products, k), d.writes.baddbmm_(d_products.mT, q), d_g.unsqueeze(-1)

    return DecayedChunk(products, reads, writes, total, backward if gradients else no_gradients)
