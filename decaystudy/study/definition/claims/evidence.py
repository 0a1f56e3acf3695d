"""What a claim may ask of a study's measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from decaystudy.statistics.effects import Effect
from decaystudy.statistics.half_life import DecayEffect
from decaystudy.statistics.optimum import Optimum
from decaystudy.statistics.verdicts import Verdict
from decaystudy.study.definition.claims.layers import DecayAsked


@dataclass(frozen=True)
class Unavailable:
    """Stands where there is nothing to judge."""

    why: str
    """A clause such as ``gla-seed0 diverged``."""
    learned_nothing: bool = False
    """Whether that is why: all is there, but no verdict is given."""


class Evidence(Protocol):
    """Effects with simultaneous intervals: those that the claims of the study have asked for."""

    @property
    def tasks(self) -> Sequence[str]:
        """The tasks that count right answers."""

    def loss(self, a: str, b: str) -> Effect | Unavailable:
        """Loss of ``a`` minus that of ``b``."""

    def loss_verdict(self, a: str, b: str) -> Verdict | Unavailable:
        """Whether ``a`` is better than ``b``, as the table of comparisons has it."""

    def accuracy(self, task: str, a: str, b: str | None) -> Effect | Unavailable:
        """Accuracy of ``a`` on a task, or what it has more than ``b``."""

    def decay(self, asked: DecayAsked) -> DecayEffect | Unavailable:
        """A statistic of λ of one cell, or of one beside another."""

    def optimum(self, cells: Sequence[str], statistic: str) -> Optimum | Unavailable | None:
        """Where along λ the loss is lowest; None where too few cells tell."""
