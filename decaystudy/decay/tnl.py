"""TNL's fixed decay and TNL-L's learned one: one λ per head, whatever the token."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from decaystudy.decay.base import Decay
from decaystudy.decay.declarations import LayerContext, ParameterSpec
from decaystudy.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def tnl_log_decay(context: LayerContext) -> list[float]:
    """log λ = −(1/n_h) · (1 − l/(L − 1) + 1e-5) for each head h, n_h log-spaced from 2 to 256 (one head: 2)."""
    depth = 1 - context.layer / (context.layers - 1) + 1e-5
    last = max(context.heads - 1, 1)
    return [-depth / (2 * 128 ** (head / last)) for head in range(context.heads)]


@dataclass(frozen=True)
class TNL(Decay):
    """log λ = −(1/n_h) · (1 − l/(L − 1) + 1e-5): fixed, for head h of layer l = 0 … L − 1.

    n_h is log-spaced from 2 to 256 over the heads (one head: n = 2). Scalar only.
    Source: Qin et al., *TransNormerLLM* (arXiv 2307.14995).
    Shapes: log λ (heads,). Nothing learned.
    """

    name: ClassVar[str] = "tnl"
    summary: ClassVar[str] = "fixed, one λ per head, nearer to one in later layers and heads"
    data_dependent: ClassVar[bool] = False
    granularities: ClassVar[tuple[str, ...]] = ("scalar",)
    sharings: ClassVar[tuple[bool | str, ...]] = (False,)

    def check(self, context: LayerContext) -> None:
        if context.layers < 2:
            raise UserError(
                f"decay {self.name!r} spreads λ over the layers of the model and this one has a single layer: "
                "use at least 2 layers, or decay 'constant'"
            )

    def start_median(self, context: LayerContext) -> tuple[float, float]:
        middle = statistics.median(math.exp(value) for value in tnl_log_decay(context))
        return middle, middle

    def for_layer(self, model_parameters: Mapping[str, Tensor], context: LayerContext) -> dict[str, Tensor]:
        import torch

        return {"fixed": torch.tensor(tnl_log_decay(context), dtype=torch.float64)}

    def log_decay(self, logit: None, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        return parameters["fixed"]


@dataclass(frozen=True)
class TNLL(TNL):
    """log λ = −exp(θ), one learned θ per head: λ is never above one.

    Source: arXiv 2509.05282, section 4 (TNL-L). Scalar only.
    Shapes: θ (heads,), float32.
    Start: TNL's, θ = log(−log λ).
    With ``released: true``, as in the released code, log λ itself is learned, unbounded, and starts at zero.
    """

    released: bool = False
    """Learn log λ itself, unbounded and from zero, as the released code does."""

    name: ClassVar[str] = "tnl-l"
    summary: ClassVar[str] = "−exp(θ), one learned λ per head that starts at tnl's"

    def start_median(self, context: LayerContext) -> tuple[float, float]:
        return (1.0, 1.0) if self.released else super().start_median(context)

    def parameters(self, context: LayerContext) -> tuple[ParameterSpec, ...]:
        return (ParameterSpec("log_decay" if self.released else "theta", (context.heads,)),)

    def for_layer(self, model_parameters: Mapping[str, Tensor], context: LayerContext) -> dict[str, Tensor]:
        return {}

    def initial_parameters(
        self, context: LayerContext, generator: Callable[[str], torch.Generator]
    ) -> dict[str, Tensor]:
        import torch

        if self.released:
            return {"log_decay": torch.zeros(context.heads, dtype=torch.float64)}
        return {"theta": (-torch.tensor(tnl_log_decay(context), dtype=torch.float64)).log()}

    def log_decay(self, logit: None, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        return parameters["log_decay"] if self.released else -parameters["theta"].exp()
