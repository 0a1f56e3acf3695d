"""What finished runs of a store took, for the hours of those to come."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from decaystudy.errors import UserError
from decaystudy.model.count import forward_flops
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.records import stored_config
from decaystudy.runs.state import RunState
from decaystudy.study.planning.hardware import Speed, shape_key


@dataclass(frozen=True)
class PastRuns:
    """Finished runs on one kind of device, of the same length as those that are planned."""

    device: str = ""
    seconds: Mapping[str, list[float]] = field(default_factory=dict)
    """Of each run, by ``shape_key``: from its process's start to its result."""
    per_flop: float = 0.0
    """Seconds by floating-point operations of a step, median over the runs."""

    @property
    def count(self) -> int:
        return sum(map(len, self.seconds.values()))

    def of(self, config: RunConfig) -> float:
        """Seconds of such a run: those of its shape, else as its step's operations are to the others'."""
        known = self.seconds.get(shape_key(config))
        return statistics.median(known) if known else self.per_flop * step_flops(config)


def past_runs(folders: Iterable[RunFolder], planned: Iterable[RunConfig], device: str) -> PastRuns | None:
    """The finished runs among ``folders`` that tell what those planned will take; None if there is none.

    Args:
        planned: of one scale; a run tells of them if it has as many steps, of as many tokens, and validations as one.
        device: as result.json has it, such as ``NVIDIA H200``.
    """
    lengths = {length(config) for config in planned}
    seconds: dict[str, list[float]] = {}
    ratios: list[float] = []
    for folder in folders:
        try:
            result = folder.read_result()
            config = stored_config(folder) if result and result.status == RunState.FINISHED else None
        except UserError:
            continue  # a broken or foreign folder is named when the study needs it
        if result is None or config is None or result.device != device or length(config) not in lengths:
            continue
        took = max(result.seconds or 0.0, result.process_seconds or 0.0)
        if took and result.process_seconds is not None:
            seconds.setdefault(shape_key(config), []).append(took)
            ratios.append(took / step_flops(config))
    return PastRuns(device, seconds, statistics.median(ratios)) if ratios else None


def length(config: RunConfig) -> tuple[object, ...]:
    """What the time of a run of a given shape depends on."""
    recipe = config.recipe
    return (config.max_steps, config.tokens_per_step, recipe.validate_every, config.data.validation_tokens)


def step_flops(config: RunConfig) -> float:
    return forward_flops(config.model, config.data.sequence_length).training * float(config.tokens_per_step)


def with_past(speed: Speed, past: PastRuns | None) -> Speed:
    """The speed that finished runs show, where there are any, in place of what a probe or an assumption says."""
    if past is None:
        return speed
    runs = f"{past.count} finished run{'s' if past.count > 1 else ''}"
    return replace(speed, source=f"what {runs} of this length took here on {past.device}", past=past)
