"""The stream is a function of corpus and seed: complete, shuffled, and reachable at any position."""

import json
from pathlib import Path

import numpy as np
import pytest

from decaystudy.data import DataConfig
from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.draws import permutation
from decaystudy.data.stream.order import TokenStream
from decaystudy.data.stream.validation import ValidationSet
from tests.data.conftest import first_of


def open_stream(config: DataConfig, seed: int = 0, window: int = 2) -> TokenStream:
    return TokenStream(
        Corpus.open(config),
        seed=seed,
        sequence_length=config.sequence_length,
        held_out_share=config.held_out_share,
        window=window,
    )


def plain_documents(config: DataConfig, corpus: Corpus, kept: bool) -> list[list[int]]:
    """Documents in source order by plain tokenization of the files."""
    rows = [json.loads(line) for path in sorted(Path(config.files).parent.iterdir()) for line in path.open()]
    held = first_of([row["id"] for row in rows], config.held_out_share)
    chosen = [row["text"] for row in rows if (row["id"] in held) != kept]
    return [[*corpus.tokenizer.encode(text), corpus.tokenizer.eos_id] for text in chosen]


def split_documents(tokens: np.ndarray, eos: int) -> list[list[int]]:
    ends = np.flatnonzero(tokens == eos) + 1
    assert ends[-1] == len(tokens)
    return [piece.tolist() for piece in np.split(tokens, ends[:-1])]


@pytest.mark.parametrize("window", [1, 2, 8])
def test_every_document_comes_once_an_epoch_and_epochs_differ(config: DataConfig, window: int) -> None:
    stream = open_stream(config, window=window)
    total = stream.epoch_tokens()
    expected = plain_documents(config, stream.corpus, kept=True)
    epochs = [
        split_documents(stream.tokens(e * total, (e + 1) * total), stream.corpus.tokenizer.eos_id) for e in range(3)
    ]
    for epoch in epochs:
        assert sorted(epoch) == sorted(expected) and epoch != expected
    assert epochs[0] != epochs[1] != epochs[2]
    assert split_documents(open_stream(config, 1, window).tokens(0, total), stream.corpus.tokenizer.eos_id) != epochs[0]


def test_blocks_are_disjoint_and_carry_the_tail_into_the_next_epoch(config: DataConfig) -> None:
    stream = open_stream(config)
    n, total = config.sequence_length + 1, stream.epoch_tokens()
    count = 2 * total // n + 3
    assert total % n
    straight = np.concatenate([stream.block(i) for i in range(count)])
    assert np.array_equal(straight, open_stream(config).tokens(0, count * n))
    assert np.array_equal(straight.reshape(count, n), open_stream(config).blocks(0, count))


def test_any_position_can_be_reached_first(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decaystudy.data.stream.order.SEGMENT", 100)
    stream = open_stream(config)
    n, total = config.sequence_length + 1, stream.epoch_tokens()
    for i in np.random.default_rng(0).integers(0, 5 * total // n, 40).tolist():
        assert np.array_equal(stream.block(i), open_stream(config).block(i))


def test_the_first_epoch_needs_only_the_shards_read_so_far(config: DataConfig) -> None:
    stream = open_stream(config, window=1)
    stream.block(0)
    assert len(stream.corpus.shards.missing()) == 2
    stream.epoch_tokens()
    assert not stream.corpus.shards.missing()


def test_held_out_documents_are_the_same_for_every_seed_and_never_trained_on(config: DataConfig) -> None:
    stream = open_stream(config)
    corpus = stream.corpus
    validation = ValidationSet(corpus, sequence_length=32, held_out_share=0.1, tokens=10**9)
    order = corpus.validation_order()
    expected = plain_documents(config, corpus, kept=False)
    flat = [token for document in expected for token in document]
    assert validation.documents == len(expected) and validation.count == len(flat) // 33
    assert sorted(validation.blocks.ravel().tolist()) != sorted(flat) or len(flat) % 33 == 0
    pieces = {tuple(document) for document in expected if len(document) > 8}
    trained = {tuple(document) for document in plain_documents(config, corpus, kept=True)}
    assert order == corpus.validation_order() and not pieces & trained


def test_the_order_rests_on_no_library(config: DataConfig) -> None:
    assert permutation(8, 0, 0, 1).tolist() == permutation(8, 0, 0, 1).tolist()
    assert sorted(permutation(1000, 3, 4).tolist()) == list(range(1000))
    assert permutation(10, 1).tolist() != permutation(10, 2).tolist()
    drift = np.abs(permutation(10_000, 7) - np.arange(10_000)).mean()
    assert abs(drift - 10_000 / 3) < 150  # a uniform permutation moves an item a third of the way on average
