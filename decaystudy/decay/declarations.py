"""What a decay says of itself as plain data: from this, models are built and counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from decaystudy.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

GRANULARITIES = ("vector", "scalar", "paired")
SHARINGS = (False, True, "released", "tied")


@dataclass(frozen=True)
class LayerContext:
    """The layer that a decay works in, and what the model asks of it there."""

    layer: int
    """Index of the layer, 0 … layers − 1."""
    layers: int
    heads: int
    head_dim: int
    granularity: str = "vector"
    sharing: bool | str = False
    dplr: bool = False

    @property
    def size(self) -> int:
        """Number of decay values per token: d (vector), d/2 (paired) or the number of heads (scalar)."""
        if self.granularity == "scalar":
            return self.heads
        width = self.heads * self.head_dim
        return width // 2 if self.granularity == "paired" else width

    @property
    def shares_projection(self) -> bool:
        """Whether W_k x is the decay's (first) logit, which then has no projection of its own."""
        return self.sharing in (True, "released")


@dataclass(frozen=True)
class ParameterSpec:
    """A tensor that a decay owns besides its projections."""

    name: str
    shape: tuple[int, ...]
    learned: bool = True
    """False for a constant that is fixed when the model is initialised."""

    @property
    def count(self) -> int:
        """Number of learned values."""
        return math.prod(self.shape) if self.learned else 0


@dataclass(frozen=True)
class ProjectionSpec:
    """A learned linear map, without bias, from the layer's input (B, T, d) to a logit (B, T, size)."""

    name: str
    """A Python identifier: the logit's name, and part of the weights' names in a checkpoint."""
    size: int
    rank: int | Literal["full"] | None = None
    """Inner width of a low-rank map d → rank → size, ``full`` for one matrix d → size, or None for the rank that the
    model gives its decays: ``full`` at granularity scalar, else its ``decay_rank``, else the size of a head."""

    def with_rank(self, default: int | Literal["full"]) -> ProjectionSpec:
        """The same with its rank filled in."""
        return replace(self, rank=default) if self.rank is None else self

    def count(self, width: int) -> int:
        """Number of weights for inputs of ``width`` channels, the rank being filled in."""
        if self.rank == "full":
            return width * self.size
        assert self.rank is not None
        return width * self.rank + self.rank * self.size


class DecayOutput(NamedTuple):
    """What a decay gives for a stretch of tokens."""

    log_decay: Tensor
    """log λ, (B, T, size), float32 or float64."""
    key: Tensor | None
    """The shared key, (B, T, size); None unless the key is shared."""
    carry: Tensor | None
    """What the decay needs to resume at the next token, (B, n, size); None for a decay without memory."""
    beta: Tensor | None = None
    """DPLR's β before ``beta_max``, (B, T, heads), for a decay that has its own."""


def check_projections(decay: str, data_dependent: bool, specs: Sequence[ProjectionSpec], context: LayerContext) -> None:
    """Refuse declarations that no model can be built from.

    Raises:
        UserError: an impossible name, size or rank; or projections of a decay that calls itself data-independent; or a
            shared key that can't be the first logit.
    """
    names = [spec.name for spec in specs]
    for spec in specs:
        where = f"projection {spec.name!r} of decay {decay!r}"
        if not spec.name.isidentifier() or names.count(spec.name) > 1:
            raise UserError(f"{where} needs a name of letters, digits and underscores that no other has: rename it")
        if not _is_count(spec.size):
            raise UserError(f"{where} has size {spec.size!r}: give a whole number of at least 1")
        if spec.rank not in (None, "full") and not _is_count(spec.rank):
            raise UserError(f"{where} has rank {spec.rank!r}: give a whole number of at least 1, full, or None")
    if specs and not data_dependent:
        raise UserError(
            f"decay {decay!r} declares projections and says that it doesn't depend on the token: "
            "set its data_dependent to True, or let it declare none"
        )
    if specs and context.shares_projection and specs[0].size != context.size:
        raise UserError(
            f"decay {decay!r} can't share its projection with the key: its first one, {specs[0].name!r}, has size "
            f"{specs[0].size} and the key {context.size}: set model.sharing to false or tied"
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
