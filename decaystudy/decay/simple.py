"""Simple Decay, the paper's proposal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from decaystudy.decay.base import Decay, Extra, Site, check_open_unit

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
    """Median of λ that every layer starts at, through a constant offset beside Δ; None leaves it at p."""

    name: ClassVar[str] = "simple"
    summary: ClassVar[str] = "logsigmoid(f + Δ), Δ starting at logit(p) (option p)"

    def __post_init__(self) -> None:
        check_open_unit(self.name, "p", self.p)
        check_open_unit(self.name, "start", self.start, optional=True)

    def extras(self, site: Site) -> tuple[Extra, ...]:
        return (Extra("delta", (site.size,)), *super().extras(site))

    def initial(self, site: Site, generator: Callable[[str], torch.Generator]) -> dict[str, Tensor]:
        import torch

        return {"delta": torch.full((site.size,), math.log(self.p / (1 - self.p)), dtype=torch.float64)}

    def log_decay(self, logit: Tensor | None, extras: Mapping[str, Tensor], site: Site) -> Tensor:
        from torch.nn.functional import logsigmoid

        assert logit is not None
        return logsigmoid(logit + extras["delta"].to(logit.dtype))
