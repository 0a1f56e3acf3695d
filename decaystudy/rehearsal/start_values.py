"""What the run starts from: the same weights on every rank as in one process, and λ where its decay says."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch

from decaystudy.data import DataModule
from decaystudy.io import read_mapping
from decaystudy.model import DecayTransformer
from decaystudy.model.block import Block
from decaystudy.model.layer_decay import LayerDecay
from decaystudy.model.resets import document_starts
from decaystudy.rehearsal.checks import CheckFailed, Rehearsal
from decaystudy.rehearsal.witness import start_file
from decaystudy.runs.config import RunConfig
from decaystudy.runs.weights import checksum
from decaystudy.training.decay_statistics import ROWS, decay_statistics, first_inputs, summary

RELATIVE, ABSOLUTE = 0.01, 1e-6
"""How far −log λ may be from where the decay says."""
SAME_TEXT = 1e-3
"""How far quantiles of λ over the same text may be apart: rounding, on another device."""
STATISTICS = ("median", "q25", "q75", "mean")


def start_values(rehearsal: Rehearsal) -> str:
    """Every rank starts from the weights of one process, and each layer's λ where its decay says."""
    config = rehearsal.config
    records = [read_mapping(start_file(rehearsal.undisturbed, rank)) for rank in range(rehearsal.devices)]
    missing = [rank for rank, record in enumerate(records) if record is None]
    if missing:
        raise CheckFailed(f"rank {missing[0]} has not recorded what it starts from: see {rehearsal.undisturbed}")
    found = [record for record in records if record is not None]
    # In this process, on the CPU, where only some backends work; they don't change the start.
    alone = DecayTransformer(dataclasses.replace(config.model, backend="auto"), seed=config.seed)
    wrong = [*different_weights(found, alone), *different_decays(found, decays_alone(config, alone))]
    medians = start_medians(alone)
    wrong += off_declared(config, medians)
    if wrong:
        more = f" (and {len(wrong) - 2} more)" if len(wrong) > 2 else ""
        raise CheckFailed("; ".join(wrong[:2]) + more)
    ranks = "one process" if rehearsal.devices == 1 else f"{rehearsal.devices} ranks agree with one process"
    weights = f"{len(found[0]['weights'])} tensors, {ranks}"
    if not medians:
        return f"{weights}; no decay to compare"
    known = "as declared" if declared(config, 0) is not None else "which the decay doesn't declare"
    return f"{weights}; λ starts at {', '.join(f'{median:.3f}' for median in medians)}, {known}"


def different_weights(records: list[dict[str, Any]], alone: DecayTransformer) -> list[str]:
    """Where the start values of a rank are not those of one process."""
    expected = alone.state_dict()
    wrong = []
    for rank, record in enumerate(records):
        weights = record["weights"]
        if sorted(weights) != sorted(expected):
            odd = sorted(set(weights) ^ set(expected))[0]
            wrong.append(f"rank {rank} and one process don't have the same tensors ({odd}): report it")
            continue
        for name, held in weights.items():
            value = expected[name].to(getattr(torch, held["dtype"]))
            if checksum({name: value}) != held["digest"]:
                wrong.append(
                    f"{name} starts on rank {rank} at other values than in one process: "
                    "draw start values from the generator that initial_parameters is given, on the CPU"
                )
    return wrong


def different_decays(records: list[dict[str, Any]], alone: list[dict[str, Any]]) -> list[str]:
    """Where λ over the same text is on a rank another than in one process."""
    wrong = []
    for rank, record in enumerate(records):
        for there, here in zip(record["decays"], alone, strict=True):
            for name in STATISTICS:
                if not abs(there[name] - here[name]) <= SAME_TEXT:
                    wrong.append(
                        f"λ of layer {here['layer']} has on rank {rank} a {name} of {there[name]:.4f}, and in one "
                        f"process on the CPU {here[name]:.4f} over the same text: try another --model.backend"
                    )
                    break
    return wrong


def decays_alone(config: RunConfig, model: DecayTransformer) -> list[dict[str, Any]]:
    """λ of a model in this process, over the text that a run measures at its start."""
    if config.model.mixer != "decay":
        return []
    data = DataModule(config.data, seed=config.seed, global_batch_size=1, micro_batch_size=1)
    data.prepare_data()
    eos_id = data.eos_id if config.data.reset_state_at_documents else None
    rows = torch.split(first_inputs(data.validation.blocks), ROWS)
    return decay_statistics(model, [(each, document_starts(each, eos_id)) for each in rows])


def declared(config: RunConfig, layer: int) -> tuple[float, float] | None:
    """Between which values the decay says that the median of λ starts."""
    return config.model.make_decay().start_median(config.model.layer_context(layer))


def off_declared(config: RunConfig, medians: list[float]) -> list[str]:
    """Layers whose λ starts elsewhere than the decay declares."""
    wrong = []
    for layer, median in enumerate(medians):
        bounds = declared(config, layer)
        if bounds is None:
            continue
        low, high = (_rate(value) for value in reversed(bounds))
        if not low * (1 - RELATIVE) - ABSOLUTE <= _rate(median) <= high * (1 + RELATIVE) + ABSOLUTE:
            says = f"{bounds[0]:.4g}" if bounds[0] == bounds[1] else f"between {bounds[0]:.4g} and {bounds[1]:.4g}"
            wrong.append(
                f"λ of layer {layer} starts at a median of {median:.4g} and decay {config.model.decay!r} declares "
                f"{says}: mend its start values or its start_median (for an option start, parameters must include "
                "those of super().parameters)"
            )
    return wrong


def _rate(value: float) -> float:
    return -math.log(value) if value > 0 else math.inf


@torch.no_grad()
def start_medians(model: DecayTransformer) -> list[float]:
    """The median of each layer's λ at logits of 0, for one token; empty for softmax attention."""
    common = model.decay.tensors()
    medians = []
    for number, block in enumerate(model.layers):
        assert isinstance(block, Block)
        decay = getattr(block.token_mixer, "decay", None)
        if not isinstance(decay, LayerDecay):
            continue
        x = torch.zeros(1, 1, model.config.d_model)
        projected = [linear(x) for linear in decay.first_maps()]
        shared = decay.shared_parameters(common)
        output = decay(x, projected, torch.zeros_like(x), shared, carry=None, resets=None, mask=None)
        medians.append(float(summary(number, output.log_decay.double().exp().flatten())["median"]))
    return medians
