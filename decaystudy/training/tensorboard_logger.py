"""A run in TensorBoard: its curves, histograms and texts, its settings, and charts of all layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from decaystudy.runs import events
from decaystudy.runs.config import RunConfig
from decaystudy.training.decay_statistics import Histogram

OVER_TOKENS = {
    "train/loss": "versus_tokens/train_loss",
    "validation/loss": "versus_tokens/validation_loss",
}
"""Curves that are also drawn over the tokens trained on, in place of steps."""


class TensorBoardRun(TensorBoardLogger):
    """Events directly in the run folder. Their groups sort as they should be read: train, validation, λ."""

    def __init__(self, folder: Path, config: RunConfig) -> None:
        super().__init__(save_dir=folder, name="", version="")
        self.folder = folder
        self.tokens_per_step = config.tokens_per_step

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Write the settings and the layout of the charts, once in the life of a run."""
        if self._settings_file() is None:
            about = [events.compared_by([params], events.METRICS), events.run_begun(params), events.layer_charts()]
            events.append_events(self.folder / events.file_name(events.SETTINGS), about)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics(metrics, step)
        again = {tag: metrics[name] for name, tag in OVER_TOKENS.items() if name in metrics}
        super().log_metrics(again, (step or 0) * self.tokens_per_step)

    @rank_zero_only
    def log_histograms(self, histograms: Mapping[str, Histogram], step: int) -> None:
        for name, one in histograms.items():
            self.experiment.add_histogram_raw(
                name,
                min=float(one.edges[0]),
                max=float(one.edges[-1]),
                num=int(one.counts.sum()),
                sum=one.total,
                sum_squares=one.squares,
                bucket_limits=one.edges[1:].tolist(),
                bucket_counts=one.counts.tolist(),
                global_step=step,
            )

    @rank_zero_only
    def log_markdown(self, name: str, text: str, step: int) -> None:
        self.experiment.add_text(name, text, step)

    @rank_zero_only
    def log_summary(self, values: Mapping[str, float]) -> None:
        """The final numbers are the last points of their curves; it only remains to say that the run has ended."""
        file = self._settings_file()
        if file is not None:
            events.append_events(file, [events.run_ended(well=True)])

    @rank_zero_only
    def save(self) -> None:
        """Without Lightning's hparams.yaml: config.yaml has the settings."""
        self.experiment.flush()

    def _settings_file(self) -> Path | None:
        return next(iter(sorted(self.folder.glob(f"events.out.tfevents.*{events.SETTINGS}"))), None)
