"""The GPUs, and which kernels serve which calls on this machine, and why. Imports torch when it is asked."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

from decaystudy.formatting import size

if TYPE_CHECKING:
    import torch

    from decaystudy.ops.call import CallFacts

Facts = Iterator[tuple[str, str]]
WIDTH = 128
"""Channels of a head, as the scales of the paper have it."""


def gpu_facts() -> Facts:
    """What the driver and what torch see."""
    driver = _driver()
    yield "driver", ", ".join(driver) if driver else "nvidia-smi is not there, or sees no GPU"
    import torch

    built = torch.version.cuda or (f"ROCm {torch.version.hip}" if torch.version.hip else None)
    yield "torch is built for", f"CUDA {built}" if torch.version.cuda else built or "CPUs only"
    if not torch.cuda.is_available():
        why = "torch finds none"
        if driver and built is None:
            why = "torch is built without CUDA: install another build of it (pytorch.org tells which)"
        elif driver:
            why = "torch can't use what the driver sees: CUDA_VISIBLE_DEVICES may hide it, or the driver be too old"
        yield "used", f"none: {why}; everything runs on the CPU"
        return
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        yield f"GPU {number}", f"{about.name}, {size(about.total_memory)}, capability {about.major}.{about.minor}"
    yield "bfloat16", "yes" if torch.cuda.is_bf16_supported() else "no"


def kernel_facts() -> Facts:
    """Which backend ``auto`` takes for usual calls, why it takes no faster one, and whether blocks are compiled."""
    import torch

    from decaystudy.ops.backends import choose, passed_over

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name, facts in _calls(device):
        reasons: dict[str, list[str]] = {}
        for other, why in passed_over(facts).items():
            reasons.setdefault(why, []).append(other)
        not_taken = [f"not {' or '.join(others)}: {why}" for why, others in reasons.items()]
        yield name, "; ".join([choose(facts, "auto").name, *not_taken])
    yield "torch.compile", _compiled(device)


def _calls(device: torch.device) -> list[tuple[str, CallFacts]]:
    import torch

    from decaystudy.ops.call import CallFacts

    def facts(dtype: torch.dtype, scalar: bool = False, dplr: bool = False, tokens: int = 2048) -> CallFacts:
        return CallFacts(device, dtype, 1, tokens, 6, WIDTH, WIDTH, scalar, dplr, False)

    half = torch.bfloat16
    return [
        ("bfloat16, vector", facts(half)),
        ("bfloat16, scalar", facts(half, scalar=True)),
        ("bfloat16, DPLR", facts(half, dplr=True)),
        ("float32, vector", facts(torch.float32)),
        ("float32, scalar", facts(torch.float32, scalar=True)),
        ("decoding", facts(half, tokens=1)),
    ]


def _compiled(device: torch.device) -> str:
    from decaystudy.training.compilation import c_compiler

    if device.type != "cuda":
        return "no (--compile auto compiles on a GPU)"
    return "yes" if c_compiler() else "no: there is no C compiler (install gcc, or set CC)"


def _driver() -> list[str]:
    """Name and driver of each GPU that nvidia-smi sees."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip().replace(", ", " with driver ") for line in told.stdout.splitlines() if "," in line]
