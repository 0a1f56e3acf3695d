"""Where documents begin: the tokens at which a model forgets, if it was told to."""

from __future__ import annotations

import torch
from torch import Tensor


def document_starts(input_ids: Tensor, eos_id: int | None, before: Tensor | None = None) -> Tensor | None:
    """True at each document's first token, (B, T) bool, documents being ended by ``eos_id``; None where that is None.

    Args:
        before: (B,), the tokens before the first ones, where they are known; else nothing starts at the first.
    """
    if eos_id is None:
        return None
    starts = torch.zeros_like(input_ids, dtype=torch.bool)
    starts[:, 1:] = input_ids[:, :-1] == eos_id
    if before is not None:
        starts[:, 0] = before == eos_id
    return starts
