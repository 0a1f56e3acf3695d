"""What the planned runs cost on which hardware: measured here, or assumed and said so."""

from __future__ import annotations

import hashlib
import json
import platform
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from decaystudy.devices import DEVICES, Device
from decaystudy.errors import UserError, unknown
from decaystudy.io import cache_folder, read_mapping, write_json
from decaystudy.model.count import forward_flops
from decaystudy.runs.config import RunConfig
from decaystudy.study.execution.machine import cpu_count, local_gpus
from decaystudy.study.planning.measured import source_text, utilisation


@dataclass
class Probe:
    """Speeds measured on this machine, for one scale and number of runs at once. Times in seconds."""

    token_seconds: dict[str, float] = field(default_factory=dict)
    """By ``shape_key``: training, a token."""
    sequence_seconds: dict[str, float] = field(default_factory=dict)
    """By ``shape_key``: validation, a sequence."""
    seconds_per_flop: float = 0.0
    """Training, median over the measured models, for those that were not."""
    validation_share: float = 0.0
    """Validation of a token by training on it, median over the measured models."""
    fixed_seconds: float = 0.0
    """A run's start and end."""
    source: str = ""
    validation_sequences: int = 0
    """How many that data source holds out at most."""
    measured: str = ""
    """When, and with which torch."""


class Past(Protocol):
    """What finished runs took."""

    def of(self, config: RunConfig) -> float:
        """Seconds of such a run."""
        ...


@dataclass(frozen=True)
class Speed:
    """How long a run takes."""

    source: str
    """What the hours rest on, in words."""
    probe: Probe | None
    device: Device
    devices: int
    gpu: bool
    past: Past | None = None
    """Runs that have taken their time already; they say more than the rest."""

    def seconds(self, config: RunConfig) -> float:
        """Wall-clock seconds of the whole run."""
        if self.past is not None:
            return self.past.of(config)
        if self.probe is None:
            return training_flops(config) / (self.device.flops * utilisation(self.device, config.model) * self.devices)
        probe, key, length = self.probe, shape_key(config), config.data.sequence_length
        token = probe.token_seconds.get(key) or probe.seconds_per_flop * training_flops(config) / config.tokens
        sequence = probe.sequence_seconds.get(key) or probe.validation_share * token * length
        held_out = config.data.validation_tokens // length
        if config.data.source == probe.source and probe.validation_sequences:
            held_out = min(held_out, probe.validation_sequences)
        # There is one validation at the end in any case; the last regular one is the same.
        validations = -(-config.max_steps // config.recipe.validate_every)
        return probe.fixed_seconds + (config.tokens * token + validations * held_out * sequence) / self.devices


def choose_speed(scale: str, *, gpu: str | None, devices: int, jobs: int, on_cpu: bool) -> Speed:
    """Hours from ``--gpu`` if given, else from a probe on record, else from an assumed device."""
    if gpu is not None:
        name = gpu.lower()
        sizes = [device for device in DEVICES if device.startswith(f"{name}-")]
        if name not in DEVICES and sizes:
            raise UserError(f"--gpu {gpu} comes with more than one size of memory: give {' or '.join(sizes)}")
        if name not in DEVICES:
            raise unknown("GPU", gpu, DEVICES)
        return Speed(source_text(DEVICES[name]), None, DEVICES[name], devices, DEVICES[name].gpu)
    here = bool(local_gpus())
    at_once = -(-jobs * devices // len(local_gpus())) if here else jobs
    found = read_probe(scale, jobs=at_once, gpu=here)
    if found is not None:
        device = DEVICES["a100-80gb" if here else "cpu"]
        scaled = f", shared out over {devices} devices without loss" if devices > 1 else ""
        source = f"measured on this machine by decaystudy probe, {found.measured}{scaled}"
        return Speed(source, found, device, devices, here)
    device = DEVICES["cpu" if on_cpu else "a100-80gb"]
    advice = "; decaystudy probe measures this machine" if on_cpu or local_gpus() else "; --gpu names another"
    return Speed(source_text(device) + advice, None, device, devices, device.gpu)


def training_flops(config: RunConfig) -> int:
    """FLOPs of the run: three times the forward pass, the attention operator counted as 4·Dk·Dv a head and token."""
    return forward_flops(config.model, config.data.sequence_length).training * config.tokens


def shape_key(config: RunConfig) -> str:
    """What a token's cost depends on, as a short hash."""
    model = asdict(config.model)
    # Options of a decay change its values, not its work.
    model["decay_options"] = {}
    parts: list[Any] = [model, config.data.sequence_length, config.recipe.micro_batch_size]
    parts += [config.trainer.get("precision"), config.threads]
    return hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=6).hexdigest()


def machine() -> str:
    """This machine, so that a cache on a shared file system keeps machines apart."""
    parts = [platform.node(), platform.machine(), str(cpu_count()), *local_gpus()]
    return f"{platform.node()}-{hashlib.blake2b(' '.join(parts).encode(), digest_size=4).hexdigest()}"


def probe_file(scale: str, *, jobs: int, gpu: bool) -> Path:
    """Where the probe of this machine is kept, by runs at once on its CPUs, or on each of its GPUs."""
    return cache_folder("probe", machine(), f"{scale}-{jobs}-{'per-gpu' if gpu else 'at-once'}.json")


def read_probe(scale: str, *, jobs: int, gpu: bool) -> Probe | None:
    """The record of ``decaystudy probe``, or None."""
    values = read_mapping(probe_file(scale, jobs=jobs, gpu=gpu))
    try:
        return Probe(**values) if values else None
    except TypeError:
        return None


def write_probe(probe: Probe, scale: str, *, jobs: int, gpu: bool) -> Path:
    """Keep a probe for the plans to come."""
    path = probe_file(scale, jobs=jobs, gpu=gpu)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(probe))
    return path


def summarise_probe(probe: Probe, configs: dict[str, RunConfig]) -> None:
    """Fill in what stands for models that were not measured; ``configs`` has the measured ones by ``shape_key``."""
    flops = {key: training_flops(configs[key]) / configs[key].tokens for key in probe.token_seconds}
    probe.seconds_per_flop = statistics.median(s / flops[key] for key, s in probe.token_seconds.items())
    probe.validation_share = statistics.median(
        s / (probe.token_seconds[key] * configs[key].data.sequence_length) for key, s in probe.sequence_seconds.items()
    )
