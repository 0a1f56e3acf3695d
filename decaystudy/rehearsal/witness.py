"""What a run starts from and which tokens it sees, recorded from inside by every process of it.

A logger like any other: ``decaystudy fit --logger csv,decaystudy.rehearsal.witness.Witness``.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger

from decaystudy.io import digest, write_json
from decaystudy.runs.config import RunConfig
from decaystudy.runs.weights import checksum
from decaystudy.training.callbacks.curves import validation_decays
from decaystudy.training.lightning_module import LanguageModel
from decaystudy.training.strategy import process_rank

PACE = 0.03
"""Seconds that each step waits, so that a small model on a fast device can be killed at a chosen step."""


def start_file(folder: Path, rank: int) -> Path:
    """Where a process records what it starts from."""
    return folder / f"start-{rank}.json"


def tokens_file(folder: Path, rank: int) -> Path:
    """Where a process records the tokens that it trains on, one line for each micro-batch."""
    return folder / f"tokens-{rank}.jsonl"


class Witness(Logger):
    """Records digests of the start values, the λ of the start, and a digest of each micro-batch."""

    def __init__(self, folder: Path, config: RunConfig) -> None:
        super().__init__()
        self.folder = folder
        self.rank = process_rank()
        self._session = f"{os.getpid()}-{time.time_ns()}"
        self._step, self._part = -1, 0

    @property
    def name(self) -> str:
        return "witness"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: config.yaml has the settings."""

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Keep the pace."""
        time.sleep(PACE)

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Called by every process once its model is in place, before a checkpoint is read into a sharded one."""
        assert isinstance(model, LanguageModel)
        new = not start_file(self.folder, 0).exists()
        if model.trainer.strategy.broadcast(new):  # all of them gather, or none
            write_json(start_file(self.folder, self.rank), self._start(model))
        tokens = tokens_file(self.folder, self.rank).open("ab", buffering=0)

        def note(module: Any, inputs: tuple[Any, ...]) -> None:
            if module.training:
                tokens.write(self._line(model.trainer.global_step, inputs[0]))

        model.model.register_forward_pre_hook(note)

    def _start(self, model: LanguageModel) -> dict[str, Any]:
        weights = {}
        for name, value in model.model.state_dict().items():
            whole = value.full_tensor() if hasattr(value, "full_tensor") else value
            kind = str(whole.dtype).removeprefix("torch.")
            weights[name] = {"dtype": kind, "digest": checksum({name: whole.detach().cpu()})}
        softmax = model.config.model.mixer != "decay"
        return {"weights": weights, "decays": [] if softmax else validation_decays(model.trainer, model)}

    def _line(self, step: int, inputs: torch.Tensor) -> bytes:
        self._part = self._part + 1 if step == self._step else 0
        self._step = step
        tokens = digest(inputs.cpu().contiguous().numpy().tobytes())
        line = {"session": self._session, "step": step, "part": self._part, "tokens": tokens}
        return json.dumps(line).encode() + b"\n"
