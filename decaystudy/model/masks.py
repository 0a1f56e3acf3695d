"""Which tokens count, which of them may attend to which, and where documents start."""

from __future__ import annotations

import torch
from torch import Tensor

from decaystudy.errors import UserError
from decaystudy.model.state import DecodingState


def token_mask(attention_mask: Tensor | None, input_ids: Tensor) -> Tensor | None:
    """(B, T) bool, false at padding, for input_ids (B, T); None where there is no attention mask.

    Raises:
        UserError: there are no tokens, or the mask doesn't fit them.
    """
    batch, length = input_ids.shape
    if length == 0:
        raise UserError("the model was given no tokens: input_ids needs at least one column")
    if attention_mask is None:
        return None
    if attention_mask.dim() != 2 or attention_mask.shape[0] != batch or attention_mask.shape[1] < length:
        raise UserError(
            f"attention_mask has shape {tuple(attention_mask.shape)} and input_ids {(batch, length)}: "
            "give one entry per token"
        )
    return attention_mask[:, -length:].bool()


def check_resets(resets: Tensor | None, input_ids: Tensor) -> None:
    """Refuse resets that don't fit input_ids (B, T)."""
    if resets is not None and (resets.shape != input_ids.shape or resets.dtype != torch.bool):
        raise UserError(
            f"resets is {str(resets.dtype).removeprefix('torch.')} of shape {tuple(resets.shape)} and input_ids has "
            f"shape {tuple(input_ids.shape)}: give one bool per token, true at a document's first"
        )


def softmax_masks(
    input_ids: Tensor, state: DecodingState | None, mask: Tensor | None, resets: Tensor | None
) -> tuple[Tensor | None, Tensor]:
    """The attention mask of these tokens, None for plain causal, and the key mask for those that follow."""
    key_mask = torch.ones_like(input_ids, dtype=torch.bool) if mask is None else mask
    if state is not None and state.key_mask is not None:
        key_mask = torch.cat((state.key_mask, key_mask), dim=1)
    if state is None and mask is None and resets is None:
        return None, key_mask
    return attention_masks(key_mask, input_ids.shape[1], resets)


def attention_masks(key_mask: Tensor, length: int, resets: Tensor | None) -> tuple[Tensor, Tensor]:
    """Which tokens the last ``length`` ones may attend to, and which of all those that follow may.

    Args:
        key_mask: (B, S) bool, false at padding and in documents that have ended.
        resets: (B, T) bool for the last T = ``length`` tokens.

    Returns:
        attention_mask (B, 1, T, S): token t may attend to s if s isn't later, isn't padding, and no document starts
        after s up to t; and the key mask (B, S) of the tokens that follow.
    """
    total = key_mask.shape[1]
    when = torch.arange(total, device=key_mask.device)
    pairs = (when[None, :] <= when[-length:, None])[None] & key_mask[:, None, :]
    if resets is not None:
        document = torch.cat((key_mask.new_zeros(key_mask.shape[0], total - length), resets), dim=1).cumsum(1)
        pairs = pairs & (document[:, None, :] == document[:, -length:, None])
        key_mask = key_mask & (document == document[:, -1:])
    # A padded token may attend to itself, or its row of the softmax would be empty.
    itself = (when[None, :] == when[-length:, None])[None]
    return (pairs | itself).unsqueeze(1), key_mask
