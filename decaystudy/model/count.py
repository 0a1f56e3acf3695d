"""Parameters and FLOPs of a model in closed form: no torch, no model built."""

from __future__ import annotations

from dataclasses import dataclass

from decaystudy.model.config import ModelConfig


@dataclass(frozen=True)
class Flops:
    """FLOPs of one forward pass, a token. A multiply-add counts as two."""

    projections: int
    """All matrix products of the blocks but those of the decay and the attention states."""
    decay: int
    """The decay's own projection (and DPLR's β)."""
    states: int
    """The attention operator: 4 · Dk · Dv a head (DPLR: 8, softmax: 2 · T · d on average)."""
    head: int
    """The product with the vocabulary."""

    @property
    def forward(self) -> int:
        return self.projections + self.decay + self.states + self.head

    @property
    def training(self) -> int:
        """Forward and backward: three times the forward."""
        return 3 * self.forward


def key_width(config: ModelConfig) -> int:
    """Dk of a head as the attention operator sees it: LRPE doubles it."""
    return config.head_dim * (2 if config.position == "lrpe" else 1)


def decay_projection(config: ModelConfig) -> int:
    """Weights of the projection that gives the logit f in one layer."""
    if config.mixer != "decay" or config.shares_projection or not config.make_decay().data_dependent:
        return 0
    size = config.site(0).size
    if config.granularity == "scalar" or config.decay_rank == "full":
        return config.d_model * size
    rank = config.decay_rank or config.head_dim
    return config.d_model * rank + rank * size


def parameter_count(config: ModelConfig) -> int:
    """Number of learned values of ``DecayTransformer(config)``, the padding of the vocabulary included."""
    d = config.d_model
    total = 2 * config.padded_vocab_size * d + d  # embedding, head, final norm
    if config.position == "tpe":
        total += 2 * d + config.heads + d + d * d
    block = 4 * d * d + 3 * d * config.glu_width + 2 * d  # q k v o, GLU, two norms
    if config.mixer == "decay":
        block += 2 * d * config.head_dim + decay_projection(config)
        block += d if config.output_norm == "full" else config.head_dim
        block += d * config.heads if config.dplr else 0
        decay = config.make_decay()
        total += sum(extra.count for extra in decay.model_extras(config.site(0)))
        total += sum(extra.count for layer in range(config.layers) for extra in decay.extras(config.site(layer)))
    return total + config.layers * block


def forward_flops(config: ModelConfig, sequence_length: int) -> Flops:
    """FLOPs a token of one forward pass over sequences of that length (which matters to softmax only)."""
    d, n = config.d_model, config.layers
    projections = n * 2 * (4 * d * d + 3 * d * config.glu_width)
    decay = states = 0
    if config.position == "tpe":
        projections += 2 * d * d
        states += 4 * d
    if config.mixer == "softmax":
        states += n * 2 * sequence_length * d
    else:
        projections += n * 2 * 2 * d * config.head_dim
        decay = n * 2 * (decay_projection(config) + (d * config.heads if config.dplr else 0))
        states += n * (8 if config.dplr else 4) * config.heads * key_width(config) * config.head_dim
    return Flops(projections, decay, states, 2 * d * config.padded_vocab_size)
