"""Decays of one's own with several projections, as somebody's package would define them."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, sigmoid
from torch.nn.functional import logsigmoid

from decaystudy.decay import Decay, LayerContext, ParameterSpec, ProjectionSpec


@dataclass(frozen=True)
class TwoGates(Decay):
    """log λ = logsigmoid(f) · (1 + sigmoid(t)): t is one temperature per head, from a projection of its own."""

    start: float | None = None

    name = "two-gates"
    summary = "a logit and a temperature"

    def projections(self, context: LayerContext) -> tuple[ProjectionSpec, ...]:
        return (ProjectionSpec("f", context.size), ProjectionSpec("temperature", context.heads, rank=3))

    def log_decay(self, logit: Mapping[str, Tensor], parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        temperature = 1 + sigmoid(logit["temperature"])
        return logsigmoid(logit["f"]) * temperature.repeat_interleave(context.size // context.heads, dim=-1)


@dataclass(frozen=True)
class OwnBeta(Decay):
    """GLA's decay with a β that has a learned floor for each head, from a projection that only DPLR has."""

    name = "own-beta"
    summary = "logsigmoid(f)/16, β = floor + (1 − floor) · sigmoid(b)"

    def projections(self, context: LayerContext) -> tuple[ProjectionSpec, ...]:
        own = (ProjectionSpec("f", context.size),)
        return (*own, ProjectionSpec("b", context.heads, rank="full")) if context.dplr else own

    def parameters(self, context: LayerContext) -> tuple[ParameterSpec, ...]:
        return (ParameterSpec("floor", (context.heads,)),) if context.dplr else ()

    def log_decay(self, logit: Mapping[str, Tensor], parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        return logsigmoid(logit["f"]) / 16

    def beta(self, logit: Mapping[str, Tensor], parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        floor = parameters["floor"].to(logit["b"].dtype)
        return floor + (1 - floor) * sigmoid(logit["b"])


@dataclass(frozen=True)
class BetaOfOneLogit(Decay):
    """One projection, undeclared, and a β that is fixed."""

    name = "beta-of-one-logit"
    summary = "logsigmoid(f), β = 1/2"

    def log_decay(self, logit: Tensor, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        return logsigmoid(logit)

    def beta(self, logit: Tensor, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        return logit.new_full((*logit.shape[:-1], context.heads), 0.5)


@dataclass(frozen=True)
class SharedSplit(Decay):
    """Its first projection is too narrow to be a key."""

    name = "shared-split"
    summary = "for a refusal"

    def projections(self, context: LayerContext) -> tuple[ProjectionSpec, ...]:
        return (ProjectionSpec("head", context.heads, rank=2), ProjectionSpec("f", context.size, rank="full"))

    def log_decay(self, logit: Mapping[str, Tensor], parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        return logsigmoid(logit["f"])


@dataclass(frozen=True)
class Misdeclared(Decay):
    """Declares what its options say."""

    names: tuple[str, ...] = ("f",)
    size: object = 8
    rank: object = None

    name = "misdeclared"
    summary = "for refusals"

    def projections(self, context: LayerContext) -> tuple[ProjectionSpec, ...]:
        return tuple(ProjectionSpec(name, self.size, self.rank) for name in self.names)

    def log_decay(self, logit: Mapping[str, Tensor], parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        return logit["f"]


@dataclass(frozen=True)
class Contradictory(Misdeclared):
    """Independent of the token, with a projection."""

    name = "contradictory"
    data_dependent = False
