"""What decay does inside chunks: the decayed scores of all pairs, and the ways in and out of the chunk.

Tensors are chunks of C tokens, C a power of two: queries (N, C·R, Dk) with the R rows of a token adjacent (R = 2 for
DPLR, where keys are queries too), keys (N, C, Dk), log-decays g (N, C, Dk), one a channel, or (N, C, 1), one a head.
Everything is exact for any g in [−inf, 0]: every factor is the exponential of a sum of log-decays, hence at most one,
and no sum is a difference of two. No branch looks at the data, so a token can't change even the rounding of an
earlier one. Plain functions; the gradients are written by hand.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Gradients:
    """Of the outputs of `Within`. `reads` and `writes` are overwritten; `scores` counts below the diagonal only."""

    scores: Tensor
    reads: Tensor
    writes: Tensor
    total: Tensor


@dataclass
class Within:
    scores: Tensor
    """(N, C·R, C): the decayed product of each query with the earlier keys, j < i, zero elsewhere. Empty unless asked
    for."""
    reads: Tensor
    """(N, C·R, Dk): each query, decayed from the chunk's start: what it reads of the incoming state."""
    writes: Tensor
    """(N, C, Dk): each key, decayed to the chunk's end: what it writes to the outgoing state."""
    total: Tensor
    """(N, Dk) or (N, 1): the decay of the whole chunk."""
    backward: Callable[[Gradients], tuple[Tensor, Tensor, Tensor]]
    """Gradients of q, k and g; to be asked for."""


def within(q: Tensor, k: Tensor, g: Tensor, *, scores: bool = True, gradients: bool = False) -> Within:
    """Decay queries and keys within their chunks; `scores` and `gradients` say which of the two are wanted."""
    from decaystudy.ops import channel_decay, head_decay

    return (head_decay if g.shape[-1] == 1 else channel_decay).within(q, k, g, scores, gradients)


def no_gradients(gradients: Gradients) -> tuple[Tensor, Tensor, Tensor]:
    """The backward function where gradients were not asked for."""
    raise RuntimeError("within(…, gradients=True) keeps what the backward pass needs")
