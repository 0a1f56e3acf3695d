"""A run small enough to train for real in a second, on the command line, and what it leaves behind."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from decaystudy.cli import main
from decaystudy.runs.curves import MACHINE
from decaystudy.training.callbacks.progress import Progress

SETTINGS = ["--model.layers", "1", "--model.d_model", "32", "--model.glu_width", "64", "--data.sequence_length", "64"]
SETTINGS += ["--data.validation_tokens", "2000", "--trainer.max_steps", "12", "--trainer.log_every_n_steps", "2"]
SETTINGS += ["--recipe.checkpoint_every", "4", "--recipe.validate_every", "4", "--recipe.warmup_steps", "2"]


def fit(out: Path, *more: Any) -> int:
    """The exit code of ``decaystudy fit`` in this process."""
    return main(["fit", *SETTINGS, "--logger", "tensorboard,csv", "--out", str(out), *map(str, more)])


def numbers(out: Path) -> dict[str, Any]:
    """What an interruption must not change: results, weights and curves."""
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    kept = {name: result[name] for name in ("val_loss", "train_loss", "step", "tokens", "decay", "decay_start")}
    files = {name: (out / name).read_bytes() for name in ("model.safetensors", "validation_loss.npy")}
    return {**kept, **files, "curves": curves(out)}


def curves(out: Path) -> dict[str, Any]:
    """Steps of every TensorBoard curve, and rows of metrics.csv, without speeds."""
    drawn: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(set(out.glob("events.out.tfevents.*")) - set(out.glob("*.settings")), key=_number):
        events = EventAccumulator(str(path))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            if tag not in MACHINE:
                drawn.setdefault(tag, []).extend((event.step, event.value) for event in events.Scalars(tag))
    with (out / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = [{k: v for k, v in row.items() if k not in MACHINE} for row in csv.DictReader(file)]
    return {"tensorboard": drawn, "csv": rows}


def _number(path: Path) -> tuple[int, int]:
    """Second and number of an event file: of those that a process writes in a second, ``.10`` comes after ``.9``."""
    return int(path.name.split(".")[3]), int(path.suffix[1:])


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, happens: Callable[[], Any]) -> None:
    """Have something happen at the end of a step."""
    plain = Progress.on_train_batch_end

    def hooked(self: Progress, trainer: Any, *rest: Any) -> None:
        plain(self, trainer, *rest)
        if trainer.global_step == step:
            happens()

    monkeypatch.setattr(Progress, "on_train_batch_end", hooked)


def saved(out: Path) -> list[str]:
    """Names in the folder of checkpoints."""
    return sorted(path.name for path in (out / "checkpoints").iterdir())
