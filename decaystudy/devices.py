"""Processors whose peak speed is known: for plans, and for the share of it that training reaches."""

from __future__ import annotations

import re
from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Device:
    """A processor that plans may assume."""

    name: str
    summary: str
    flops: float
    """Dense matrix FLOP/s in bf16 (float32 for a CPU core), as its maker states."""
    memory_bytes: int
    utilisation: float
    """Share of ``flops`` that training is assumed to reach, where no decay was measured on it."""
    gpu: bool = True
    pattern: str = ""
    """Finds it in the name that CUDA gives."""


# Peaks are the makers' dense bf16 figures; V100 has fp16 only. 35 % is what training of this size commonly reaches
# on these GPUs; the CPU line is one core with AVX2 running small matrices.
DEVICES = {
    device.name: device
    for device in (
        Device("cpu", "one core, assumed", 100e9, 0, 0.40, gpu=False),
        Device("v100", "NVIDIA V100 32 GB", 125e12, 32 * GIB, 0.30, pattern="V100"),
        Device("a100-40gb", "NVIDIA A100 40 GB", 312e12, 40 * GIB, 0.35, pattern="A100.*40GB"),
        Device("a100-80gb", "NVIDIA A100 80 GB", 312e12, 80 * GIB, 0.35, pattern="A100.*80GB"),
        Device("l40s", "NVIDIA L40S 48 GB", 362e12, 48 * GIB, 0.30, pattern="L40S"),
        Device("rtx4090", "NVIDIA GeForce RTX 4090 24 GB", 165e12, 24 * GIB, 0.35, pattern="RTX 4090$"),
        Device("h100", "NVIDIA H100 SXM 80 GB", 989e12, 80 * GIB, 0.35, pattern="H100 80GB HBM3"),
        Device("h200", "NVIDIA H200 141 GB", 989e12, 141 * GIB, 0.35, pattern="H200"),
        Device("b200", "NVIDIA B200 192 GB", 2250e12, 192 * GIB, 0.30, pattern="B200"),
    )
}


def named_device(name: str) -> Device | None:
    """The processor of that name, as CUDA and result.json have it; None for one whose peak is not known."""
    return next((device for device in DEVICES.values() if device.pattern and re.search(device.pattern, name)), None)


def peak_flops(name: str, precision: str) -> float | None:
    """Peak FLOP/s of a device where training in that precision could reach it; None where that is not known.

    Args:
        precision: as of Lightning's Trainer; the peaks are those of bfloat16.
    """
    device = named_device(name)
    return device.flops if device is not None and "bf16" in precision and device.name != "v100" else None
