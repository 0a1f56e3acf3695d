"""A run's curves as one CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from decaystudy.io import write_text
from decaystudy.runs.config import RunConfig


class CSVFile(Logger):
    """Writes metrics.csv in the run folder: a row for each report, a column for each metric, and the step.

    Lightning's own CSVLogger deletes the file of the process that a run was resumed from, and writes its rows only at
    the end. This one continues the file, without the rows that the resumed run repeats, and loses none in a crash.
    """

    def __init__(self, folder: Path, config: RunConfig) -> None:
        super().__init__()
        self.file = folder / "metrics.csv"
        self._columns: list[str] | None = None

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.file.parent)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: config.yaml has the settings."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row = {"step": step, **metrics}
        if self._columns is None:
            self._rewrite(before=step)
        assert self._columns is not None
        if any(name not in self._columns for name in row):
            self._columns += [name for name in row if name not in self._columns]
            self._rewrite()
        with self.file.open("a", newline="") as file:
            csv.DictWriter(file, self._columns, lineterminator="\n").writerow(row)

    def _rewrite(self, before: int | None = None) -> None:
        """Write the file again, atomically: with all columns, and only with rows of steps that come ``before``."""
        try:
            with self.file.open(newline="") as file:
                reader = csv.DictReader(file)
                held, rows = list(reader.fieldnames or []), list(reader)
        except FileNotFoundError:
            held, rows = [], []
        if self._columns is None:
            self._columns = held or ["step"]
        if before is not None:
            rows = [row for row in rows if str(row["step"]).isdecimal() and int(row["step"]) < before]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.file, text.getvalue())
