"""What every decay is: plain data that needs no torch, and one formula that does.

A decay turns a *logit* f (a projection of the layer's input) into log λ ≤ 0. Subclasses are frozen dataclasses whose
fields are the decay's options. Torch is imported only by the methods that compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from decaystudy.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

GRANULARITIES = ("vector", "scalar", "paired")
SHARINGS = (False, True, "released", "tied")


@dataclass(frozen=True)
class Site:
    """Where in a model a decay sits."""

    layer: int
    """Index of the layer, 0 … layers − 1."""
    layers: int
    heads: int
    head_dim: int
    granularity: str = "vector"
    sharing: bool | str = False

    @property
    def size(self) -> int:
        """How many decay values a token has: d (vector), d/2 (paired) or the number of heads (scalar)."""
        if self.granularity == "scalar":
            return self.heads
        width = self.heads * self.head_dim
        return width // 2 if self.granularity == "paired" else width


@dataclass(frozen=True)
class Extra:
    """A tensor that a decay owns besides its logit's projection."""

    name: str
    shape: tuple[int, ...]
    learned: bool = True
    """False for a constant that is fixed when the model is initialised."""

    @property
    def count(self) -> int:
        """Number of learned values."""
        total = 1
        for n in self.shape:
            total *= n
        return total if self.learned else 0


class Decayed(NamedTuple):
    """What a decay gives for a stretch of tokens."""

    log_decay: Tensor
    """log λ, (B, T, size), float32 or float64."""
    key: Tensor | None
    """The shared key, (B, T, size); None unless the site shares its key."""
    carry: Tensor | None
    """What the decay needs to go on with the next token, (B, n, size); None for a decay without memory."""


class Decay:
    """A parameterization of λ. Subclass it as a frozen dataclass, one file a family, and list it in ``registry.py``
    (or name it by its import path, ``mypackage.decays.Mine``, where a decay is asked for)."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for ``decaystudy list``."""
    data_dependent: ClassVar[bool] = True
    """Whether λ is a function of the token, through the logit f."""
    granularities: ClassVar[tuple[str, ...]] = GRANULARITIES
    sharings: ClassVar[tuple[bool | str, ...]] = (False, True, "tied")
    """Values of ``sharing`` that make sense for this decay."""
    uniform_in_head: ClassVar[bool] = False
    """Whether λ is the same in all dimensions of a head even at granularity ``vector``."""

    # -- plain data ---------------------------------------------------------------------------------------------
    def check(self, site: Site) -> None:
        """Raise a ``UserError`` if the options make no sense at this site."""

    def extras(self, site: Site) -> tuple[Extra, ...]:
        """The tensors of one layer; ``offset`` is the constant that matches a start."""
        return (Extra("offset", (1,), learned=False),) if getattr(self, "start", None) is not None else ()

    def model_extras(self, site: Site) -> tuple[Extra, ...]:
        """The tensors that all layers have in common."""
        return ()

    # -- tensors ------------------------------------------------------------------------------------------------
    def initial(self, site: Site, generator: Callable[[str], torch.Generator]) -> dict[str, Tensor]:
        """Start values of ``extras`` (without ``offset``), float64 on the CPU.

        ``generator(name)`` gives the seeded generator that belongs to the extra of that name.
        """
        return {}

    def initial_model(self, site: Site, generator: Callable[[str], torch.Generator]) -> dict[str, Tensor]:
        """Start values of ``model_extras``, float64 on the CPU."""
        return {}

    def spread(self, extras: Mapping[str, Tensor], site: Site) -> dict[str, Tensor]:
        """What layer ``site.layer`` sees of the model's common tensors, merged into its own extras."""
        return {}

    def log_decay(self, logit: Tensor | None, extras: Mapping[str, Tensor], site: Site) -> Tensor:
        """log λ from the logit f, (…, size) to (…, size); (size,) from None where λ doesn't depend on the token."""
        raise NotImplementedError

    def released_key(self, logit: Tensor, extras: Mapping[str, Tensor], site: Site) -> Tensor:
        """The key of ``sharing: released``, where the released code has another than 1 − λ."""
        raise NotImplementedError

    def apply(
        self,
        logit: Tensor | None,
        extras: Mapping[str, Tensor],
        site: Site,
        *,
        carry: Tensor | None = None,
        resets: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Decayed:
        """log λ, shared key and carry for a stretch of tokens.

        Args:
            logit: f, (B, T, size), float32 or float64; None for a data-independent decay.
            carry: that of the token before the stretch.
            resets: (B, T) bool, true where a document starts; only decays with memory look at it.
            mask: (B, T) bool, false at padding; only decays with memory look at it.
        """
        if logit is not None and "offset" in extras:
            logit = logit + extras["offset"].to(logit.dtype)
        log_decay = self.log_decay(logit, extras, site)
        key = None
        if site.sharing in (True, "tied"):
            key = -log_decay.expm1()
        elif site.sharing == "released":
            assert logit is not None
            key = self.released_key(logit, extras, site)
        return Decayed(log_decay, key, None)

    def initial_offset(self, extras: Mapping[str, Tensor], site: Site) -> Tensor:
        """The offset of the logit that makes the median of λ at f = 0 equal to the option ``start``, (1,) float64.

        Found by bisection on the decay's own formula, so it holds for every family: λ is monotone in f.
        """
        import torch

        start: float = self.start  # type: ignore[attr-defined]

        def excess(offset: float) -> float:
            logit = torch.full((site.size,), offset, dtype=torch.float64)
            return float(self.log_decay(logit, extras, site).exp().quantile(0.5)) - start

        low, high = -500.0, 500.0
        rising = excess(high) > excess(low)
        if excess(low) * excess(high) > 0:
            raise UserError(
                f"decay {self.name!r} cannot start at λ = {start} in layer {site.layer}: choose another start"
            )
        for _ in range(200):
            middle = (low + high) / 2
            if (excess(middle) > 0) == rising:
                high = middle
            else:
                low = middle
        return torch.tensor([(low + high) / 2], dtype=torch.float64)


def option_names(decay: type[Decay]) -> list[str]:
    """Names of the options that a decay takes."""
    return [field.name for field in fields(decay)]  # type: ignore[arg-type]


def check_open_unit(decay: str, option: str, value: Any, optional: bool = False) -> None:
    """Refuse a value of λ that is not strictly between 0 and 1."""
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise UserError(
            f"option {option!r} of decay {decay!r} is {value!r}: give a number between 0 and 1, both excluded"
        )
