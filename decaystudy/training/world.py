"""The processes of a run: how many there are, which of them this is, and who has started them. Imports torch late."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decaystudy.errors import UserError

SUPERVISED = "DECAYSTUDY_SUPERVISOR"
"""Environment variable with the process id of the ``supervisor`` that has started this process."""
INTERACTIVE = ("bash", "sh", "zsh", "interactive")
"""SLURM's names of jobs of one task in which somebody types commands."""

UNREACHED = (
    "the processes of this run don't reach each other ({}): see that all are started, that MASTER_ADDR is where the "
    "first one is, and that nobody else has MASTER_PORT"
)

_OF_A_WORLD = re.compile(
    rf"(LOCAL_|GROUP_|ROLE_|NODE_)?RANK|(LOCAL_|GROUP_|ROLE_)?WORLD_SIZE|MASTER_(ADDR|PORT)|TORCHELASTIC_.*|{SUPERVISED}"
    "|SLURM_(STEP_.*|STEPID|PROCID|LOCALID|NODEID)"
)


@dataclass(frozen=True)
class World:
    """The processes of a run, one for each device."""

    devices: int
    """On each machine."""
    nodes: int = 1
    """Machines."""
    rank: int = 0
    """Number of this process, from 0."""
    local_rank: int = 0
    """Its number on this machine."""
    node_rank: int = 0
    """Number of this machine."""
    started: bool = True
    """Whether the processes are there already; if not, this one is to start those of its machine."""

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.devices * self.nodes

    @property
    def first(self) -> bool:
        """Whether this process locks the folder, writes, and prints."""
        return self.started and self.rank == 0


def find_world(trainer: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> World:
    """The processes of a run with these Trainer settings.

    One device is one process, whatever rank a variable of the environment names.

    Raises:
        UserError: torchrun or srun has started another number of processes than the run has devices.
    """
    devices, nodes = device_count(trainer), int(trainer.get("num_nodes", 1))
    size = devices * nodes

    def number(name: str, default: int = 0) -> int:
        text = environment.get(name, "")
        return int(text) if text.isdecimal() else default

    def mismatch(who: str, count: int, on_each: int, how: str) -> UserError:
        machines = f" --trainer.num_nodes {count // on_each}" if count > on_each or nodes > 1 else ""
        return UserError(
            f"{who} has started {count} processes, and trainer.devices {devices} on trainer.num_nodes {nodes} makes "
            f"{size}: write --trainer.devices {on_each}{machines}, or {how}"
        )

    if SUPERVISED in environment:
        return World(devices, nodes, number("RANK"), number("LOCAL_RANK"), number("NODE_RANK"))
    if "TORCHELASTIC_RUN_ID" in environment:
        count = number("WORLD_SIZE", 1)
        if count != size:
            raise mismatch("torchrun", count, number("LOCAL_WORLD_SIZE", count), f"torchrun --nproc-per-node {devices}")
        return World(devices, nodes, number("RANK"), number("LOCAL_RANK"), number("GROUP_RANK"))
    if "SLURM_STEP_ID" in environment and not _typed(environment):
        count = number("SLURM_STEP_NUM_TASKS", number("SLURM_NTASKS", 1))
        if count != size:
            each = max(1, count // max(1, number("SLURM_STEP_NUM_NODES", number("SLURM_NNODES", 1))))
            raise mismatch("srun", count, each, f"srun --nodes {nodes} --ntasks-per-node {devices}")
        return World(devices, nodes, number("SLURM_PROCID"), number("SLURM_LOCALID"), number("SLURM_NODEID"))
    if size == 1:
        return World(1)
    if {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= set(environment) and number("WORLD_SIZE") == size:
        local = number("LOCAL_RANK", number("RANK") % devices)
        return World(devices, nodes, number("RANK"), local, number("RANK") // devices)
    if nodes > 1 and not {"NODE_RANK", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"} & set(environment):
        raise UserError(
            f"trainer.num_nodes is {nodes}, and nothing tells these machines of each other: start the run on each with "
            "srun or torchrun, or with MASTER_ADDR, MASTER_PORT and NODE_RANK set"
        )
    node = number("NODE_RANK", number("GROUP_RANK")) if nodes > 1 else 0
    if node >= nodes:
        raise UserError(
            f"NODE_RANK is {node}, and the machines of trainer.num_nodes {nodes} are numbered from 0 to {nodes - 1}: "
            "give each its own number"
        )
    return World(devices, nodes, node * devices, 0, node, started=False)


def _typed(environment: Mapping[str, str]) -> bool:
    """Whether somebody types commands in this step of SLURM, whose only task is then a shell."""
    alone = environment.get("SLURM_STEP_NUM_TASKS", "1") == "1"
    return alone and (environment.get("SLURM_JOB_NAME") in INTERACTIVE or "SLURM_PTY_PORT" in environment)


def launched_by(environment: Mapping[str, str] = os.environ) -> tuple[str, int] | None:
    """Who has started this process as one of several, and of how many; None where it is alone."""

    def several(name: str) -> int:
        text = environment.get(name, "")
        return int(text) if text.isdecimal() and int(text) > 1 else 0

    if "TORCHELASTIC_RUN_ID" in environment and several("WORLD_SIZE"):
        return "torchrun", several("WORLD_SIZE")
    tasks = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environment else "SLURM_NTASKS"
    if "SLURM_STEP_ID" in environment and several(tasks):
        return "srun", several(tasks)
    if {"RANK", "MASTER_ADDR", "MASTER_PORT"} <= set(environment) and several("WORLD_SIZE"):
        return "a launcher (RANK and WORLD_SIZE are set)", several("WORLD_SIZE")
    return None


def without_world(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a command that starts its processes itself, whatever this process is one of."""
    return {name: value for name, value in environment.items() if not _OF_A_WORLD.fullmatch(name)}


def uses_gpu(trainer: Mapping[str, Any]) -> bool:
    """Whether a run with these settings trains on CUDA devices."""
    if trainer.get("accelerator", "auto") not in ("auto", "gpu", "cuda"):
        return False
    import torch

    return torch.cuda.is_available()


def device_count(trainer: Mapping[str, Any]) -> int:
    """Number of devices per node that these Trainer settings, already checked, ask for."""
    devices = trainer.get("devices", "auto")
    if isinstance(devices, (list, tuple)):
        return len(devices)
    text = str(devices).strip()
    if text in ("auto", "-1"):
        if not uses_gpu(trainer):
            return 1
        import torch

        return torch.cuda.device_count()
    return len(text.split(",")) if "," in text else int(text)
