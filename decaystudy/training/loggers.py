"""Where a run's curves go: a registry of loggers, and loggers of the user's own by import path.

To add a logger, write a class or function that is given the run's folder and its configuration and returns a Lightning
logger, and list it in ``LOGGERS``. ``log_hyperparams(settings)`` is called when a process of the run begins, with what
says which run it is, and ``log_metrics(values, step)`` as the run goes on. More is given to a logger that has a method
for it:

``log_histograms(histograms, step)``  λ of each layer by name, as ``decay_statistics.Histogram``
``log_markdown(name, text, step)``    a text, such as a warning
``log_summary(values)``               the final numbers by name, once the run has finished
``close(status)``                     once at the end, with ``"success"`` or ``"failed"``
"""

from __future__ import annotations

import importlib.util
import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from decaystudy.errors import UserError, kind_of
from decaystudy.imports import find_object, import_object
from decaystudy.io import write_text
from decaystudy.runs.settings import final_numbers, notable_settings

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from decaystudy.runs.config import RunConfig
    from decaystudy.runs.result import RunResult

LOG = logging.getLogger("decaystudy")


@dataclass(frozen=True)
class LoggerKind:
    """A logger of the registry."""

    path: str
    """Import path of the class or function that makes it from (folder, config)."""
    summary: str
    """One line for ``decaystudy list``."""
    look: str
    """How to look at the curves; {folder} stands for the run folder."""
    package: str | None = None
    """The package it needs, which is also the name of the extra that installs it; None if it is always there."""


LOGGERS = {
    "tensorboard": LoggerKind(
        "decaystudy.training.tensorboard_logger.TensorBoardRun",
        summary="TensorBoard's events in the run folder",
        look="decaystudy tensorboard {folder}",
    ),
    "csv": LoggerKind(
        "decaystudy.training.csv_logger.CSVFile",
        summary="metrics.csv in the run folder",
        look="{folder}/metrics.csv",
    ),
    "wandb": LoggerKind(
        "decaystudy.training.wandb_logger.WandbRun",
        summary="Weights & Biases, online or offline (WANDB_MODE=offline)",
        look="{folder}/wandb",
        package="wandb",
    ),
    "trackio": LoggerKind(
        "decaystudy.training.trackio_logger.TrackioRun",
        summary="Trackio, on this machine",
        look="trackio show",
        package="trackio",
    ),
}


def check_loggers(names: Iterable[str]) -> None:
    """Check that every logger exists and can be used here.

    Raises:
        UserError: a name is unknown, a package is not installed, or an import path leads nowhere.
    """
    for name in names:
        found = find_object("logger", name, LOGGERS)
        if isinstance(found, LoggerKind):
            if found.package is not None and not is_installed(found.package):
                raise UserError(f"--logger {name} needs a package: pip install 'decaystudy[{found.package}]'")
        elif not callable(found):
            raise UserError(f"--logger {name} is no class or function: it must make a logger from (folder, config)")


def is_installed(package: str) -> bool:
    """Whether the package can be imported. A mere folder of that name, as wandb leaves behind, doesn't count."""
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None


def make_loggers(folder: Path, config: RunConfig) -> list[Logger]:
    """The loggers of a run, in the order in which they were asked for.

    Raises:
        UserError: one of them cannot be made.
    """
    from lightning.pytorch.loggers import Logger

    check_loggers(config.logger)
    made: list[Logger] = []
    for name in config.logger:
        path = LOGGERS[name].path if name in LOGGERS else name
        logger = import_object(path, "logger")(folder, config)
        if not isinstance(logger, Logger):
            raise UserError(f"--logger {name} made {kind_of(logger)}, which is no lightning.pytorch Logger")
        made.append(logger)
    return made


def log_settings(loggers: Iterable[Logger], config: RunConfig) -> None:
    """Tell the loggers which run it is. One that cannot write loses that, never the run."""
    settings = notable_settings(config)
    for logger in loggers:
        try:
            logger.log_hyperparams(dict(settings))
        except OSError as error:
            LOG.warning("the logger %s cannot write: %s", type(logger).__name__, error.strerror or error)


def log_summary(loggers: Iterable[Logger], result: RunResult) -> None:
    """Give the loggers that want them the final numbers. One that cannot write loses them, never the run."""
    values = final_numbers(result)
    for logger in loggers:
        summarise = getattr(logger, "log_summary", None)
        if summarise is None:
            continue
        try:
            summarise(dict(values))
        except OSError as error:
            LOG.warning("the logger %s cannot write: %s", type(logger).__name__, error.strerror or error)


def close_loggers(loggers: Iterable[Logger], status: str) -> None:
    """Close the loggers that must be closed. One that fails may lose curves, never the run."""
    for logger in loggers:
        close = getattr(logger, "close", None)
        if close is not None:
            try:
                close(status)
            except Exception as error:
                LOG.warning("the logger %s could not be closed: %s", type(logger).__name__, error)


def kept_id(folder: Path, logger: str) -> str:
    """The name under which a logger's service knows this run, made once and kept in ``RUN/LOGGER.id``.

    A resumed run continues the curves of that name. Only the first process of a run may ask for it.
    """
    path = folder / f"{logger}.id"
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        name = f"{folder.resolve().name}-{uuid.uuid4().hex[:8]}"
        write_text(path, f"{name}\n")
        return name
