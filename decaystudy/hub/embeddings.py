"""The embedding and the head of a model in Hugging Face form: looked at, replaced, tied, and resized."""

from __future__ import annotations

import dataclasses
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

from decaystudy.hub.config import DecayStudyConfig
from decaystudy.model import DecayTransformer

START = 0.02
"""Standard deviation of the start values of new rows, as of all others."""


class Embeddings(PreTrainedModel):
    """What libraries do to the embedding and to the head.

    Both have more rows than there are tokens, unless they have been resized: then they have as many as were asked for.
    """

    config: DecayStudyConfig
    model: DecayTransformer
    _tied_weights_keys = {"model.head.weight": "model.embedding.weight"}  # where config.tie_word_embeddings is true

    def get_input_embeddings(self) -> nn.Embedding:
        embedding: nn.Embedding = self.model.embedding
        return embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.embedding = cast(nn.Embedding, value)

    def get_output_embeddings(self) -> nn.Linear:
        head: nn.Linear = self.model.head
        return head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.model.head = cast(nn.Linear, new_embeddings)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """As of every model of transformers; the rows that pad the vocabulary are no tokens, and go first."""
        if new_num_tokens is None and pad_to_multiple_of is None:
            return self.get_input_embeddings()
        tokens = self.config.vocab_size
        super().resize_token_embeddings(tokens)
        wanted = tokens if new_num_tokens is None else new_num_tokens
        embedding: nn.Embedding = super().resize_token_embeddings(wanted, pad_to_multiple_of, mean_resizing)
        if not mean_resizing:
            with torch.no_grad():
                for weight in (embedding.weight, self.get_output_embeddings().weight):
                    weight[tokens:].normal_(0, START)
        self._hold(embedding.num_embeddings)
        return embedding

    def _hold(self, rows: int) -> None:
        """Make what is known of the vocabulary that of so many tokens."""
        self.config.architecture["vocab_size"] = self.config.vocab_size = self.config.embedding_rows = rows
        self.model.config = dataclasses.replace(self.model.config, vocab_size=rows)

    def _make_rows(self, rows: int | None) -> None:
        """Have as many rows as a saved model that was resized."""
        width = self.model.config.d_model
        if rows not in (None, self.model.config.padded_vocab_size):
            self.model.embedding = nn.Embedding(rows, width)
            self.model.head = nn.Linear(width, rows, bias=False)
            if not self.model.embedding.weight.is_meta:
                self.model.initialise()
