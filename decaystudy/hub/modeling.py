"""``DecayTransformer`` as a Hugging Face causal language model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast

from decaystudy.hub.agreement import check_agreement
from decaystudy.hub.cache import StateCache
from decaystudy.hub.config import DecayStudyConfig
from decaystudy.hub.embeddings import Embeddings
from decaystudy.hub.missing import advice_on, refuse_missing, start_others
from decaystudy.hub.trust import trusting
from decaystudy.model import DecayTransformer
from decaystudy.model.resets import document_starts
from decaystudy.runs.weights import open_to_readers


class DecayStudyForCausalLM(Embeddings, GenerationMixin):
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
    supports_gradient_checkpointing = True
    gradient_checkpointing = False
    _gradient_checkpointing_func: functools.partial[Any]
    # A bfloat16 Δ would round the λ that it stands for.
    _keep_in_fp32_modules_strict = ["decay.extras", "model.decay"]

    def __init__(self, config: DecayStudyConfig, model: DecayTransformer | None = None) -> None:
        super().__init__(config)
        self.model = DecayTransformer(config.model_config()) if model is None else model
        self._make_rows(config.embedding_rows)
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
        """As for every model of transformers. Weights in a folder are checked first against their checksum, and
        config.json against what they were trained with.

        Raises:
            UserError: they are broken, lack some or are those of another model, or the decay is code from elsewhere and
                ``trust_remote_code`` is not set.
        """
        source = pretrained_model_name_or_path
        told = bool(kwargs.pop("output_loading_info", False))
        open_model: Any = super().from_pretrained
        with trusting(bool(kwargs.get("trust_remote_code"))):
            if source is not None:
                file = Path(source) / (kwargs.get("subfolder") or "") / "model.safetensors"
                if file.is_file():
                    check_agreement(file, kwargs)
            model, facts = open_model(source, *args, output_loading_info=True, **kwargs)
            # Constants are needed too: a model of this package keeps those of its decay in its files.
            held = (model.named_parameters(), model.named_buffers())
            refuse_missing(facts, [name for tensors in held for name, _ in tensors], advice_on(source))
            start_others(model, facts)
        return (model, facts) if told else model

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: ``DecayTransformer`` draws its own start values, and a generic draw would overwrite its decays."""

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """As for every model of transformers. Weights can be read by whoever can read the files beside them."""
        super().save_pretrained(save_directory, *args, **kwargs)
        for path in Path(save_directory).glob("*.safetensors"):
            open_to_readers(path)

    def hidden(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        cache: StateCache | None = None,
        outputs: list[Tensor] | None = None,
    ) -> tuple[Tensor, StateCache | None]:
        """What the head is applied to, (B, T, d), and the cache after these tokens; None where they are computed again
        in the backward pass.

        Args:
            input_ids: (B, T), the tokens that follow those of the cache.
            attention_mask: (B, S), S ≥ T: 0 at padding, which stands on the left; its last T columns count.
            outputs: as of ``DecayTransformer.hidden``.
        """
        around = self._recomputing()
        x, state = self.model.hidden(
            input_ids,
            attention_mask=attention_mask,
            state=None if cache is None else cache.state,
            return_state=around is None,
            resets=self._resets(input_ids, cache),
            outputs=outputs,
            around=around,
        )
        seen = input_ids.shape[1] + (0 if cache is None else cache.seen)
        return x, None if state is None else StateCache(state, seen, input_ids[:, -1])

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
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        position_ids: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        return_dict: bool | None = None,
        **others: Any,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """As every causal language model of transformers; ``past_key_values`` is a ``StateCache``.

        Raises:
            ValueError: what the model can't be given, or can't give.
        """
        if input_ids is None:
            raise ValueError("this model takes input_ids: it has no way to begin from inputs_embeds")
        if output_attentions or (output_attentions is None and getattr(self.config, "output_attentions", False)):
            raise ValueError("this model has no attention weights to return: leave output_attentions out")
        check_cache(past_key_values)
        check_positions(position_ids, attention_mask)
        all_outputs = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        outputs: list[Tensor] | None = [] if all_outputs else None
        x, cache = self.hidden(input_ids, attention_mask=attention_mask, cache=past_key_values, outputs=outputs)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) and logits_to_keep else logits_to_keep
        logits = self.logits(x if isinstance(kept, int) else x[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **others)
        cached = cache if use_cache is None or use_cache else None
        states = None if outputs is None else tuple(outputs)
        if not (getattr(self.config, "return_dict", True) if return_dict is None else return_dict):
            return tuple(value for value in (loss, logits, cached, states) if value is not None)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=cached, hidden_states=states)

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
        check_cache(past_key_values)
        if past_key_values is not None:
            input_ids = input_ids[:, past_key_values.seen :]
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "past_key_values": past_key_values}
        wanted: dict[str, Any] = {
            name: others[name] for name in ("output_hidden_states", "output_attentions") if name in others
        }
        return {**inputs, **wanted, "use_cache": use_cache, "logits_to_keep": 1}

    def _recomputing(self) -> Callable[..., Any] | None:
        """What calls a layer so that the backward pass computes it again; None where that isn't asked for."""
        if not (self.gradient_checkpointing and self.training):
            return None
        if self._gradient_checkpointing_func.keywords.get("use_reentrant"):
            raise ValueError(
                "this model's layers share parameters, whose gradients reentrant checkpointing would lose: enable it "
                'with {"use_reentrant": False}'
            )
        return self._gradient_checkpointing_func

    def _resets(self, input_ids: Tensor, cache: StateCache | None) -> Tensor | None:
        """True at each document's first token, (B, T), where the model was trained with its state cleared there."""
        eos_id = self.config.eos_token_id if self.config.reset_after_eos else None
        return document_starts(input_ids, eos_id, None if cache is None else cache.last)


def check_cache(cache: Any) -> None:
    """Refuse a cache of keys and values."""
    if cache is not None and not isinstance(cache, StateCache):
        raise ValueError(
            f"past_key_values is a {type(cache).__name__}, and this model keeps a state in place of keys and values: "
            "pass what an earlier call returned as past_key_values, or None"
        )


def check_positions(position_ids: Tensor | None, attention_mask: Tensor | None) -> None:
    """Refuse positions of tokens that don't follow one another: the model counts them itself."""
    if position_ids is None:
        return
    follows = position_ids.diff(dim=-1) == 1
    if attention_mask is not None:
        heard = attention_mask[:, -position_ids.shape[-1] :].bool()
        follows = follows | ~(heard[:, 1:] & heard[:, :-1])
    if not bool(follows.all()):
        raise ValueError(
            "position_ids start again or leave some out, and this model counts its positions itself: leave them out, "
            "and give each document a row of its own"
        )
