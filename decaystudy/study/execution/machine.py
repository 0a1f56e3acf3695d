"""This machine's processors."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess


def cpu_count() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_gpus() -> tuple[str, ...]:
    """Indices of this machine's NVIDIA GPUs, those of CUDA_VISIBLE_DEVICES if it is set; asks no CUDA library."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name.strip() for name in visible.split(",") if name.strip() and name.strip() != "-1")
    if shutil.which("nvidia-smi") is None:
        return ()
    listing = subprocess.run(
        ["nvidia-smi", "-L"], capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=60
    )
    return tuple(str(i) for i, line in enumerate(listing.stdout.splitlines()) if line.startswith("GPU "))


def device_name() -> str:
    """The first GPU's name, as CUDA has it, or ``cpu``."""
    if not local_gpus():
        return "cpu"
    return next(iter(_ask_gpus("name")), "cpu")


@functools.cache
def gpu_memory() -> int | None:
    """Bytes of the smallest of this machine's GPUs; None where that isn't known. Asks no CUDA library."""
    sizes = [int(line) * 2**20 for line in _ask_gpus("memory.total") if line.isdigit()]
    return min(sizes, default=None)


def _ask_gpus(fact: str) -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={fact}", "--format=csv,noheader,nounits"]
    told = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=60)
    return [line.strip() for line in told.stdout.splitlines() if line.strip()]
