"""``DecayTransformer`` as a Hugging Face causal language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from decaystudy.hub.cache import StateCache
from decaystudy.hub.config import DecayStudyConfig
from decaystudy.model import DecayTransformer
from decaystudy.model.resets import document_starts
from decaystudy.runs.weights import read_weights


class DecayStudyForCausalLM(PreTrainedModel, GenerationMixin):
    """A decay transformer with ``generate``.

    Logits are those of real tokens: the rows that pad the vocabulary to a multiple of 64 take no part, neither in a
    probability nor in a draw.
    """

    config_class = DecayStudyConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    _is_stateful = True
    _supports_cache_class = True
    _no_split_modules = ["Block"]
    _tied_weights_keys = {}
    # A bfloat16 Δ would round the λ that it stands for.
    _keep_in_fp32_modules_strict = ["decay.extras", "model.decay"]

    def __init__(self, config: DecayStudyConfig, model: DecayTransformer | None = None) -> None:
        super().__init__(config)
        self.model = DecayTransformer(config.model_config()) if model is None else model
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def around(cls, model: DecayTransformer, **facts: Any) -> DecayStudyForCausalLM:
        """Wrap a model that is in memory; ``facts`` go into its ``DecayStudyConfig``."""
        import dataclasses

        config = DecayStudyConfig(architecture=dataclasses.asdict(model.config), **facts)
        wrapped = cls(config, model)
        wrapped.eval()  # type: ignore[no-untyped-call]
        return wrapped

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As for every model of transformers. Weights in a folder are checked first against their checksum.

        Raises:
            UserError: they are broken.
        """
        if pretrained_model_name_or_path is not None:
            weights = Path(pretrained_model_name_or_path) / kwargs.get("subfolder", "") / "model.safetensors"
            if weights.is_file():
                read_weights(weights)
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: ``DecayTransformer`` draws its own start values, and a generic draw would overwrite its decays."""

    def get_input_embeddings(self) -> nn.Embedding:
        embedding: nn.Embedding = self.model.embedding
        return embedding

    def get_output_embeddings(self) -> nn.Linear:
        head: nn.Linear = self.model.head
        return head

    def hidden(
        self, input_ids: Tensor, *, attention_mask: Tensor | None = None, cache: StateCache | None = None
    ) -> tuple[Tensor, StateCache]:
        """What the head is applied to, (B, T, d), and the cache after these tokens.

        Args:
            input_ids: (B, T), the tokens that follow those of the cache.
            attention_mask: (B, S), S ≥ T: 0 at padding, which stands on the left; its last T columns count.
        """
        x, state = self.model.hidden(
            input_ids,
            attention_mask=attention_mask,
            state=None if cache is None else cache.state,
            resets=self._resets(input_ids, cache),
        )
        seen = input_ids.shape[1] + (0 if cache is None else cache.seen)
        return x, StateCache(state, seen, input_ids[:, -1])

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits of the real tokens, (…, vocab_size), from (…, d)."""
        logits: Tensor = self.model.head(hidden)
        return logits[..., : self.config.vocab_size]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: StateCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        return_dict: bool | None = None,
        **others: Any,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """As every causal language model of transformers; ``past_key_values`` is a ``StateCache``."""
        if input_ids is None:
            raise ValueError("this model takes input_ids: it has no way to begin from inputs_embeds")
        x, cache = self.hidden(input_ids, attention_mask=attention_mask, cache=past_key_values)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) and logits_to_keep else logits_to_keep
        logits = self.logits(x if isinstance(kept, int) else x[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **others)
        cached = cache if use_cache is None or use_cache else None
        if return_dict is False:
            return tuple(value for value in (loss, logits, cached) if value is not None)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=cached)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # the first forward pass makes the cache

    def prepare_inputs_for_generation(  # type: ignore[override]
        self,
        input_ids: Tensor,
        past_key_values: StateCache | None = None,
        attention_mask: Tensor | None = None,
        use_cache: bool | None = True,
        **others: Any,
    ) -> dict[str, Any]:
        """The tokens that the cache hasn't seen, of all tokens so far."""
        if past_key_values is not None:
            input_ids = input_ids[:, past_key_values.seen :]
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "past_key_values": past_key_values}
        return {**inputs, "use_cache": use_cache, "logits_to_keep": 1}

    def _resets(self, input_ids: Tensor, cache: StateCache | None) -> Tensor | None:
        """True at each document's first token, (B, T), where the model was trained with its state cleared there."""
        eos_id = self.config.eos_token_id if self.config.reset_after_eos else None
        return document_starts(input_ids, eos_id, None if cache is None else cache.last)
