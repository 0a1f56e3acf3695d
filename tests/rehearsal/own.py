"""Decays of one's own with a fault, as somebody's package would define them."""

import os
from dataclasses import dataclass
from pathlib import Path

from torch.nn.functional import logsigmoid

from decaystudy.decay import Decay, ParameterSpec


@dataclass(frozen=True)
class Forgetful(Decay):
    """Takes a start, and leaves out the parameter that brings it about."""

    start: float | None = None

    name = "forgetful"
    summary = "logsigmoid(f), with a start that comes to nothing"

    def parameters(self, context):
        return (ParameterSpec("own", (1,)),)

    def log_decay(self, logit, parameters, context):
        return logsigmoid(logit + parameters["own"].to(logit.dtype))


@dataclass(frozen=True)
class Undeclared(Decay):
    """Says nothing of its start."""

    name = "undeclared"
    summary = "logsigmoid(f)"

    def log_decay(self, logit, parameters, context):
        return logsigmoid(logit)


@dataclass(frozen=True)
class OnADiskThatCuts(Undeclared):
    """Trains on a disk that loses the end of checkpoints."""

    name = "on-a-disk-that-cuts"

    def parameters(self, context):
        if not hasattr(os.replace, "cuts"):
            os.replace = cutting(os.replace)
        return super().parameters(context)


def cutting(replace):
    def cut(source, target):
        replace(source, target)
        if Path(target).suffix == ".ckpt":
            os.truncate(target, os.path.getsize(target) // 2)

    cut.cuts = True
    return cut
