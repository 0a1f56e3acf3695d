"""One layer of a model: a token mixer and a channel mixer on the residual stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from decaystudy.model.channel_mixer import ChannelMixer
from decaystudy.model.config import ModelConfig
from decaystudy.model.position import Rotation
from decaystudy.model.softmax_attention import SoftmaxAttention
from decaystudy.model.state import LayerState
from decaystudy.model.token_mixer import TokenMixer


@dataclass
class BlockInputs:
    """What all blocks of one call are given, apart from x and their state."""

    rotation: Rotation | None
    mask: Tensor | None
    """(B, T) bool, false at padding."""
    resets: Tensor | None
    attention_mask: Tensor | None
    """Softmax only: (B, 1, T, S) bool, which token may attend to which; None is plain causal."""
    collect: list[Tensor] | None
    return_state: bool


class Block(nn.Module):
    """x + token mixer(norm(x)), then x + channel mixer(norm(x))."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.token_norm = nn.RMSNorm(config.d_model, eps=config.norm_eps)
        self.token_mixer = SoftmaxAttention(config) if config.mixer == "softmax" else TokenMixer(config, layer)
        self.channel_norm = nn.RMSNorm(config.d_model, eps=config.norm_eps)
        self.channel_mixer = ChannelMixer(config.d_model, config.glu_width)
        self._compiled: Callable[..., tuple[Tensor, LayerState | None]] | None = None

    def compile_training(self) -> None:
        """Compile what training and validation call; calls with a state, and those that collect decays, stay as they
        are. The module stays the same, and so do the names of its parameters and the hooks that shard them."""
        self._compiled = torch.compile(self._mix, fullgraph=True, dynamic=False)

    def shared_parameters(self, model_parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """What this layer's decay sees of the tensors that the decays of all layers have in common."""
        if isinstance(self.token_mixer, SoftmaxAttention):
            return {}
        return self.token_mixer.decay.shared_parameters(model_parameters)

    def forward(
        self, x: Tensor, inputs: BlockInputs, shared_parameters: dict[str, Tensor], state: LayerState | None
    ) -> tuple[Tensor, LayerState | None]:
        plain = state is None and not inputs.return_state and inputs.collect is None
        mix = self._compiled if plain and self._compiled is not None else self._mix
        return mix(x, inputs, shared_parameters, state)

    def _mix(
        self, x: Tensor, inputs: BlockInputs, shared_parameters: dict[str, Tensor], state: LayerState | None
    ) -> tuple[Tensor, LayerState | None]:
        normed = self.token_norm(x)
        if isinstance(self.token_mixer, SoftmaxAttention):
            assert inputs.rotation is not None
            mixed, after = self.token_mixer(
                normed,
                inputs.rotation,
                attention_mask=inputs.attention_mask,
                state=state,
                return_state=inputs.return_state,
            )
        else:
            mixed, after = self.token_mixer(
                normed,
                shared_parameters,
                inputs.rotation,
                mask=inputs.mask,
                resets=inputs.resets,
                state=state,
                return_state=inputs.return_state,
                collect=inputs.collect,
            )
        x = x + mixed
        return x + self.channel_mixer(self.channel_norm(x)), after
