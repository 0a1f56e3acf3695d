"""config.json of an exported model."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import PretrainedConfig

from decaystudy.checks import refusal
from decaystudy.errors import unknown
from decaystudy.hub.trust import needs_trust, refuse_untrusted
from decaystudy.model.config import ModelConfig


class DecayStudyConfig(PretrainedConfig):
    """A ``ModelConfig`` in Hugging Face form.

    A decay of somebody's own, named by an import path, is not imported before the model is built, and then only if it
    is trusted.

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
        self.architecture = all_fields({} if architecture is None else architecture)
        # Exports of before called it a limit, at which transformers and lm-eval stop.
        self.training_length = others.pop("max_position_embeddings", training_length)
        self.reset_after_eos = reset_after_eos
        self.embedding_rows = embedding_rows
        # Names under which other libraries look for sizes; they follow from the architecture.
        sizes = {
            "vocab_size": "vocab_size",
            "hidden_size": "d_model",
            "num_hidden_layers": "layers",
            "num_attention_heads": "heads",
            "intermediate_size": "glu_width",
        }
        for name, size in sizes.items():
            others.pop(name, None)
            setattr(self, name, self.architecture[size])
        others.setdefault("tie_word_embeddings", False)
        super().__init__(**others)

    def model_config(self) -> ModelConfig:
        """The ``ModelConfig``.

        Raises:
            UserError: its decay is code from elsewhere and not trusted, or its settings make no sense.
        """
        refuse_untrusted(self.architecture["decay"])
        return ModelConfig(**self.architecture)


def all_fields(architecture: Any) -> dict[str, Any]:
    """The fields of a ``ModelConfig``, with its defaults where left out.

    Raises:
        UserError: there is no such field, or the settings make no sense; those of a decay from elsewhere are not tried.
    """
    if not isinstance(architecture, dict):
        raise refusal("architecture in config.json", architecture, "the fields of a model by name")
    known = [field.name for field in dataclasses.fields(ModelConfig)]
    for name in architecture:
        if name not in known:
            raise unknown("field of architecture in config.json:", name, known)
    if needs_trust(architecture.get("decay")):
        return {**dataclasses.asdict(ModelConfig()), **architecture}
    return dataclasses.asdict(ModelConfig(**architecture))
