"""BatchLayout, workers and restarts change nothing; held-out blocks are counted once each."""

import itertools

import numpy as np
import pytest
import torch

from decaystudy.data import DataConfig, DataModule
from decaystudy.data.stream.batches import BatchLayout, TrainingBatches, ValidationBatches, loader
from decaystudy.errors import UserError


@pytest.fixture
def data(config: DataConfig) -> DataModule:
    module = DataModule(config, seed=0, global_batch_size=8, micro_batch_size=4)
    module.prepare_data()
    module.setup()
    return module


def steps(data: DataModule, world: int, micro: int, workers: int = 0, first: int = 0, count: int = 4) -> torch.Tensor:
    """(count, 8, 33): the blocks of each step in order, put together from all ranks."""
    rows = {}
    for rank in range(world):
        layout = BatchLayout(8, micro, rank, world)
        batches = iter(loader(TrainingBatches(data.stream, layout, first), workers))
        for step in range(first, first + count):
            for _ in range(layout.accumulation):
                batch = next(batches)
                for number, row in zip(batch["blocks"].tolist(), batch["tokens"], strict=True):
                    assert step * 8 <= number < (step + 1) * 8 and number not in rows
                    rows[number] = row
    return torch.stack([rows[number] for number in sorted(rows)]).reshape(count, 8, 33)


def test_batches_have_the_promised_form(data: DataModule) -> None:
    batch = next(iter(data.train_dataloader()))
    assert batch["tokens"].shape == (4, 33) and batch["tokens"].dtype == torch.int64
    assert batch["blocks"].tolist() == [0, 1, 2, 3]
    assert np.array_equal(batch["tokens"][2].numpy(), data.stream.block(2))


@pytest.mark.parametrize(("world", "micro"), [(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (2, 4), (4, 2), (8, 1)])
def test_a_step_has_the_same_tokens_in_any_layout(data: DataModule, world: int, micro: int) -> None:
    assert torch.equal(steps(data, world, micro), steps(data, 1, 8))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 4])
def test_workers_keep_the_order(data: DataModule, workers: int) -> None:
    plain = list(itertools.islice(loader(TrainingBatches(data.stream, BatchLayout(8, 2), 3)), 9))
    loaded = list(itertools.islice(loader(TrainingBatches(data.stream, BatchLayout(8, 2), 3), workers), 9))
    for a, b in zip(plain, loaded, strict=True):
        assert torch.equal(a["tokens"], b["tokens"]) and torch.equal(a["blocks"], b["blocks"])


def test_a_restart_sees_the_next_step(data: DataModule) -> None:
    assert torch.equal(steps(data, 2, 2, first=3, count=2), steps(data, 1, 8, count=5)[3:])


@pytest.mark.parametrize(("world", "micro"), [(1, 1), (1, 5), (3, 4), (2, 1)])
def test_held_out_blocks_are_counted_once(data: DataModule, world: int, micro: int) -> None:
    counted = []
    lengths = set()
    for rank in range(world):
        batches = list(loader(ValidationBatches(data.validation, BatchLayout(world * micro, micro, rank, world))))
        lengths.add(len(batches))
        for batch in batches:
            assert batch["tokens"].shape == (micro, 33)
            for number, row in zip(batch["blocks"].tolist(), batch["tokens"], strict=True):
                assert np.array_equal(row.numpy(), data.validation.blocks[number])
                counted += [number] if number >= 0 else []
    assert sorted(counted) == list(range(data.validation_sequences)) and len(lengths) == 1


def test_an_uneven_layout_is_refused_with_a_remedy() -> None:
    with pytest.raises(UserError, match="use a micro-batch of 4"):
        BatchLayout(8, 5)
    with pytest.raises(UserError, match=r"use a global batch of 9 or a number of devices that divides 8"):
        BatchLayout(8, 1, 0, 3)
    with pytest.raises(UserError, match="micro_batch_size must be at least 1"):
        BatchLayout(8, 0)


def test_loading_draws_nothing_from_the_global_generator(data: DataModule) -> None:
    before = torch.get_rng_state()
    next(iter(data.train_dataloader()))
    next(iter(data.val_dataloader()))
    assert torch.equal(before, torch.get_rng_state())


def test_a_checkpoint_of_other_data_is_refused(data: DataModule) -> None:
    state = data.state_dict()
    data.load_state_dict(state)
    with pytest.raises(UserError, match="seed 5, here it is 0"):
        data.load_state_dict({**state, "seed": 5})
