"""Parameters and FLOPs of a model in closed form: no torch, no model built.

One function for each module that owns weights; a decay's come from what it declares.
"""

from __future__ import annotations

from dataclasses import dataclass

from decaystudy.model.config import ModelConfig


@dataclass(frozen=True)
class Weights:
    """The learned values of a module."""

    matrices: int = 0
    """Entries of the matrices that each token is multiplied by once."""
    others: int = 0
    """Norms, a decay's own parameters, the embedding: no matrix products."""

    @property
    def count(self) -> int:
        return self.matrices + self.others

    @property
    def flops(self) -> int:
        """Of the matrix products of one forward pass, per token."""
        return 2 * self.matrices

    def __add__(self, other: Weights) -> Weights:
        return Weights(self.matrices + other.matrices, self.others + other.others)


@dataclass(frozen=True)
class Flops:
    """FLOPs of one forward pass, per token. A multiply-add counts as two."""

    projections: int
    """All matrix products of the blocks but those of the decay and the attention states."""
    decay: int
    """The decay's own projections (and DPLR's β)."""
    states: int
    """The attention operator: 4 · Dk · Dv per head (DPLR: 8, softmax: 2 · T · d on average)."""
    head: int
    """The product with the vocabulary."""

    @property
    def forward(self) -> int:
        return self.projections + self.decay + self.states + self.head

    @property
    def training(self) -> int:
        """Forward and backward: three times the forward."""
        return 3 * self.forward


# -- modules, named as their classes ----------------------------------------------------------------------------------
def softmax_attention(config: ModelConfig) -> Weights:
    """q, k, v and the output."""
    return Weights(matrices=4 * config.d_model**2)


def token_mixer(config: ModelConfig) -> Weights:
    """q, k, v, the output, the gate and the norm, without what belongs to the decay."""
    norm = config.d_model if config.output_norm == "full" else config.head_dim
    return Weights(matrices=4 * config.d_model**2 + 2 * config.d_model * config.head_dim, others=norm)


def layer_decay(config: ModelConfig, layer: int) -> Weights:
    """The decay of one layer: its projections, DPLR's β, and the decay's own tensors."""
    projections = sum(spec.count(config.d_model) for spec in config.built_projections(layer))
    beta = config.d_model * config.heads if config.projects_beta(layer) else 0
    own = sum(spec.count for spec in config.make_decay().parameters(config.layer_context(layer)))
    return Weights(matrices=projections + beta, others=own)


def channel_mixer(config: ModelConfig) -> Weights:
    """The gated linear unit's three matrices."""
    return Weights(matrices=3 * config.d_model * config.glu_width)


def toeplitz_encoding(config: ModelConfig) -> Weights:
    """The output's matrix; q, k, θ and the norm."""
    return Weights(matrices=config.d_model**2, others=3 * config.d_model + config.heads)


def embedding(config: ModelConfig) -> Weights:
    return Weights(others=config.padded_vocab_size * config.d_model)


def head(config: ModelConfig) -> Weights:
    """The product with the vocabulary, and the norm before it."""
    return Weights(matrices=config.padded_vocab_size * config.d_model, others=config.d_model)


# -- the model --------------------------------------------------------------------------------------------------------
def decays(config: ModelConfig) -> Weights:
    """The decays of all layers, and the tensors that they have in common."""
    if config.mixer == "softmax":
        return Weights()
    shared = config.make_decay().model_parameters(config.layer_context(0))
    own = (layer_decay(config, layer) for layer in range(config.layers))
    return sum(own, Weights(others=sum(spec.count for spec in shared)))


def blocks(config: ModelConfig) -> Weights:
    """The token mixers, channel mixers and norms of all blocks, without their decays, and TPE."""
    mixer = softmax_attention(config) if config.mixer == "softmax" else token_mixer(config)
    block = mixer + channel_mixer(config) + Weights(others=2 * config.d_model)
    once = toeplitz_encoding(config) if config.position == "tpe" else Weights()
    return sum([block] * config.layers, once)


def parameter_count(config: ModelConfig) -> int:
    """Number of learned values of ``DecayTransformer(config)``, the padding of the vocabulary included."""
    return (embedding(config) + blocks(config) + decays(config) + head(config)).count


def forward_flops(config: ModelConfig, sequence_length: int) -> Flops:
    """FLOPs per token of one forward pass over sequences of that length (which matters to softmax only)."""
    return Flops(
        projections=blocks(config).flops,
        decay=decays(config).flops,
        states=state_flops(config, sequence_length),
        head=head(config).flops,
    )


def state_flops(config: ModelConfig, sequence_length: int) -> int:
    """FLOPs per token of the attention operators: reading and writing their states, or softmax's pairs."""
    d = config.d_model
    if config.mixer == "softmax":
        return config.layers * 2 * sequence_length * d
    once = 4 * d if config.position == "tpe" else 0  # TPE's state has one row per head
    return once + config.layers * (8 if config.dplr else 4) * config.heads * key_width(config) * config.head_dim


def key_width(config: ModelConfig) -> int:
    """Dk of a head as the attention operator sees it: LRPE doubles it."""
    return config.head_dim * (2 if config.position == "lrpe" else 1)
