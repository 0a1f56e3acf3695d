"""Gives the curves of a run to its loggers, each point once, however often the run is interrupted and resumed."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as L

from decaystudy.io import read_mapping, write_json

if TYPE_CHECKING:
    from decaystudy.training.decay_statistics import Histogram

LOG = logging.getLogger("decaystudy")
FILE_NAME = "curves.json"
"""In the run folder: for each logger that cannot be asked, the last step of each kind of point that it was given."""


class CurveWriter:
    """Hands points to the loggers, except those that a logger has from before the run was interrupted.

    A resumed run repeats the steps since its last checkpoint. Their points have the same values, beyond rounding only
    where the layout is another.

    Args:
        folder: of the run.
        names: of the loggers, in the Trainer's order.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = names
        self._told: set[str] = set()
        self._held: dict[str, dict[str, int]] | None = None

    def write(self, trainer: L.Trainer, values: Mapping[str, float], step: int) -> None:
        """Give the values of a step to the loggers that don't have them. The first name says what kind they are."""
        self._write(trainer, "log_metrics", _kind(next(iter(values), "")), step, dict(values))

    def write_histograms(self, trainer: L.Trainer, histograms: Mapping[str, Histogram], step: int) -> None:
        """Give the histograms of a step, by name, to the loggers that take some and don't have them."""
        self._write(trainer, "log_histograms", _kind(next(iter(histograms), "")), step, dict(histograms))

    def write_words(self, trainer: L.Trainer, name: str, text: str, step: int) -> None:
        """Give a text in Markdown to the loggers that take some and have none of that name since this step."""
        self._write(trainer, "log_markdown", name, step, name, text)

    def _write(self, trainer: L.Trainer, method: str, kind: str, step: int, *given: Any) -> None:
        for name, logger in zip(self.names, trainer.loggers, strict=True):
            write = getattr(logger, method, None)
            if write is None or not kind or self._last(name, kind) >= step:
                continue
            try:
                write(*given, step=step)
                self._marks[name][kind] = step
                if name not in READERS and trainer.is_global_zero:
                    write_json(self.folder / FILE_NAME, {n: m for n, m in self._marks.items() if n not in READERS})
            except OSError as error:
                self._lost(name, error)

    def lacks(self, kind: str, step: int) -> bool:
        """Whether a logger lacks a point of this kind, such as ``validation``, at this step."""
        return any(self._last(name, kind) < step for name in self.names)

    def _lost(self, name: str, error: OSError) -> None:
        """A full disk loses curves, never the run: whether that can go on is for its checkpoints to say."""
        if name not in self._told:
            LOG.warning("the logger %s cannot write: %s", name, error.strerror or error)
        self._told.add(name)

    @property
    def _marks(self) -> dict[str, dict[str, int]]:
        if self._held is None:
            written = read_mapping(self.folder / FILE_NAME) or {}
            self._held = {
                name: READERS[name](self.folder) if name in READERS else _steps(written.get(name))
                for name in self.names
            }
        return self._held

    def _last(self, name: str, kind: str) -> int:
        return self._marks[name].get(kind, -1)


def read_tensorboard(folder: Path) -> dict[str, int]:
    """The last step of each kind of point in the run's event files, as far as they are whole."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    last: dict[str, int] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        try:
            for event in EventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    kind = _kind(value.tag)
                    last[kind] = max(last.get(kind, -1), event.step)
        except Exception:  # whatever TensorBoard makes of a broken file: what stands before it has been read
            continue
    return last


def read_csv(folder: Path) -> dict[str, int]:
    """The last step of each kind of row in metrics.csv."""
    last: dict[str, int] = {}
    try:
        with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if not str(row.get("step")).isdecimal():
                    continue
                for name, value in row.items():
                    if name and value and name != "step":
                        last[_kind(name)] = max(last.get(_kind(name), -1), int(row["step"]))
    except (OSError, UnicodeDecodeError, csv.Error):
        pass
    return last


READERS = {"tensorboard": read_tensorboard, "csv": read_csv}
"""Loggers whose files tell which points they have."""


def _kind(name: str) -> str:
    return name.partition("/")[0]


def _steps(written: object) -> dict[str, int]:
    pairs = written.items() if isinstance(written, dict) else ()
    return {str(kind): step for kind, step in pairs if isinstance(step, int)}
