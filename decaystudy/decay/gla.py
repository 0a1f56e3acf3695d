"""GLA's decay: a sigmoid whose temperature keeps it near one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from decaystudy.decay.base import Decay, check_open_unit
from decaystudy.decay.declarations import LayerContext
from decaystudy.errors import unknown

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class GLA(Decay):
    """log λ = logsigmoid(f) / 16, the form of the GLA paper, or logsigmoid(f / 16) with ``temperature: inside``.

    Source: Yang et al., *Gated Linear Attention Transformers* (arXiv 2312.06635); the inside form is that of the code
    released with arXiv 2509.05282, whose statements on GLA fit that form better.
    Shapes: f, log λ (…, size). Nothing learned but f.
    Start: λ = 0.5^(1/16) = 0.958, or 0.5 with ``temperature: inside``.
    Shared key: 1 − λ.
    """

    temperature: str = "outside"
    """Whether to divide by 16 ``outside`` (GLA's paper) or ``inside`` (the released code) the logsigmoid."""
    start: float | None = None
    """Median of λ that every layer starts at; None keeps the decay's own start."""

    name: ClassVar[str] = "gla"
    summary: ClassVar[str] = "logsigmoid(f)/16, GLA's own (option temperature: inside)"

    def __post_init__(self) -> None:
        if self.temperature not in ("outside", "inside"):
            raise unknown("value of option 'temperature' of decay 'gla':", self.temperature, ["outside", "inside"])
        check_open_unit(self.name, "start", self.start, optional=True)

    def start_median(self, context: LayerContext) -> tuple[float, float]:
        own = 0.5 if self.temperature == "inside" else 0.5 ** (1 / 16)
        return super().start_median(context) or (own, own)

    def log_decay(self, logit: Tensor, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        from torch.nn.functional import logsigmoid

        return logsigmoid(logit / 16) if self.temperature == "inside" else logsigmoid(logit) / 16
