"""Whether this machine has the processors that a run asks for, known before anything is started. Imports torch late."""

from __future__ import annotations

from typing import Any

from decaystudy.errors import UserError
from decaystudy.formatting import size
from decaystudy.model.config import ON_GPU
from decaystudy.runs.config import RunConfig
from decaystudy.runs.memory import machine_memory

GPUS = ("gpu", "cuda", "mps")
"""Accelerators that not every machine has."""
UNSHARDED = ("64-true", "64")
"""Precisions that Lightning's FSDP2 doesn't train in."""


PROCESS_BYTES = 350 * 2**20
"""What a process takes that has imported torch and Lightning, before it trains anything."""


def check_sharding(config: RunConfig, processes: int) -> None:
    """Refuse a precision in which nothing can be sharded over several processes.

    Raises:
        UserError: which, and what there is instead.
    """
    precision = config.trainer.get("precision")
    if config.strategy == "fsdp" and processes > 1 and str(precision) in UNSHARDED:
        raise UserError(
            f"trainer.precision {precision} cannot be sharded: use --strategy ddp, or 32-true, bf16-mixed or bf16-true"
        )


def check_processes(name: str, count: int) -> None:
    """Refuse more processes on this machine's CPUs than its memory holds, whatever they train.

    Args:
        name: of the setting that asks for them.

    Raises:
        UserError: how many there may be.
    """
    memory = machine_memory()
    if count > 1 and count * PROCESS_BYTES > memory:
        raise UserError(
            f"{name} is {count}, and each is a process of {size(PROCESS_BYTES)} or more on this machine's CPUs, whose "
            f"memory is {size(memory)}: give at most {max(1, memory // PROCESS_BYTES)}"
        )


def check_gpus(config: RunConfig, devices: int) -> None:
    """Refuse a run that asks for GPUs that this machine doesn't have.

    Args:
        devices: of the run on this machine.

    Raises:
        UserError: which setting asks for them, and what to do.
    """
    indices = _indices(config.trainer.get("devices"))
    asks = _asks_for_gpu(config, indices)
    accelerator = config.trainer.get("accelerator", "auto")
    if accelerator == "cpu":
        if asks:
            raise UserError(f"{asks}, and trainer.accelerator is cpu: leave one of them out")
        return
    if not asks and devices == 1:
        return
    seen = gpus_seen(accelerator)
    if asks and not seen:
        raise UserError(
            f"{asks}, and torch finds none on this machine (decaystudy doctor says more): leave it out to train on the "
            "CPU, or go where there is one"
        )
    if seen and max(devices, 1 + max(indices, default=-1)) > seen:
        asked = config.trainer.get("devices", devices)
        raise UserError(f"trainer.devices is {asked} and this machine has {seen} GPUs: give fewer, counted from 0")


def _asks_for_gpu(config: RunConfig, indices: list[int]) -> str:
    """Which setting needs a GPU, in words; empty if none does."""
    accelerator = config.trainer.get("accelerator", "auto")
    if accelerator in GPUS:
        return f"trainer.accelerator is {accelerator}, which needs a GPU"
    if config.model.backend in ON_GPU and config.model.mixer != "softmax":
        return f"model.backend is {config.model.backend}, whose kernels need an NVIDIA GPU"
    if indices:
        return f"trainer.devices is {config.trainer['devices']}, which names GPUs by their indices"
    return ""


def _indices(devices: Any) -> list[int]:
    """The GPUs that ``trainer.devices`` names, if it is not a number of them."""
    if isinstance(devices, str) and "," in devices:
        devices = devices.split(",")
    return [int(index) for index in devices] if isinstance(devices, (list, tuple)) else []


def gpus_seen(accelerator: str = "auto") -> int:
    """How many GPUs torch finds for an accelerator."""
    import torch

    if accelerator != "mps" and torch.cuda.is_available():
        return torch.cuda.device_count()
    return int(accelerator != "cuda" and torch.backends.mps.is_available())
