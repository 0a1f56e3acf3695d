"""The configuration of a decay transformer, and which combinations are refused."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from decaystudy.checks import check_flag, check_number, check_text, check_whole, check_word, refusal
from decaystudy.decay import (
    DECAYS,
    GRANULARITIES,
    SHARINGS,
    Decay,
    LayerContext,
    ProjectionSpec,
    decay_class,
    make_decay,
)
from decaystudy.decay.declarations import check_projections
from decaystudy.errors import UserError, unknown
from decaystudy.scales import find_scale

LARGEST = {"layers": 4096, "d_model": 2**17, "heads": 2**12, "glu_width": 2**20, "vocab_size": 2**21}
POSITIONS = ("none", "rope", "tpe", "lrpe")
MIXERS = ("decay", "softmax")
OUTPUT_NORMS = ("full", "head")
BACKENDS = ("auto", "recurrent", "chunked", "fla", "triton")
ON_GPU = ("fla", "triton")
"""Backends whose kernels need an NVIDIA GPU."""


@dataclass
class ModelConfig:
    """A decay transformer.

    Raises:
        UserError: the combination makes no sense; one sentence says why and what to change.
    """

    decay: str = "mamba2"
    """Parameterization of the decay (see `decaystudy list`), or the import path of a class of your own."""
    decay_options: dict[str, Any] = field(default_factory=dict)
    """Options of that decay, such as p: 0.95 for simple, c: 0.8 for constant, start: 0.9 to match starts."""
    granularity: str = "vector"
    """vector: each dimension of a head has its own λ; scalar: one λ per head; paired: dimensions 2i, 2i+1 share one."""
    sharing: bool | Literal["released", "tied"] = False
    """true: the key is 1 − λ and W_k x the decay's logit; released: as in the paper's released code, where that differs
    (mamba2, lightnet); tied: the key is (1 − λ) · silu(W_k x) and the decay keeps its own projection."""
    position: str = "none"
    """Position encoding: none, rope, tpe or lrpe."""
    dplr: bool = False
    """Diagonal plus low rank: the delta rule (I − β k kᵀ) on top of the decay."""
    beta_max: float = 1.0
    """DPLR's β is beta_max · sigmoid(·), or times the decay's own β: 1, or 2 to allow negative eigenvalues."""
    mixer: str = "decay"
    """Token mixer: decay (linear attention), or softmax (causal attention with RoPE, the reference)."""
    decay_rank: int | Literal["full"] | None = None
    """Rank of the decay's projection at granularity vector or paired: a number or full; else the size of a head."""
    layers: int = 12
    """Number of blocks."""
    d_model: int = 768
    """Width of the residual stream."""
    heads: int = 6
    """Number of heads; a head has d_model / heads dimensions."""
    glu_width: int = 2048
    """Inner width of the channel mixer."""
    vocab_size: int = 50257
    """Number of tokens; the embedding and the head are padded to a multiple of 64."""
    output_norm: str = "full"
    """RMSNorm of the token mixer's gated output: full (over d_model) or head (over each head)."""
    norm_eps: float = 1e-5
    """Epsilon of every RMSNorm."""
    rope_base: float = 10000.0
    """Base of the rotation angles of rope and lrpe."""
    backend: str = "auto"
    """Implementation of decay attention: auto, recurrent, chunked, fla or triton."""

    def __post_init__(self) -> None:
        _check_sizes(self)
        _check_choices(self)
        if self.mixer == "softmax":
            _check_softmax(self)
        else:
            _check_decay(self)

    @classmethod
    def preset(cls, scale: str, **changes: Any) -> ModelConfig:
        """The model of a scale (tiny, mini, small, 160m, 410m, 1.45b), with ``changes`` to any field."""
        return cls(**{**find_scale(scale).model, **changes})

    def with_vocabulary(self, size: int) -> ModelConfig:
        """The same model for another tokenizer."""
        return replace(self, vocab_size=size)

    @property
    def head_dim(self) -> int:
        """Dimensions of a head, Dk of q and k before a position encoding, and Dv."""
        return self.d_model // self.heads

    @property
    def padded_vocab_size(self) -> int:
        """Rows of the embedding and of the head: ``vocab_size`` rounded up to a multiple of 64."""
        return -(-self.vocab_size // 64) * 64

    def make_decay(self) -> Decay:
        """The decay with its options."""
        return make_decay(self.decay, self.decay_options)

    def layer_context(self, layer: int) -> LayerContext:
        """What the decay of layer ``layer`` is told of it."""
        return LayerContext(
            layer, self.layers, self.heads, self.head_dim, self.granularity, self.sharing, dplr=self.dplr
        )

    def built_projections(self, layer: int) -> tuple[ProjectionSpec, ...]:
        """The projections of a layer's decay that have weights of their own, with their ranks filled in.

        All that the decay declares, but not the first where W_k stands in for it.
        """
        context = self.layer_context(layer)
        default = "full" if self.granularity == "scalar" else self.decay_rank or self.head_dim
        specs = self.make_decay().projections(context)[1 if context.shares_projection else 0 :]
        return tuple(spec.with_rank(default) for spec in specs)

    def projects_beta(self, layer: int) -> bool:
        """Whether the token mixer has a projection for DPLR's β, which a decay may give instead."""
        return self.dplr and not self.make_decay().has_beta(self.layer_context(layer))


def refuse_idle_options(config: ModelConfig) -> None:
    """Refuse options of the decay that would have no effect on a model that is to be trained."""
    if config.mixer != "softmax" and (idle := config.make_decay().idle_options()) is not None:
        raise UserError(f"decay {config.decay!r} has options {idle}")


def _check_sizes(config: ModelConfig) -> None:
    for name, most in LARGEST.items():
        check_whole(f"model.{name}", getattr(config, name), 1, most)
    if config.d_model % config.heads:
        raise UserError(f"model.d_model {config.d_model} cannot be split over {config.heads} heads: make it a multiple")
    check_number("model.norm_eps", config.norm_eps, 0, 1, without_low=True)
    check_number("model.rope_base", config.rope_base, 1, 1e12, without_low=True)


def _check_choices(config: ModelConfig) -> None:
    for name, choices in (
        ("granularity", GRANULARITIES),
        ("position", POSITIONS),
        ("mixer", MIXERS),
        ("output_norm", OUTPUT_NORMS),
        ("backend", BACKENDS),
    ):
        check_word(f"model.{name}", getattr(config, name), choices)
    if not isinstance(config.sharing, (bool, str)) or config.sharing not in SHARINGS:
        raise unknown("model.sharing", str(config.sharing)[:60], ("false", "true", "released", "tied"))
    check_flag("model.dplr", config.dplr)
    check_number("model.beta_max", config.beta_max, 1, 2)
    if config.beta_max not in (1, 2):
        raise refusal("model.beta_max", config.beta_max, "1 or 2")
    check_text("model.decay", config.decay)
    if config.decay not in DECAYS:
        decay_class(config.decay)
    if not isinstance(config.decay_options, dict):
        raise refusal("model.decay_options", config.decay_options, "options by name, such as p: 0.95")


def _check_softmax(config: ModelConfig) -> None:
    defaults = ModelConfig()
    for name in ("decay", "decay_options", "granularity", "sharing", "dplr", "beta_max", "decay_rank", "output_norm"):
        if getattr(config, name) != getattr(defaults, name):
            raise UserError(
                f"model.{name} has no meaning for softmax attention, which has no decay: "
                "leave it out, or use model.mixer decay"
            )
    if config.position not in ("none", "rope"):
        raise UserError(
            f"softmax attention here always has RoPE: leave model.position out instead of {config.position!r}"
        )
    if config.head_dim % 2:
        raise UserError(f"RoPE rotates pairs and a head has {config.head_dim} dimensions: make d_model / heads even")


def _check_decay(config: ModelConfig) -> None:
    decay = config.make_decay()
    name = config.decay
    if config.granularity not in decay.granularities:
        allowed = " or ".join(decay.granularities)
        raise UserError(f"decay {name!r} has no {config.granularity} form: set model.granularity to {allowed}")
    _check_sharing(config, decay)
    _check_position(config, decay)
    if config.decay_rank is not None:
        _check_rank(config, decay)
    if config.granularity == "paired" and config.head_dim % 2:
        raise UserError(f"granularity 'paired' needs heads of even size and these have {config.head_dim} dimensions")
    if config.beta_max != 1 and not config.dplr:
        raise UserError("model.beta_max has no meaning without model.dplr: set model.dplr to true or leave it out")
    for layer in range(config.layers):
        context = config.layer_context(layer)
        check_projections(name, decay.data_dependent, decay.projections(context), context)
        decay.check(context)


def _check_sharing(config: ModelConfig, decay: Decay) -> None:
    if config.sharing is False:
        return
    if True not in decay.sharings:
        raise UserError(
            f"decay {config.decay!r} doesn't depend on the token, so there is nothing to share with the key: "
            "set model.sharing to false"
        )
    if config.sharing not in decay.sharings:
        raise UserError(f"for decay {config.decay!r} the released code shares as model.sharing true does: use true")
    if config.granularity != "vector":
        raise UserError(
            f"model.sharing {str(config.sharing).lower()} needs a λ for each dimension of the key and granularity "
            f"{config.granularity!r} has fewer: set model.granularity to vector"
        )
    if config.dplr:
        raise UserError(
            "DPLR needs keys of unit length, which 1 − λ would lose: set model.sharing or model.dplr to false"
        )


def _check_position(config: ModelConfig, decay: Decay) -> None:
    if config.position == "rope":
        if config.head_dim % 2:
            raise UserError(
                f"RoPE rotates pairs and a head has {config.head_dim} dimensions: make d_model / heads even"
            )
        if config.granularity == "vector" and not decay.uniform_in_head:
            raise UserError(
                "RoPE keeps relative position only where both dimensions of a rotated pair have the same λ, which free "
                "vector decay breaks: set model.granularity to scalar or paired, or model.position to lrpe"
            )


def _check_rank(config: ModelConfig, decay: Decay) -> None:
    context = config.layer_context(0)
    own = decay.projections(context)[1 if context.shares_projection else 0 :]
    if config.granularity == "scalar" or all(spec.rank is not None for spec in own):
        why = (
            "doesn't depend on the token"
            if not decay.data_dependent
            else "is scalar and has a plain projection"
            if config.granularity == "scalar"
            else "shares its projection with the key"
            if not own
            else "sets the rank of its projections itself"
        )
        raise UserError(f"model.decay_rank has no meaning where the decay {why}: leave it out")
    rank = config.decay_rank
    if rank != "full":
        check_whole("model.decay_rank", rank, 1, LARGEST["d_model"], advice="or full")
