"""The decoding state as a cache that ``generate`` can carry, reorder and select from."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache

from decaystudy.model.state import DecodingState, LayerState


class StateCache(Cache):
    """What the model remembers of the tokens so far: of constant size, unless the mixer is softmax attention.

    Args:
        state: the model's decoding state.
        seen: how many tokens, padding included, made it.
        last: (B,) each row's last token.
    """

    is_compileable = False

    def __init__(self, state: DecodingState, seen: int, last: Tensor) -> None:
        super().__init__(layers=[])
        self.state = state
        self.seen = seen
        self.last = last

    def __len__(self) -> int:
        return len(self.state.layers)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.seen

    def select(self, rows: Tensor) -> StateCache:
        """A cache that holds these rows of the batch, (N,) int64, in this order; a row may come several times."""
        return StateCache(select_rows(self.state, rows), self.seen, self.last.index_select(0, rows))

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Put the rows in the order of a beam search's survivors."""
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        chosen = self.select(indices.to(self.last.device))
        self.state, self.last = chosen.state, chosen.last

    def batch_repeat_interleave(self, repeats: int) -> None:
        import torch

        self.batch_select_indices(torch.arange(len(self.last), device=self.last.device).repeat_interleave(repeats))

    def crop(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError("a state cannot be cut back to fewer tokens: use a decoding method that never looks back")


def select_rows(state: DecodingState, rows: Tensor) -> DecodingState:
    """The state of these rows of the batch, (N,) int64."""

    def pick(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.index_select(0, rows)

    layers = [
        LayerState(**{field.name: pick(getattr(layer, field.name)) for field in dataclasses.fields(LayerState)})
        for layer in state.layers
    ]
    return DecodingState(state.position.index_select(0, rows), layers, pick(state.tpe), pick(state.key_mask))
