"""What is said of a run, whether its settings are at hand or were recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from decaystudy.model.count import parameter_count
from decaystudy.runs.config import RunConfig
from decaystudy.study.definition.search import Trial


@dataclass(frozen=True)
class RunFacts:
    """What a run's settings come to. Settings themselves can't be read without the user's own classes and data."""

    parameters: int
    tokens: int
    """That it is to be trained on."""
    decay: str
    """The formula's name, whatever its options."""
    judged_shares: tuple[float, float]
    """From which share on and up to which, in the order of the hash, documents are judged on."""

    @classmethod
    def of(cls, config: RunConfig) -> RunFacts:
        """Of these settings."""
        return cls(parameter_count(config.model), config.tokens, config.model.decay, config.data.judged_shares)


class _Key(Protocol):
    @property
    def cell(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def trial(self) -> Trial | None: ...
    @property
    def tuning(self) -> bool: ...


class NamedRun:
    """What a run is called, by its cell, seed and trial."""

    @property
    def learning_rate(self: _Key) -> float | None:
        """The learning rate, where it is chosen."""
        return None if self.trial is None else self.trial.as_dict().get("learning_rate")

    @property
    def name(self: _Key) -> str:
        """``mamba2-shared-seed0``, or ``mamba2-shared-lr0.003-seed0`` at chosen settings, with ``-tuning`` before the
        seed of a run that serves to choose them."""
        tried = "" if self.trial is None else f"-{self.trial.label}"
        return f"{self.cell}{tried}{'-tuning' if self.tuning else ''}-seed{self.seed}"
