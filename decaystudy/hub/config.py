"""config.json of an exported model."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import PretrainedConfig

from decaystudy.errors import unknown
from decaystudy.model.config import ModelConfig


class DecayStudyConfig(PretrainedConfig):
    """A ``ModelConfig`` in Hugging Face form.

    Args:
        architecture: the fields of the ``ModelConfig``; its defaults where left out.
        training_length: tokens of a training sequence. The model has no such limit, and so no max_position_embeddings.
        reset_after_eos: the state is cleared after each EOS, as the run did in training.
        embedding_rows: rows of the embedding and of the head, where they have been resized.
    """

    model_type = "decaystudy"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(
        self,
        architecture: dict[str, Any] | None = None,
        training_length: int = 2048,
        reset_after_eos: bool = False,
        embedding_rows: int | None = None,
        **others: Any,
    ) -> None:
        model = make_model_config(architecture or {})
        self.architecture = dataclasses.asdict(model)
        # Exports of before called it a limit, at which transformers and lm-eval stop.
        self.training_length = others.pop("max_position_embeddings", training_length)
        self.reset_after_eos = reset_after_eos
        self.embedding_rows = embedding_rows
        # Names under which other libraries look for sizes; they follow from the architecture.
        sizes = {
            "vocab_size": model.vocab_size,
            "hidden_size": model.d_model,
            "num_hidden_layers": model.layers,
            "num_attention_heads": model.heads,
            "intermediate_size": model.glu_width,
        }
        for name, size in sizes.items():
            others.pop(name, None)
            setattr(self, name, size)
        others.setdefault("tie_word_embeddings", False)
        super().__init__(**others)

    def model_config(self) -> ModelConfig:
        """The ``ModelConfig``."""
        return make_model_config(self.architecture)


def make_model_config(architecture: dict[str, Any]) -> ModelConfig:
    """A ``ModelConfig`` from its fields; a field that it doesn't have is refused by name."""
    known = [field.name for field in dataclasses.fields(ModelConfig)]
    for name in architecture:
        if name not in known:
            raise unknown("field of architecture in config.json:", name, known)
    return ModelConfig(**architecture)
