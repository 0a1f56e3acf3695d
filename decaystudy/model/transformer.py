"""The decay transformer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from decaystudy.errors import UserError
from decaystudy.model.block import Block, BlockInputs
from decaystudy.model.config import ModelConfig
from decaystudy.model.initialise import copy_full_tensor, draw_weights, generator_for
from decaystudy.model.layer_decay import DecayParameters, LayerDecay
from decaystudy.model.linear_cross_entropy import mean_next_token_loss, next_token_losses_of
from decaystudy.model.losses import next_token_losses
from decaystudy.model.masks import check_resets, softmax_masks, token_mask
from decaystudy.model.position import Rotation, ToeplitzEncoding, token_positions
from decaystudy.model.state import DecodingState, LayerState


class DecayTransformer(nn.Module):
    """A language model whose token mixer is decay attention (arXiv 2509.05282), or softmax attention for reference.

    Args:
        config: the model.
        seed: every parameter is drawn from a generator seeded by (seed, its name).

    Built under ``torch.device("meta")`` it holds nothing; ``to_empty`` and then ``initialise`` give it the same values.
    """

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        self.embedding = nn.Embedding(config.padded_vocab_size, config.d_model)
        self.tpe = (
            ToeplitzEncoding(config.d_model, config.heads, config.norm_eps, config.backend)
            if config.position == "tpe"
            else None
        )
        shared = config.make_decay().model_parameters(config.layer_context(0)) if config.mixer == "decay" else ()
        self.decay = DecayParameters(shared)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = nn.RMSNorm(config.d_model, eps=config.norm_eps)
        self.head = nn.Linear(config.d_model, config.padded_vocab_size, bias=False)
        if not self.embedding.weight.is_meta:
            self.initialise()

    @torch.no_grad()
    def initialise(self, seed: int | None = None) -> None:
        """Give every parameter and buffer its start value, on whatever device and however sharded."""
        with torch.device("cpu"):  # every draw is the CPU's, wherever the model is being built
            self._initialise(self.seed if seed is None else seed)

    def _initialise(self, seed: int) -> None:
        draw_weights(self, seed, self.config.layers)
        if self.tpe is not None:
            copy_full_tensor(self.tpe.q, torch.ones(self.config.d_model))
            copy_full_tensor(self.tpe.k, torch.ones(self.config.d_model))
            copy_full_tensor(self.tpe.theta, torch.zeros(self.config.heads))
        if self.config.mixer != "decay":
            return
        shared = self.decay.start_at(
            self.config.make_decay().initial_model_parameters(
                self.config.layer_context(0), lambda parameter: generator_for(seed, f"decay.{parameter}")
            )
        )
        for name, module in self.named_modules():
            if isinstance(module, LayerDecay):
                module.initialise(seed, name, shared)

    @overload
    def forward(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = ...,
        state: DecodingState | None = ...,
        return_state: Literal[False] = ...,
        resets: Tensor | None = ...,
        collect: list[Tensor] | None = ...,
        targets: Tensor | None = ...,
        reduction: Literal["none", "mean"] = ...,
    ) -> Tensor: ...

    @overload
    def forward(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = ...,
        state: DecodingState | None = ...,
        return_state: Literal[True],
        resets: Tensor | None = ...,
        collect: list[Tensor] | None = ...,
        targets: Tensor | None = ...,
        reduction: Literal["none", "mean"] = ...,
    ) -> tuple[Tensor, DecodingState]: ...

    def forward(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        state: DecodingState | None = None,
        return_state: bool = False,
        resets: Tensor | None = None,
        collect: list[Tensor] | None = None,
        targets: Tensor | None = None,
        reduction: Literal["none", "mean"] = "none",
    ) -> Tensor | tuple[Tensor, DecodingState]:
        """Logits of the next token.

        Args:
            input_ids: (B, T) int64.
            attention_mask: (B, T), false or 0 at padding, which is on the left; or (B, S) for all S ≥ T tokens so far,
                of which the last T count.
            state: what an earlier call returned, to resume from there.
            return_state: also return the state after these tokens.
            resets: (B, T) bool, true at a document's first token: no state crosses it.
            collect: a list to which the log λ of each layer is appended, as ``log_decays`` returns them.
            targets: (B, T) int64, the next tokens: their losses are returned in place of logits.
            reduction: of the losses, ``none`` or ``mean``.

        Returns:
            logits (B, T, V), V being ``config.padded_vocab_size``; with ``return_state`` also the state. With
            ``targets`` −log p of each in nats, (B, T), float32 or float64, or their mean. Only real tokens have a
            probability: the padding of the vocabulary takes no part.
        """
        x, after = self._trunk(input_ids, attention_mask, state, return_state, resets, collect)
        if targets is not None:
            return self._loss(self.norm(x), targets, reduction)
        logits: Tensor = self.head(self.norm(x))
        if not return_state:
            return logits
        assert after is not None
        return logits, after

    def _loss(self, x: Tensor, targets: Tensor, reduction: str) -> Tensor:
        vocab_size = self.config.vocab_size
        mean = reduction == "mean"
        if x.is_cuda and (mean or not torch.is_grad_enabled()):  # a GPU has no room for the logits of all tokens
            measure = mean_next_token_loss if mean else next_token_losses_of
            return measure(x, self.head.weight, targets, vocab_size)
        logits = self.head(x)
        precise = torch.promote_types(logits.dtype, torch.float32)
        losses = next_token_losses(logits, targets, vocab_size, dtype=precise)
        return losses.mean() if mean else losses

    def log_decays(self, input_ids: Tensor, *, resets: Tensor | None = None) -> list[Tensor]:
        """log λ of every layer for the given tokens: (B, T, H) at granularity scalar, else (B, T, H, D), float32.

        Raises:
            UserError: softmax attention has none.
        """
        if self.config.mixer != "decay":
            raise UserError("softmax attention has no decay to look at: choose a run whose model.mixer is decay")
        collected: list[Tensor] = []
        # A call of the model, not of its blocks: a sharded model gathers its weights in the hooks of that call.
        self(input_ids, resets=resets, collect=collected)
        return collected

    def hidden(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        state: DecodingState | None = None,
        return_state: bool = True,
        resets: Tensor | None = None,
        outputs: list[Tensor] | None = None,
        around: Callable[..., Any] | None = None,
    ) -> tuple[Tensor, DecodingState | None]:
        """The head's input, (B, T, d), and the state after these tokens; arguments as of ``forward``.

        For callers that want the logits of a few tokens only.

        Args:
            outputs: a list to which the embedding's output and that of each layer are appended, each (B, T, d); the
                last layer's after the final norm, as the head gets it.
            around: is called with each layer and its arguments in place of the layer.
        """
        x, after = self._trunk(input_ids, attention_mask, state, return_state, resets, None, outputs, around)
        x = self.norm(x)
        if outputs is not None:
            outputs[-1] = x
        return x, after

    def _trunk(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        state: DecodingState | None,
        return_state: bool,
        resets: Tensor | None,
        collect: list[Tensor] | None,
        outputs: list[Tensor] | None = None,
        around: Callable[..., Any] | None = None,
    ) -> tuple[Tensor, DecodingState | None]:
        mask = token_mask(attention_mask, input_ids)
        check_resets(resets, input_ids)
        positions, next_position = token_positions(
            (len(input_ids), input_ids.shape[1]), input_ids.device, state.position if state else None, mask, resets
        )
        x = self.embedding(input_ids)
        tpe_state = None
        if self.tpe is not None:
            x, tpe_state = self.tpe(x, state.tpe if state else None, mask, resets, return_state)
        rotation = None
        if self.config.mixer == "softmax" or self.config.position in ("rope", "lrpe"):
            kind = "lrpe" if self.config.position == "lrpe" else "rope"
            rotation = Rotation(kind, positions, self.config.head_dim, self.config.rope_base)
        pair_mask = key_mask = None
        if self.config.mixer == "softmax":
            pair_mask, key_mask = softmax_masks(input_ids, state, mask, resets)
        inputs = BlockInputs(rotation, mask, resets, pair_mask, collect, return_state)
        model_parameters = self.decay.tensors()
        after: list[LayerState] = []
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, Block)
            # Made here and not in the block: what depends on the layer's number would be compiled anew for each.
            shared = layer.shared_parameters(model_parameters)
            if outputs is not None:
                outputs.append(x)
            call = layer if around is None else partial(around, layer)
            x, layer_state = call(x, inputs, shared, state.layers[index] if state else None)
            if layer_state is not None:
                after.append(layer_state)
        if outputs is not None:
            outputs.append(x)
        return x, DecodingState(next_position, after, tpe_state, key_mask) if return_state else None
