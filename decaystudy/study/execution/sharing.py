"""How many runs share a GPU. A small run leaves it idle while it starts, compiles, validates and saves, and between
kernels that are shorter than their launch; others then compute."""

from __future__ import annotations

from decaystudy.model.count import forward_flops
from decaystudy.runs.config import RunConfig
from decaystudy.runs.memory import memory_bytes

SMALL_STEP = 16e12
"""Floating-point operations of the steps of all runs that share a GPU."""
MOST = 6
"""Runs that share a GPU at most. At scale mini six train 1.9 times as fast as one on an H200: benchmarks/RESULTS.md."""
CPUS = 2
"""That a run on a GPU needs: one to launch kernels forwards, one backwards."""


def runs_that_share(config: RunConfig, memory: int | None, cpus: int) -> int:
    """How many runs like this one share a GPU: as many as together have a step of ``SMALL_STEP``.

    Args:
        memory: bytes of the GPU, which holds them all; None where it isn't known.
        cpus: that there are for each GPU.
    """
    step = forward_flops(config.model, config.data.sequence_length).training * config.tokens_per_step
    fastest = min(MOST, int(SMALL_STEP // step))
    fitting = MOST if memory is None else memory // memory_bytes(config)
    return max(1, min(fastest, fitting, cpus // CPUS))
