"""Looks at λ while a run trains: curves and histograms of each layer, and warnings."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import lightning.pytorch as L
import torch

from decaystudy.model.count import decays as decay_weights
from decaystudy.runs.config import RunConfig
from decaystudy.training.curve_writer import CurveWriter
from decaystudy.training.decay_statistics import ROWS, Histogram, gather, histogram, spread, summary
from decaystudy.training.lightning_module import LanguageModel

LOG = logging.getLogger("decaystudy")

DILUTED, SHORT = 0.99, 0.3
"""A layer whose median λ lies above the first or below the second is warned of."""
MOST_TOKENS, MOST_VALUES = 8192, 2**22
"""Of a sample, and of one layer's λ in it."""
SHARE = 0.005
"""Tokens of a sample by those trained on until the next: a forward pass is a third of a step, so that a look costs well
under 1 % of the steps between, its statistics included."""
HISTOGRAMS = 50
"""How many are kept of each layer over the run: no more than TensorBoard shows."""
WARNINGS = {
    "dilution": f"median λ above {DILUTED}: attention is spread over hundreds of tokens (dilution)",
    "short window": f"median λ below {SHORT}: all but the last token or two is forgotten (short window)",
}


class Telemetry(L.Callback):
    """Looks at λ of each layer at step 0, every ``telemetry_every`` steps and after the last one.

    The sample is the same held-out text each time, so that a curve moves with the model alone.
    """

    def __init__(self, writer: CurveWriter, config: RunConfig) -> None:
        self.writer = writer
        self.every = config.telemetry_every
        self.tokens = sample_tokens(config)
        self.histograms_every = self.every * max(1, -(-config.max_steps // self.every // HISTOGRAMS))
        self.warns = decay_weights(config.model).count > 0
        """A decay that learns nothing has the λ that were asked for."""
        self.warned: dict[str, list[int]] = {kind: [] for kind in WARNINGS}
        self._last = -1

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._last = trainer.global_step
        if trainer.global_step == 0:
            self.look(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step != self._last and (step % self.every == 0 or step == trainer.max_steps):
            self._last = step
            self.look(trainer, pl_module)

    def look(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Measure, and give what was found to the loggers. All processes of a run take part."""
        assert isinstance(module, LanguageModel)
        step = trainer.global_step
        values = sample(trainer, module, self.tokens)
        layers = [summary(layer, own.to(module.device)) for layer, own in enumerate(values)]
        if not layers:
            return
        self.writer.write(trainer, decay_curves(layers), step)
        if step % self.histograms_every == 0 or step == trainer.max_steps:
            self.writer.write_histograms(trainer, named(values), step)
        news = self.news(layers)
        for text in news if trainer.is_global_zero else ():
            LOG.warning("warning at step %d, %s", step, text)
        if news:
            self.writer.write_words(trainer, "warnings", "\n".join(f"- step {step}, {text}" for text in news), step)

    def news(self, layers: Iterable[Mapping[str, Any]]) -> list[str]:
        """Warnings of layers that have not been warned of before, a line for each kind."""
        found: dict[str, list[int]] = {kind: [] for kind in WARNINGS}
        for row in layers:
            kind = "dilution" if row["median"] > DILUTED else "short window" if row["median"] < SHORT else None
            if self.warns and kind is not None and row["layer"] not in self.warned[kind]:
                found[kind].append(row["layer"])
                self.warned[kind].append(row["layer"])
        return [f"{counted(own)}: {WARNINGS[kind]}" for kind, own in found.items() if own]

    def state_dict(self) -> dict[str, Any]:
        return {"warned": self.warned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.warned = {kind: list(state_dict["warned"].get(kind, ())) for kind in WARNINGS}


def sample_tokens(config: RunConfig) -> int:
    """Tokens of held-out text at which a run looks: whole sequences, at least one."""
    affordable = int(SHARE * config.telemetry_every * config.tokens_per_step)
    wanted = min(affordable, MOST_TOKENS, MOST_VALUES // config.model.d_model)
    return max(1, wanted // config.data.sequence_length) * config.data.sequence_length


def sample(trainer: L.Trainer, module: LanguageModel, tokens: int) -> list[torch.Tensor]:
    """λ of each layer on held-out text from all over, the same on every process; (N,) float64."""
    blocks = spread(trainer.datamodule.validation.blocks[:, :-1], tokens)  # type: ignore[attr-defined]
    inputs = torch.from_numpy(blocks.astype("int64")).to(module.device)
    return gather(module.model, [(rows, module.resets(rows)) for rows in torch.split(inputs, ROWS)])


def decay_curves(layers: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Median λ of each layer, and its half-life in tokens unless it never forgets, by the names of their curves."""
    values: dict[str, float] = {}
    for row in layers:
        values[f"validation_decay_median/layer_{row['layer']:02d}"] = row["median"]
        if row["half_life"] is not None:
            values[f"validation_decay_half_life/layer_{row['layer']:02d}"] = row["half_life"]
    return values


def named(values: Iterable[torch.Tensor]) -> dict[str, Histogram]:
    """A histogram of each layer's λ, by its name."""
    return {f"validation_decay/layer_{layer:02d}": histogram(own) for layer, own in enumerate(values)}


def counted(layers: list[int]) -> str:
    """``layer 3``, ``layers 0, 4 to 11``."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    parts = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(parts)}"
