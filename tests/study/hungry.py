"""A decay that asks for more memory than it may have, as a model too large for its machine would."""

import resource
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from decaystudy.decay import Decay, LayerContext

LIMIT = 16 * 2**30


@dataclass(frozen=True)
class Hungry(Decay):
    name: ClassVar[str] = "hungry"
    summary: ClassVar[str] = "for a test"

    def log_decay(
        self, logit: torch.Tensor | None, parameters: Mapping[str, torch.Tensor], context: LayerContext
    ) -> torch.Tensor:
        assert logit is not None
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
        torch.empty(LIMIT, dtype=torch.uint8)
        return torch.nn.functional.logsigmoid(logit)
