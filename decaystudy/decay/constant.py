"""Decays that are set, not learned: a constant, and none at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from decaystudy.checks import check_number
from decaystudy.decay.base import Decay
from decaystudy.decay.declarations import LayerContext

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Constant(Decay):
    """log λ = log c for a fixed c, the same in every layer, head, dimension and token.

    Our own: the causal test of which λ is best. Nothing learned.
    Shapes: log λ (size,).
    """

    c: float = 0.8
    """The constant λ, 0 < c ≤ 1."""

    name: ClassVar[str] = "constant"
    summary: ClassVar[str] = "one fixed λ everywhere (option c)"
    data_dependent: ClassVar[bool] = False
    sharings: ClassVar[tuple[bool | str, ...]] = (False,)
    uniform_in_head: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("option 'c' of decay 'constant'", self.c, 0, 1, without_low=True)

    def start_median(self, context: LayerContext) -> tuple[float, float]:
        return self.c, self.c

    def log_decay(self, logit: None, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        import torch

        return torch.full((context.size,), math.log(self.c), dtype=torch.float64)


@dataclass(frozen=True)
class NoDecay(Decay):
    """log λ = 0: plain linear attention. Nothing learned.

    Source: Katharopoulos et al., *Transformers are RNNs* (arXiv 2006.16236).
    Shapes: log λ (size,).
    """

    name: ClassVar[str] = "none"
    summary: ClassVar[str] = "λ = 1, plain linear attention"
    data_dependent: ClassVar[bool] = False
    sharings: ClassVar[tuple[bool | str, ...]] = (False,)
    uniform_in_head: ClassVar[bool] = True

    def start_median(self, context: LayerContext) -> tuple[float, float]:
        return 1.0, 1.0

    def log_decay(self, logit: None, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        import torch

        return torch.zeros(context.size, dtype=torch.float64)
