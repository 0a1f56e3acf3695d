"""Simple Decay, the paper's proposal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from decaystudy.decay.base import Decay, check_open_unit
from decaystudy.decay.declarations import LayerContext, ParameterSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Simple(Decay):
    """log λ = logsigmoid(f + Δ).

    Source: arXiv 2509.05282, section 5.5 (Simple Decay).
    Shapes: f, log λ (…, size); Δ (size,), float32.
    Start: Δ = logit(p), so λ = p where f = 0.
    Shared key: 1 − λ.
    """

    p: float = 0.99
    """The λ that every dimension starts at; the paper tries 0.8, 0.9, 0.95 and 0.99."""
    start: float | None = None
    """Median of λ that every layer starts at, by a constant offset added to Δ, in place of p; None leaves it at p."""

    name: ClassVar[str] = "simple"
    summary: ClassVar[str] = "logsigmoid(f + Δ), Δ starting at logit(p) (option p)"

    def __post_init__(self) -> None:
        check_open_unit(self.name, "p", self.p)
        check_open_unit(self.name, "start", self.start, optional=True)

    def idle_options(self) -> str | None:
        if self.start is None or self.p == type(self).p:
            return None
        return f"p: {self.p:g} and start: {self.start:g}, and each says where λ starts: leave one of them out"

    def start_median(self, context: LayerContext) -> tuple[float, float]:
        return super().start_median(context) or (self.p, self.p)

    def parameters(self, context: LayerContext) -> tuple[ParameterSpec, ...]:
        return (ParameterSpec("delta", (context.size,)), *super().parameters(context))

    def initial_parameters(
        self, context: LayerContext, generator: Callable[[str], torch.Generator]
    ) -> dict[str, Tensor]:
        import torch

        return {"delta": torch.full((context.size,), math.log(self.p / (1 - self.p)), dtype=torch.float64)}

    def log_decay(self, logit: Tensor, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        from torch.nn.functional import logsigmoid

        return logsigmoid(logit + parameters["delta"].to(logit.dtype))
