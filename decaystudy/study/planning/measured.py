"""Training speeds that were measured, decay by decay, and the share of a GPU's peak that they come to."""

from __future__ import annotations

import functools
import statistics

from decaystudy.devices import DEVICES, Device
from decaystudy.model.config import ModelConfig
from decaystudy.model.count import forward_flops

SOURCE = "benchmarks/RESULTS.md"
LENGTH = 2048
MEASURED = {
    "h200": ("2026-11-30", {"mamba2": 409e3, "hgrn2": 399e3, "lightnet": 376e3}),
    "h100": ("2026-11-25", {"mamba2": 392.6e3, "hgrn2": 360e3, "lightnet": 349.4e3, "softmax": 448e3}),
}
"""Tokens/s of one GPU at scale 160m in steps of 16 × 2048 tokens: bfloat16, compiled, vector decays by our kernels."""
REFERENCE = "h100"
"""What tells how decays differ on GPUs that nothing was measured on."""


def utilisation(device: Device, model: ModelConfig) -> float:
    """The share of a device's peak that training of this model reaches: measured for its decay on such a GPU; else what
    is assumed of the device, more or less as the decay was measured beside the others; without that, their median."""
    if not device.gpu:
        return device.utilisation
    family = "softmax" if model.mixer == "softmax" else model.decay.split("-")[0]
    own = shares(device.name) if device.name in MEASURED else {}
    if own:
        return own.get(family, statistics.median(own.values()))
    known = shares(REFERENCE)
    return device.utilisation * known.get(family, known["mamba2"]) / known["mamba2"]


@functools.cache
def shares(device: str) -> dict[str, float]:
    """By decay, or ``softmax``: the share of the peak that the measured speeds come to."""
    found = {}
    for family, rate in MEASURED[device][1].items():
        choice = {"mixer": "softmax"} if family == "softmax" else {"decay": family}
        model = ModelConfig.preset("160m", **choice)
        found[family] = rate * forward_flops(model, LENGTH).training / DEVICES[device].flops
    return found


def source_text(device: Device) -> str:
    """What hours on such a device rest on."""
    if device.name in MEASURED:
        date, _ = MEASURED[device.name]
        return f"assumed: as measured by decay at 160m on one {device.summary}, {date} ({SOURCE})"
    peak = f"{device.flops / 1e12:g} TFLOP/s" if device.gpu else f"{device.flops / 1e9:g} GFLOP/s"
    by_decay = f", by decay as measured on an H100 ({SOURCE})" if device.gpu else ""
    return f"assumed: {device.summary} at {device.utilisation:.0%} of {peak}{by_decay}"
