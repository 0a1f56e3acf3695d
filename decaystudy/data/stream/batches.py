"""Batches of the training stream and of the held-out blocks, laid out over ranks, micro-batches and workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from decaystudy.data.stream.loader import Loader, as_it_is, prepare_worker, told_errors
from decaystudy.data.stream.order import TokenStream
from decaystudy.data.stream.validation import ValidationSet
from decaystudy.errors import UserError
from decaystudy.imports import own_objects

Batch = dict[str, torch.Tensor]
"""``tokens``: (micro_batch_size, sequence_length + 1) int64; ``blocks``: (micro_batch_size,) int64 block numbers."""


@dataclass(frozen=True)
class BatchLayout:
    """How the blocks of an optimizer step are dealt out; step s is made of the blocks [s·G, (s+1)·G) in any layout."""

    global_batch_size: int
    micro_batch_size: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        for name in ("global_batch_size", "micro_batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.global_batch_size % (self.world_size * self.micro_batch_size):
            share, rest = divmod(self.global_batch_size, self.world_size)
            if rest:
                near = max(self.world_size, round(self.global_batch_size / self.world_size) * self.world_size)
                remedy = f"use a global batch of {near} or a number of devices that divides {self.global_batch_size}"
            else:
                fits = max(m for m in range(1, self.micro_batch_size + 1) if share % m == 0)
                remedy = f"use a micro-batch of {fits}"
            raise UserError(
                f"a global batch of {self.global_batch_size} sequences cannot be dealt to {self.world_size} devices "
                f"in micro-batches of {self.micro_batch_size}: {remedy}"
            )

    @property
    def accumulation(self) -> int:
        """Micro-batches a rank takes in one step."""
        return self.global_batch_size // (self.world_size * self.micro_batch_size)

    def first_block(self, micro_batch: int) -> int:
        """The first block of this rank's ``micro_batch``-th micro-batch, counted from the beginning of training."""
        step, j = divmod(micro_batch, self.accumulation)
        return step * self.global_batch_size + (j * self.world_size + self.rank) * self.micro_batch_size


class TrainingBatches(IterableDataset[Batch]):
    """This rank's micro-batches from a step on, without end; each worker makes every num_workers-th of them."""

    def __init__(self, stream: TokenStream, layout: BatchLayout, first_step: int = 0):
        self.stream = stream
        self.layout = layout
        self.first_step = first_step

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        return told_errors(self._batches(worker.id, worker.num_workers)) if worker else self._batches(0, 1)

    def _batches(self, at: int, stride: int) -> Iterator[Batch]:
        at += self.first_step * self.layout.accumulation
        m = self.layout.micro_batch_size
        while True:
            first = self.layout.first_block(at)
            tokens = self.stream.blocks(first, m).astype(np.int64)
            yield {"tokens": torch.from_numpy(tokens), "blocks": torch.arange(first, first + m)}
            at += stride


class ValidationBatches(Dataset[Batch]):
    """This rank's held-out blocks, every world_size-th, in order.

    All ranks have equally many batches; where blocks run out, the last is repeated under the number -1, which says
    that it is not to be counted.
    """

    def __init__(self, validation: ValidationSet, layout: BatchLayout):
        self.blocks = validation.blocks
        rows = -(-validation.count // layout.world_size)
        rows = -(-rows // layout.micro_batch_size) * layout.micro_batch_size
        numbers = np.arange(rows) * layout.world_size + layout.rank
        self.numbers = np.where(numbers < validation.count, numbers, -1).reshape(-1, layout.micro_batch_size)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, batch: int) -> Batch:
        numbers = self.numbers[batch]
        tokens = self.blocks[numbers].astype(np.int64)  # number -1 is the last block
        return {"tokens": torch.from_numpy(tokens), "blocks": torch.from_numpy(numbers.copy())}


def loader(batches: Dataset[Batch], num_workers: int = 0) -> DataLoader[Any]:
    """A DataLoader that hands on ready batches in order, and raises here what its processes have failed with."""
    return Loader(
        batches,
        batch_size=None,
        num_workers=num_workers,
        collate_fn=as_it_is,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # its own, so that loading draws nothing from the global one
        worker_init_fn=partial(prepare_worker, own_objects()) if num_workers else None,
    )
