"""HGRN2's decay: a sigmoid above a lower bound that rises from layer to layer."""

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
class HGRN2(Decay):
    """log λ = log(γ_l + (1 − γ_l) · sigmoid(f)).

    The lower bounds γ_l = p_1 + … + p_l (γ_0 = 0) come from p = softmax over layers of one learned (layers × size)
    table, which starts at ones: γ_l = l / layers.
    Source: Qin et al., *HGRN2* (arXiv 2404.07904).
    Shapes: f, log λ (…, size); the table (layers, size), float32, common to all layers.
    Start: λ = γ_l + (1 − γ_l) / 2.
    Shared key: 1 − λ.
    With ``start: s`` the first row of the table gets a fixed offset, as the logit does, so that the bounds start at
    γ_l = s · l / layers: in the last layers of a deep model they would otherwise be above s.
    """

    start: float | None = None
    """Median of λ that every layer starts at; None keeps the decay's own start."""

    name: ClassVar[str] = "hgrn2"
    summary: ClassVar[str] = "log(γ + (1 − γ)·sigmoid(f)), learned lower bounds γ rising by layer"

    def __post_init__(self) -> None:
        check_open_unit(self.name, "start", self.start, optional=True)

    def start_median(self, context: LayerContext) -> tuple[float, float]:
        bound = context.layer / context.layers
        own = bound + (1 - bound) / 2
        return super().start_median(context) or (own, own)

    def model_parameters(self, context: LayerContext) -> tuple[ParameterSpec, ...]:
        # One layer has no bound but γ_0 = 0, and the table would never get a gradient.
        return (ParameterSpec("bounds", (context.layers, context.size)),) if context.layers > 1 else ()

    def initial_model_parameters(
        self, context: LayerContext, generator: Callable[[str], torch.Generator]
    ) -> dict[str, Tensor]:
        import torch

        return {"bounds": torch.ones(context.layers, context.size, dtype=torch.float64)} if context.layers > 1 else {}

    def for_layer(self, model_parameters: Mapping[str, Tensor], context: LayerContext) -> dict[str, Tensor]:
        import torch

        if context.layer == 0 or "bounds" not in model_parameters:
            return {}
        table = model_parameters["bounds"]
        if self.start is not None:
            first = torch.zeros(context.layers, 1, dtype=table.dtype, device=table.device)
            first[0] = math.log(context.layers / self.start - context.layers + 1)
            table = table + first
        shares = table.softmax(dim=0)
        return {"lower_bound": shares[1 : context.layer + 1].sum(dim=0)}

    def log_decay(self, logit: Tensor, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        import torch
        from torch.nn.functional import logsigmoid

        if "lower_bound" not in parameters:
            return logsigmoid(logit)  # through log γ_0 the table would get NaN gradients
        bound = parameters["lower_bound"].to(logit.dtype)
        # log(γ + (1 − γ)σ(f)) = log(σ(f) + γσ(−f)); in logs neither term rounds λ near 0 or 1.
        return torch.logaddexp(logsigmoid(logit), bound.log() + logsigmoid(-logit))
