"""What decay makes of a chunk's queries and keys, and the gradients that go back into it: types only.

Tensors are chunks of C tokens, C a power of two: queries (N, C·R, Dk) with the R rows of a token adjacent (R = 2 for
DPLR, where keys are queries too), keys (N, C, Dk), log-decays g (N, C, Dk), one per channel, or (N, C, 1), one per
head.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass
class DecayedChunkGradients:
    """Of the outputs in `DecayedChunk`. `reads` and `writes` are overwritten; of `scores` only what lies below the
    diagonal counts."""

    scores: Tensor
    reads: Tensor
    writes: Tensor
    total: Tensor


@dataclass
class DecayedChunk:
    scores: Tensor
    """(N, C·R, C): the decayed product of each query with the earlier keys, j < i, zero elsewhere. Empty unless asked
    for."""
    reads: Tensor
    """(N, C·R, Dk): each query, decayed from the chunk's start: what it reads of the incoming state."""
    writes: Tensor
    """(N, C, Dk): each key, decayed to the chunk's end: what it writes to the outgoing state."""
    total: Tensor
    """(N, Dk) or (N, 1): the decay of the whole chunk."""
    backward: Callable[[DecayedChunkGradients], tuple[Tensor, Tensor, Tensor]]
    """Gradients of q, k and g; only if they were asked for."""


def no_gradients(gradients: DecayedChunkGradients) -> tuple[Tensor, Tensor, Tensor]:
    """The backward function where gradients were not asked for."""
    raise RuntimeError("within_chunks(…, gradients=True) keeps what the backward pass needs")
