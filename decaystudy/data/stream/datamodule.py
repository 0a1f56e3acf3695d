"""The Lightning side of the data: builds caches once per machine, then deals out the stream and the held-out blocks."""

import logging
from functools import cached_property
from typing import Any, TypeVar

from lightning import LightningDataModule, Trainer
from torch.utils.data import DataLoader

from decaystudy.data.cache.build import Tokenization, fill
from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.cache.shards import WINDOW_SHARDS
from decaystudy.data.config import DataConfig
from decaystudy.data.registry import identity_of
from decaystudy.data.stream.batches import BatchLayout, TrainingBatches, ValidationBatches, loader
from decaystudy.data.stream.order import TokenStream
from decaystudy.data.stream.validation import HeldOutDocuments, ValidationSet
from decaystudy.data.tokenizers.tokenizer import Tokenizer
from decaystudy.errors import UserError

T = TypeVar("T")

log = logging.getLogger("decaystudy")


class DataModule(LightningDataModule):
    """Batches of a token stream that is the same for any number of ranks, workers, micro-batches and restarts.

    ``train_dataloader`` has no end and begins at the trainer's ``global_step``; step s takes the blocks [s·G, (s+1)·G)
    of the stream, G = ``global_batch_size``. See ``decaystudy.data.stream.batches.Batch`` for what a batch holds.
    """

    def __init__(self, config: DataConfig, *, seed: int, global_batch_size: int, micro_batch_size: int):
        super().__init__()
        config.validate()
        self.config = config
        self.seed = seed
        self.global_batch_size = global_batch_size
        self.micro_batch_size = micro_batch_size
        self.prepare_data_per_node = True
        self._corpus: Corpus | None = None
        self._stream: TokenStream | None = None
        self._validation: ValidationSet | None = None
        self._tokenization: Tokenization | None = None
        self._resumed: dict[str, Any] | None = None

    def prepare_data(self) -> None:
        """Make the tokenizer and the first shards; Lightning calls it in one process of each machine.

        What the trainer's steps need beyond these is tokenized while it trains, by a process of its own.
        """
        if self._corpus is None:
            corpus = Corpus.open(self.config)
            missing = corpus.shards.missing()
            if missing and len(corpus) <= WINDOW_SHARDS:
                log.info("tokenizing %s, once", corpus.source.label)
                fill(corpus, missing)
            self._start_tokenization(corpus)
            self._open(corpus)
        self.stream.tokens(0, 1)

    def setup(self, stage: str | None = None) -> None:
        """Open what ``prepare_data`` made."""
        if self._corpus is None:
            self._open(Corpus.open(self.config))

    def teardown(self, stage: str | None = None) -> None:
        """End the process that tokenizes."""
        if self._tokenization is not None:
            self._tokenization.stop()
            self._tokenization = None

    def _open(self, corpus: Corpus) -> None:
        config = self.config
        self._validation = ValidationSet.of(corpus, config)
        self._stream = self._new_stream(corpus)
        self._corpus = corpus
        if self._resumed is not None:
            self._compare(self._resumed)

    def _new_stream(self, corpus: Corpus) -> TokenStream:
        config = self.config
        return TokenStream(
            corpus, seed=self.seed, sequence_length=config.sequence_length, held_out_share=config.untrained_share
        )

    def _start_tokenization(self, corpus: Corpus) -> None:
        """Have the shards that the trainer's steps take tokenized in another process, in the order of the stream."""
        if self.trainer is None or self.trainer.state.fn != "fit" or not corpus.shards.missing():
            return
        steps, tokens = self.trainer.max_steps, None
        if steps >= 0:
            taken = steps * self.global_batch_size * (self.config.sequence_length + 1)
            tokens = int(taken / (1 - self.config.untrained_share))
        order = self._new_stream(corpus).shard_order(0).tolist()
        self._tokenization = Tokenization(self.config, order, tokens, alone=True)

    @property
    def corpus(self) -> Corpus:
        return self._ready(self._corpus)

    @property
    def stream(self) -> TokenStream:
        """The training tokens."""
        return self._ready(self._stream)

    @property
    def validation(self) -> ValidationSet:
        """The held-out blocks."""
        return self._ready(self._validation)

    @cached_property
    def held_out(self) -> HeldOutDocuments:
        """The documents of the held-out blocks."""
        return self.validation.by_document(self.tokenizer)

    @property
    def tokenizer(self) -> Tokenizer:
        return self.corpus.tokenizer

    @property
    def eos_id(self) -> int:
        """The token that ends every document."""
        return self.tokenizer.eos_id

    @property
    def vocab_size(self) -> int:
        """Ids lie below this."""
        return self.tokenizer.vocab_size

    @property
    def validation_sequences(self) -> int:
        """Number of held-out blocks."""
        return self.validation.count

    def validation_unigram_entropy(self) -> float:
        """Entropy, in nats per token, of the held-out tokens under their own frequencies."""
        return self.validation.unigram_entropy()

    def layout(self) -> BatchLayout:
        """The blocks of this rank; raises a UserError where the global batch cannot be dealt out evenly."""
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        return BatchLayout(self.global_batch_size, self.micro_batch_size, rank, world)

    def train_dataloader(self) -> DataLoader[Any]:
        layout = self.layout()
        step = self.trainer.global_step if self.trainer else 0
        if self.trainer:
            _count_batches(self.trainer, step * layout.accumulation)
        return loader(TrainingBatches(self.stream, layout, step), self.config.num_workers)

    def val_dataloader(self) -> DataLoader[Any]:
        return loader(ValidationBatches(self.validation, self.layout()))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tokenization": None}

    def description(self) -> dict[str, Any]:
        """What the tokens are, for a run's records."""
        corpus, validation = self.corpus, self.validation
        done = [counts for shard in range(len(corpus)) if (counts := corpus.shards.counts(shard))]
        return {
            "source": self.config.source,
            **{key: value for key, value in identity_of(corpus.source).items() if key != "source"},
            "tokenizer": self.tokenizer.name,
            "tokenizer_digest": self.tokenizer.digest,
            "vocab_size": self.vocab_size,
            "sequence_length": self.config.sequence_length,
            "documents": sum(counts["documents"] for counts in done),
            "tokens": sum(counts["tokens"] for counts in done),
            "whole_source": len(done) == len(corpus),
            "validation_documents": validation.documents,
            **({} if validation.groups is None else {"validation_groups": validation.groups}),
            "validation_tokens": validation.tokens,
            "validation_sequences": validation.count,
            "validation_digest": self.held_out.digest,
        }

    def state_dict(self) -> dict[str, Any]:
        """What pins the stream; the position in it is the trainer's step times the global batch."""
        identity = self.corpus.source.identity()
        state = {"revision": identity["revision"], "tokenizer_digest": self.tokenizer.digest, "seed": self.seed}
        return {**state, "global_batch_size": self.global_batch_size, "sequence_length": self.config.sequence_length}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to resume with a stream that is not the checkpoint's."""
        if self._corpus is None:
            self._resumed = state_dict
        else:
            self._compare(state_dict)

    def _compare(self, saved: dict[str, Any]) -> None:
        for name, value in self.state_dict().items():
            if saved.get(name, value) != value:
                raise UserError(
                    f"the checkpoint was trained on data with {name} {saved[name]}, here it is {value}: "
                    "resume with what it had, or train again in another folder"
                )

    def _ready(self, part: T | None) -> T:
        if part is None:
            raise RuntimeError("call prepare_data() and setup() first")
        return part


def _count_batches(trainer: Trainer, taken: int) -> None:
    """Make the loop count ``taken`` batches so far.

    A checkpoint counts the micro-batches of its own layout; in another one the count would end an accumulation, or
    begin a validation, in the middle of a step.
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    for tracker in (progress.total, progress.current):
        shift = taken - tracker.ready
        for name in ("ready", "started", "processed", "completed"):
            setattr(tracker, name, getattr(tracker, name) + shift)
