"""Mamba2's decay and its three ablations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from decaystudy.decay.base import Decay, check_open_unit
from decaystudy.decay.declarations import SHARINGS, LayerContext, ParameterSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Mamba2(Decay):
    """log λ = −exp(A_log) · softplus(f + Δ).

    Source: Dao and Gu, *Transformers are SSMs* (arXiv 2405.21060); arXiv 2509.05282, section 4.
    Shapes: f, log λ (…, size); A_log, Δ (size,), float32.
    Start: A_log = log U(1, 16); Δ = softplus⁻¹(dt), dt log-uniform in [1e-3, 1e-1] with floor 1e-4.
    Shared key: 1 − λ; ``sharing: released`` has softplus(f + Δ).
    """

    start: float | None = None
    """Median of λ that every layer starts at; None keeps the decay's own start."""

    name: ClassVar[str] = "mamba2"
    summary: ClassVar[str] = "−exp(A_log)·softplus(f + Δ), Mamba2's own"
    sharings: ClassVar[tuple[bool | str, ...]] = SHARINGS
    has_a: ClassVar[bool] = True
    has_delta: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_open_unit(self.name, "start", self.start, optional=True)

    def start_median(self, context: LayerContext) -> tuple[float, float]:
        given = super().start_median(context)
        if given is not None:
            return given
        # The middle of n draws has a rank of n/2 ± √n/2, one standard deviation: four of them.
        share = min(0.5, 2 / math.sqrt(context.size))
        return math.exp(-self._rate(0.5 + share)), math.exp(-self._rate(0.5 - share))

    def _rate(self, share: float) -> float:
        """−log λ at logits of 0, below which that share of the start values lies: bisects their distribution."""
        a_values = [1 + 15 * (i + 0.5) / 200 for i in range(200)] if self.has_a else [1.0]

        def below(rate: float) -> float:
            """The share of A · softplus(Δ) below ``rate``."""
            if not self.has_delta:
                return sum(a * math.log(2) < rate for a in a_values) / len(a_values)
            shares = (math.log(rate / (a * 1e-3)) / math.log(100) for a in a_values)
            return sum(min(1.0, max(0.0, one)) for one in shares) / len(a_values)

        low, high = 1e-4, 16.0
        for _ in range(60):
            middle = math.sqrt(low * high)
            low, high = (low, middle) if below(middle) > share else (middle, high)
        return high

    def parameters(self, context: LayerContext) -> tuple[ParameterSpec, ...]:
        own = []
        if self.has_a:
            own.append(ParameterSpec("A_log", (context.size,)))
        if self.has_delta:
            own.append(ParameterSpec("delta", (context.size,)))
        return (*own, *super().parameters(context))

    def initial_parameters(
        self, context: LayerContext, generator: Callable[[str], torch.Generator]
    ) -> dict[str, Tensor]:
        import torch

        def uniform(name: str, low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(context.size, generator=generator(name), dtype=torch.float64)

        values = {}
        if self.has_a:
            values["A_log"] = uniform("A_log", 1.0, 16.0).log()
        if self.has_delta:
            dt = uniform("delta", math.log(1e-3), math.log(1e-1)).exp().clamp(min=1e-4)
            values["delta"] = dt + (-(-dt).expm1()).log()  # softplus⁻¹
        return values

    def log_decay(self, logit: Tensor, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        step = self._step(logit, parameters)
        return -(parameters["A_log"].to(step.dtype).exp() * step) if self.has_a else -step

    def released_key(self, logit: Tensor, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        return self._step(logit, parameters)

    def _step(self, logit: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """softplus(f + Δ), without torch's switch to the identity above 20, which would cost up to 2e-9."""
        from torch.nn.functional import softplus

        shifted = logit + parameters["delta"].to(logit.dtype) if self.has_delta else logit
        return softplus(shifted, threshold=40.0)


@dataclass(frozen=True)
class Mamba2NoA(Mamba2):
    """log λ = −softplus(f + Δ): Mamba2 without A. Everything else as :class:`Mamba2`."""

    name: ClassVar[str] = "mamba2-no-a"
    summary: ClassVar[str] = "−softplus(f + Δ), Mamba2 without A"
    has_a: ClassVar[bool] = False


@dataclass(frozen=True)
class Mamba2NoDelta(Mamba2):
    """log λ = −exp(A_log) · softplus(f): Mamba2 without Δ. Its median λ starts near 0.003."""

    name: ClassVar[str] = "mamba2-no-delta"
    summary: ClassVar[str] = "−exp(A_log)·softplus(f), Mamba2 without Δ"
    has_delta: ClassVar[bool] = False


@dataclass(frozen=True)
class Mamba2NoANoDelta(Mamba2):
    """log λ = −softplus(f) = logsigmoid(−f): Mamba2 without A and Δ. Starts at λ = 0.5."""

    name: ClassVar[str] = "mamba2-no-a-no-delta"
    summary: ClassVar[str] = "−softplus(f), Mamba2 without A and Δ"
    has_a: ClassVar[bool] = False
    has_delta: ClassVar[bool] = False
