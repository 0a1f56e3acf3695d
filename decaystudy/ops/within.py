"""What decay does inside chunks: the decayed scores of all pairs, and the ways in and out of the chunk.

Everything is exact for any log-decay g in [−inf, 0]: every factor is the exponential of a sum of log-decays, hence at
most one, and no sum is a difference of two. No branch looks at the data, so a token can't change even the rounding of
an earlier one. Plain functions; the gradients are written by hand. Shapes as in `decayed_chunk`.
"""

from torch import Tensor

from decaystudy.ops import channel_decay, head_decay
from decaystudy.ops.decayed_chunk import DecayedChunk


def within_chunks(q: Tensor, k: Tensor, g: Tensor, *, scores: bool = True, gradients: bool = False) -> DecayedChunk:
    """Decay queries and keys within their chunks; `scores` and `gradients` say which of the two are wanted."""
    if g.shape[-1] == 1:
        return head_decay.within_chunks(q, k, g, scores, gradients)
    return channel_decay.within_chunks(q, k, g, scores, gradients)
