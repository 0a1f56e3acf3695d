"""The processes of a run as Lightning sees them: started already, by torchrun, srun or ``supervisor``."""

from __future__ import annotations

import os
import zlib

from lightning.fabric.plugins import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.utilities import rank_zero_only

from decaystudy.training.world import World


class Processes(ClusterEnvironment):
    """Says what ``World`` says. Lightning's own environments go by single variables of the environment, and the one
    for SLURM requeues jobs by itself.

    Args:
        world: the processes of the run.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        rank_zero_only.rank = world.rank  # type: ignore[attr-defined]

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        """The machine of the first process."""
        nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_NODELIST")
        return os.environ.get("MASTER_ADDR") or (
            SLURMEnvironment.resolve_root_node_address(nodes) if nodes else "127.0.0.1"
        )

    @property
    def main_port(self) -> int:
        """Its port: the same for all tasks of a SLURM step, another one for most other steps."""
        if "MASTER_PORT" in os.environ:
            return int(os.environ["MASTER_PORT"])
        step = f"{os.environ.get('SLURM_JOB_ID')}.{os.environ.get('SLURM_STEP_ID')}"
        return 15_000 + zlib.crc32(step.encode()) % 17_000  # below the ports that the kernel gives to clients

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._world.size

    def set_world_size(self, size: int) -> None:
        """It is known."""

    def global_rank(self) -> int:
        return self._world.rank

    def set_global_rank(self, rank: int) -> None:
        """It is known."""

    def local_rank(self) -> int:
        return self._world.local_rank

    def node_rank(self) -> int:
        return self._world.node_rank
