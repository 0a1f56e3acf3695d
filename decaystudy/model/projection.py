"""The linear maps that projections are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from decaystudy.decay import ProjectionSpec


class LowRank(nn.Module):
    """Linear(d → rank), then Linear(rank → out), with nothing between."""

    def __init__(self, d_in: int, rank: int, d_out: int) -> None:
        super().__init__()
        self.down = nn.Linear(d_in, rank, bias=False)
        self.up = nn.Linear(rank, d_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.up(self.down(x))
        return projected


def first_map(projection: nn.Module) -> nn.Linear:
    """The linear map that a projection, a Linear or a LowRank, begins with."""
    first = projection.down if isinstance(projection, LowRank) else projection
    assert isinstance(first, nn.Linear)
    return first


def after_first_map(projection: nn.Module, x: Tensor) -> Tensor:
    """What a projection makes of the output of its ``first_map``."""
    return projection.up(x) if isinstance(projection, LowRank) else x


def apply_all(maps: Sequence[nn.Linear], x: Tensor) -> list[Tensor]:
    """Each of the bias-free maps of x, (…, out).

    In a compiled model it is one product with all weights side by side, which fills a GPU better than several narrow
    ones and reads x once. The weights stay apart as parameters, so names, start values and checkpoints don't change.
    """
    if not torch.compiler.is_compiling():
        return [each(x) for each in maps]
    packed = linear(x, torch.cat([each.weight for each in maps]))
    return list(packed.split([each.out_features for each in maps], dim=-1))


def build_projection(spec: ProjectionSpec, d_in: int) -> nn.Module:
    """The map that a projection with its rank filled in declares."""
    if spec.rank == "full":
        return nn.Linear(d_in, spec.size, bias=False)
    assert spec.rank is not None
    return LowRank(d_in, spec.rank, spec.size)
