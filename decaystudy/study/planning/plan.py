"""What a study will cost, before it runs: the content of ``--dry-run``. Needs no torch."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from typing import Any

from decaystudy.formatting import aligned, count, hours, size
from decaystudy.model.count import parameter_count
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import state_of
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.hardware import Speed, training_flops

KEPT_CHECKPOINTS = 1
"""Checkpoints of a run on disk at a time."""
_STEP = re.compile(r"step=(\d+)\.ckpt$")


def plan_study(study: Study, store: Store, speed: Speed, jobs: int) -> dict[str, Any]:
    """Every run of a study with its cost, and what remains to be done."""
    cells = [plan_run(run, store, speed) for run in study.runs()]
    return {
        "study": study.name,
        "scale": study.scale,
        "hours_from": speed.source,
        "devices": speed.devices,
        "device_bytes": speed.device.memory_bytes,
        "jobs": jobs,
        "cells": cells,
        "total": total(cells, len(cells), jobs),
        "not_run": list(study.left_out),
    }


def plan_all(studies: Sequence[Study], store: Store, speed: Speed, jobs: int) -> dict[str, Any]:
    """Plans of several studies, whose total counts each distinct run once."""
    plans = [plan_study(study, store, speed, jobs) for study in studies]
    if len(plans) == 1:
        return plans[0]
    distinct = {cell["id"]: cell for plan in plans for cell in plan["cells"]}
    naive = sum(len(plan["cells"]) for plan in plans)
    return {"studies": plans, "total": total(list(distinct.values()), naive, jobs)}


def plan_run(run: Run, store: Store, speed: Speed) -> dict[str, Any]:
    """One run: what it is and what the whole of it costs."""
    folder = store.find(run)
    state = state_of(folder) if folder else "planned"
    hours = speed.seconds(run.config) / 3600
    row: dict[str, Any] = {"id": run.hash, "name": run.cell, "seed": run.seed}
    if run.learning_rate is not None:
        row["learning_rate"] = run.learning_rate
    done = 0.0
    if state in ("finished", "diverged"):
        done = 1.0
    elif folder is not None:
        steps = [int(m[1]) for path in folder.checkpoints.glob("*.ckpt") if (m := _STEP.search(path.name))]
        done = max(steps, default=0) / run.config.max_steps
    return {
        **row,
        "state": state,
        "done": done,
        "parameters": parameter_count(run.config.model),
        "tokens": run.config.tokens,
        "train_flops": training_flops(run.config),
        "memory_bytes": memory_bytes(run.config, speed.devices),
        "hours": hours,
        "gpu_hours": hours * speed.devices if speed.gpu else 0.0,
        "disk_bytes": disk_bytes(run.config),
    }


def total(cells: Sequence[dict[str, Any]], naive: int, jobs: int) -> dict[str, Any]:
    """What remains to be done; under ``whole`` what all runs cost, whether done or not."""
    remaining = [cell for cell in cells if cell["done"] < 1]
    longest = max((cell["hours"] * (1 - cell["done"]) for cell in remaining), default=0.0)
    hours = math.fsum(cell["hours"] * (1 - cell["done"]) for cell in remaining)
    return {
        "runs": len(remaining),
        "tokens": round(math.fsum(cell["tokens"] * (1 - cell["done"]) for cell in remaining)),
        "train_flops": round(math.fsum(cell["train_flops"] * (1 - cell["done"]) for cell in remaining)),
        "hours": hours,
        "gpu_hours": math.fsum(cell["gpu_hours"] * (1 - cell["done"]) for cell in remaining),
        "elapsed_hours": max(longest, hours / max(jobs, 1)),
        "disk_bytes": sum(cell["disk_bytes"] for cell in remaining),
        "whole": {
            "runs": len(cells),
            "without_sharing": naive,
            "tokens": sum(cell["tokens"] for cell in cells),
            "train_flops": sum(cell["train_flops"] for cell in cells),
            "hours": math.fsum(cell["hours"] for cell in cells),
            "gpu_hours": math.fsum(cell["gpu_hours"] for cell in cells),
        },
    }


def memory_bytes(config: RunConfig, devices: int = 1) -> int:
    """Estimated peak memory of a device.

    Weights, gradients and AdamW's two moments take 16 bytes a parameter (a share of them with FSDP). A block keeps for
    the backward pass about 16 values of width d and 4 of the GLU's width a token, in the precision of training, and 4
    of width d in float32 for the decay; the logits are kept twice in float32. A third is added for working memory.
    """
    model = config.model
    sharded = devices if config.strategy in ("fsdp", "model_parallel") else 1
    states = 16 * parameter_count(model) / sharded
    value = 2 if "16" in str(config.trainer.get("precision", "32")) else 4
    block = value * (16 * model.d_model + 4 * model.glu_width) + 4 * 4 * model.d_model
    micro = min(config.recipe.micro_batch_size, max(1, config.recipe.global_batch_size // devices))
    tokens = micro * config.data.sequence_length
    return round(states + 4 / 3 * tokens * (model.layers * block + 8 * model.padded_vocab_size))


def disk_bytes(config: RunConfig) -> int:
    """A run's checkpoints (weights and AdamW's moments), its weights, and a megabyte of curves and logs."""
    return parameter_count(config.model) * (12 * KEPT_CHECKPOINTS + 4) + 2**20


def plan_text(plan: dict[str, Any], studies: Sequence[Study], store: Store) -> str:
    """The plan for people."""
    plans = plan.get("studies", [plan])
    lines: list[str] = []
    for one, study in zip(plans, studies, strict=True):
        lines += [f"{study.spec.title} ({one['study']}, scale {one['scale']})", "", _cells_table(one), ""]
        if one["not_run"]:
            lines += [f"left out without --all-cells: {', '.join(one['not_run'])}", ""]
    first = plans[0]
    whole, rest = plan["total"]["whole"], plan["total"]
    if len(plans) > 1:
        lines.append(
            f"{whole['runs']} distinct runs; each study on its own would train {whole['without_sharing']} in all"
        )
    lines.append(
        f"to train: {rest['runs']} of {whole['runs']} runs, {count(rest['tokens'])} tokens, "
        f"{rest['train_flops']:.2e} FLOPs, {hours(rest['hours'])} of runs"
        + (f", {rest['gpu_hours']:.1f} GPU-hours" if rest["gpu_hours"] else "")
        + f"; about {hours(rest['elapsed_hours'])} with {first['jobs']} at once"
    )
    free = shutil.disk_usage(_existing(store)).free
    lines.append(f"disk: {size(rest['disk_bytes'])} more in {store.path}, {size(free)} free")
    lines.append(f"hours: {first['hours_from']}")
    if any(cell["memory_bytes"] > one["device_bytes"] > 0 for one in plans for cell in one["cells"]):
        lines.append("!: likely more than the device has; lower --recipe.micro_batch_size or use --strategy fsdp")
    lines.append(
        "FLOPs: three times the forward pass; the attention operator is counted as 4·Dk·Dv a head and token (DPLR: 8), "
        "softmax as 2·T·d. Memory is an estimate per device"
    )
    return "\n".join(lines)


def _cells_table(plan: dict[str, Any]) -> str:
    tuned = any("learning_rate" in cell for cell in plan["cells"])
    heading = ["cell", "seed", "state", "parameters", "tokens", "FLOPs", "memory", "time", "GPU-hours"]
    rows = []
    for cell in plan["cells"]:
        state = cell["state"]
        if 0 < cell["done"] < 1:
            state += f" at {cell['done']:.0%}"
        gpu_hours = f"{cell['gpu_hours']:.1f}" if cell["gpu_hours"] else "–"
        rows.append(
            [
                cell["name"] + (f" lr {cell['learning_rate']:g}" if tuned else ""),
                str(cell["seed"]),
                state,
                count(cell["parameters"]),
                count(cell["tokens"]),
                f"{cell['train_flops']:.2e}",
                size(cell["memory_bytes"]) + (" !" if cell["memory_bytes"] > plan["device_bytes"] > 0 else ""),
                hours(cell["hours"]),
                gpu_hours,
            ]
        )
    return aligned(rows, heading=heading, left=(0, 2))


def _existing(store: Store) -> str:
    path = store.path.absolute()
    while not path.exists():
        path = path.parent
    return str(path)
