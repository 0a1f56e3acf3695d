"""Under the Trainer, restarts, other layouts and tokenizing while training change nothing in what is seen."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer

from decaystudy.data import DataConfig, DataModule
from decaystudy.data.cache.build import Tokenization
from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.stream.batches import BatchLayout, TrainingBatches, loader
from tests.data.conftest import random_texts
from tests.data.test_stream import open_stream

STEPS, GLOBAL_BATCH = 12, 8


class Recorder(LightningModule):
    """Trains one number and keeps what it was given: {step: [blocks]}."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[int, list[int]] = {}
        self.validated: list[int] = []
        self.tokens: dict[int, torch.Tensor] = {}

    def training_step(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        self.seen.setdefault(self.global_step, []).extend(batch["blocks"].tolist())
        self.tokens.update(zip(batch["blocks"].tolist(), batch["tokens"], strict=True))
        return self.weight * 1.0

    def validation_step(self, batch: dict[str, torch.Tensor]) -> None:
        self.validated.extend(batch["blocks"].tolist())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def run(config: DataConfig, folder: Path, steps: int, micro: int, checkpoint: Path | None = None) -> Recorder:
    trainer = Trainer(
        max_steps=steps,
        accumulate_grad_batches=GLOBAL_BATCH // micro,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        val_check_interval=4 * GLOBAL_BATCH // micro,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
    )
    module = Recorder()
    data = DataModule(config, seed=0, global_batch_size=GLOBAL_BATCH, micro_batch_size=micro)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    trainer.save_checkpoint(folder / f"{steps}.ckpt")
    return module


def test_a_run_that_stops_and_goes_on_sees_every_block_once(config: DataConfig, tmp_path: Path) -> None:
    first = run(config, tmp_path, 5, 4)
    second = run(replace(config, num_workers=1), tmp_path, STEPS, 2, tmp_path / "5.ckpt")
    seen = {**first.seen, **second.seen}
    assert not set(first.seen) & set(second.seen)
    assert seen == {step: list(range(step * GLOBAL_BATCH, (step + 1) * GLOBAL_BATCH)) for step in range(STEPS)}
    stream = open_stream(config, window=8)
    for number, tokens in {**first.tokens, **second.tokens}.items():
        assert tokens.tolist() == stream.block(number).tolist()
    data = DataModule(config, seed=0, global_batch_size=GLOBAL_BATCH, micro_batch_size=1)
    data.setup()
    assert sorted({number for number in first.validated if number >= 0}) == list(range(data.validation_sequences))


def test_twenty_stops_at_random_lose_and_repeat_nothing(config: DataConfig) -> None:
    stream = open_stream(config)
    draw = random.Random(0)
    stops = sorted(draw.sample(range(1, 200), 20))
    seen: list[torch.Tensor] = []
    for first, last in zip([0, *stops], [*stops, 200], strict=True):
        micro = draw.choice([1, 2, 4, 8])
        batches = iter(loader(TrainingBatches(open_stream(config), BatchLayout(GLOBAL_BATCH, micro), first)))
        seen += [next(batches)["tokens"] for _ in range((last - first) * GLOBAL_BATCH // micro)]
    assert torch.cat(seen).tolist() == stream.blocks(0, 200 * GLOBAL_BATCH).tolist()


@pytest.fixture
def many_parts(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    """A corpus of more parts than are tokenized before training begins."""
    folder = tmp_path / "many"
    folder.mkdir()
    monkeypatch.setattr("decaystudy.data.sources.files.PART_BYTES", 10_000)
    for i in range(20):
        rows = [{"text": text} for text in random_texts(40, i)]
        (folder / f"{i:02d}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataConfig(
        source="files", files=str(folder / "*"), tokenizer="bpe:300", sequence_length=16, validation_fraction=0.1
    )


def test_a_run_tokenizes_what_it_needs_while_it_trains(
    many_parts: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    start = Tokenization.__init__
    monkeypatch.setattr(
        Tokenization, "__init__", lambda self, *args, **kwargs: asked.append(args) or start(self, *args, **kwargs)
    )
    streamed = run(many_parts, tmp_path, 100, 8)
    assert len(asked) == 1 and asked[0][2] == int(100 * 8 * 17 / 0.9)
    corpus = Corpus.open(many_parts)
    assert len(corpus) == 20
    cached = open_stream(many_parts, window=8)
    total = cached.epoch_tokens()
    assert all(tokens.tolist() == cached.block(number).tolist() for number, tokens in streamed.tokens.items())
    assert len(streamed.tokens) == 800 and total > 800 * 17
