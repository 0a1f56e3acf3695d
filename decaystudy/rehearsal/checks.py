"""What a rehearsal is made of: checks that pass with a sentence, or fail with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from decaystudy.runs.config import RunConfig
from decaystudy.training.world import device_count


class CheckFailed(Exception):
    """A check has failed. One sentence: what is wrong, and what to do."""


@dataclass(frozen=True)
class Rehearsal:
    """What is rehearsed, and where."""

    config: RunConfig
    """The tiny run."""
    folder: Path
    """A new folder on the file system of --out."""
    kills: int
    """Times that a run is killed."""

    @property
    def devices(self) -> int:
        """Number of processes of the run."""
        return device_count(self.config.trainer)

    @property
    def settings(self) -> Path:
        """The run's settings, for ``fit --config``."""
        return self.folder / "config.yaml"

    @property
    def undisturbed(self) -> Path:
        """Folder of the run that nobody disturbs."""
        return self.folder / "undisturbed"

    @property
    def killed(self) -> Path:
        """Folder of the run that is killed and resumed."""
        return self.folder / "killed"


@dataclass(frozen=True)
class Check:
    """One line of a rehearsal."""

    name: str
    run: Callable[[Rehearsal], str]
    """Says what it has found; raises ``CheckFailed``."""
    needs: tuple[str, ...] = ()
    """Checks without which it means nothing."""
