"""The linear maps that projections are made of."""

from __future__ import annotations

from torch import Tensor, nn

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


def build_projection(spec: ProjectionSpec, d_in: int) -> nn.Module:
    """The map that a projection with its rank filled in declares."""
    if spec.rank == "full":
        return nn.Linear(d_in, spec.size, bias=False)
    assert spec.rank is not None
    return LowRank(d_in, spec.rank, spec.size)
