"""HGRN2's decay: a sigmoid above a lower bound that rises from layer to layer."""

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
class HGRN2(Decay):
    """log λ = log(γ_l + (1 − γ_l) · sigmoid(f)).

    The lower bounds γ_l = p_1 + … + p_l (γ_0 = 0) come from p = softmax over layers of one learned (layers × size)
    table, which starts at ones: γ_l = l / layers.
    Source: Qin et al., *HGRN2* (arXiv 2404.07904).
    Shapes: f, log λ (…, size); the table (layers, size), float32, common to all layers.
    Start: λ = γ_l + (1 − γ_l) / 2.
    Shared key: 1 − λ.
    With ``start: s`` the first row of the table gets a fixed offset besides the logit's, so that the bounds start at
    γ_l = s · l / layers: those of a deep model's last layers would otherwise lie above s.
    """

    start: float | None = None
    """Median of λ that every layer starts at; None keeps the decay's own start."""

    name: ClassVar[str] = "hgrn2"
    summary: ClassVar[str] = "log(γ + (1 − γ)·sigmoid(f)), learned lower bounds γ rising by layer"

    def __post_init__(self) -> None:
        check_open_unit(self.name, "start", self.start, optional=True)

    def model_extras(self, site: Site) -> tuple[Extra, ...]:
        # One layer has no bound but γ_0 = 0, and the table would never get a gradient.
        return (Extra("bounds", (site.layers, site.size)),) if site.layers > 1 else ()

    def initial_model(self, site: Site, generator: Callable[[str], torch.Generator]) -> dict[str, Tensor]:
        import torch

        return {"bounds": torch.ones(site.layers, site.size, dtype=torch.float64)} if site.layers > 1 else {}

    def spread(self, extras: Mapping[str, Tensor], site: Site) -> dict[str, Tensor]:
        import torch

        if site.layer == 0 or "bounds" not in extras:
            return {}
        table = extras["bounds"]
        if self.start is not None:
            first = torch.zeros(site.layers, 1, dtype=table.dtype, device=table.device)
            first[0] = math.log(site.layers / self.start - site.layers + 1)
            table = table + first
        shares = table.softmax(dim=0)
        return {"lower_bound": shares[1 : site.layer + 1].sum(dim=0)}

    def log_decay(self, logit: Tensor | None, extras: Mapping[str, Tensor], site: Site) -> Tensor:
        import torch
        from torch.nn.functional import logsigmoid

        assert logit is not None
        if "lower_bound" not in extras:
            return logsigmoid(logit)  # through log γ_0 the table would get NaN gradients
        bound = extras["lower_bound"].to(logit.dtype)
        # log(γ + (1 − γ)σ(f)) = log(σ(f) + γσ(−f)); in logs neither term rounds λ near 0 or 1.
        return torch.logaddexp(logsigmoid(logit), bound.log() + logsigmoid(-logit))
