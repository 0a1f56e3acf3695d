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
    """Writes metrics.csv in the run folder: a row for each report, a column for each metric, and the step; and
    summary.csv at the end.

    Lightning's own CSVLogger deletes the file of the process that a run was resumed from, and writes its rows only at
    the end. This one continues the file, in the order of the steps, and loses no row in a crash.
    """

    def __init__(self, folder: Path, config: RunConfig) -> None:
        super().__init__()
        self.file = folder / "metrics.csv"
        self._settings: dict[str, Any] = {}
        self._columns: list[str] | None = None
        self._last = 0

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
        """Keep the settings for summary.csv; config.yaml has all of them."""
        self._settings = dict(params)

    @rank_zero_only
    def log_summary(self, values: Mapping[str, float]) -> None:
        """Write summary.csv: one row with the settings and the final numbers, so that those of runs make one table."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([[*self._settings, *values], [*self._settings.values(), *values.values()]])
        write_text(self.file.with_name("summary.csv"), text.getvalue())

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row = {"step": step, **metrics}
        if self._columns is None or any(name not in self._columns for name in row) or (step or 0) < self._last:
            self._rewrite(row)
        else:
            with self.file.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns, lineterminator="\n").writerow(row)
        self._last = max(self._last, step or 0)

    def _rewrite(self, row: Mapping[str, Any]) -> None:
        """Write the file again, atomically, with one more row, with all columns, and in the order of the steps."""
        try:
            with self.file.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                held, rows = list(reader.fieldnames or []), list(reader)
        except FileNotFoundError:
            held, rows = [], []
        columns = held or ["step"]
        self._columns = columns + [name for name in row if name not in columns]
        # A row that was cut short has no step, or lacks the last of its columns.
        whole = [r for r in rows if str(r["step"]).isdecimal() and r[columns[-1]] is not None]
        rows = sorted([*whole, dict(row)], key=lambda r: int(r["step"]))
        self._last = int(rows[-1]["step"])
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.file, text.getvalue())
