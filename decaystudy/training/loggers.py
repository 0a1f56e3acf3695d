"""Where a run's curves go: a registry of loggers, and loggers of the user's own by import path.

To add a logger, write a class or function that is given the run's folder and its configuration and returns a Lightning
logger, and list it in ``LOGGERS``. A logger that must be closed, such as one that uploads, has a method
``close(status)``, which is called once at the end of the run with ``"success"`` or ``"failed"``.
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

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from decaystudy.runs.config import RunConfig

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
        "decaystudy.training.loggers.make_tensorboard",
        summary="TensorBoard's events in the run folder",
        look="tensorboard --logdir {folder}",
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


def make_tensorboard(folder: Path, config: RunConfig) -> Logger:
    """Events directly in the run folder."""
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(save_dir=folder, name="", version="")
