"""Losses by held-out document: which token belongs to which document, and how many bytes it spells."""

import dataclasses

import numpy as np
import pytest

from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.config import DataConfig, token_stream_fingerprint
from decaystudy.data.stream.order import TokenStream
from decaystudy.data.stream.validation import ValidationSet
from decaystudy.data.tokenizers.spelling import token_bytes


def plain(validation: ValidationSet, eos: int) -> list[list[tuple[int, int]]]:
    """By hand: (document, token) of each predicted token, block by block; a document ends with EOS."""
    document, blocks = 0, []
    for block in validation.blocks.tolist():
        row = []
        for place, token in enumerate(block):
            if place:
                row.append((document, token))
            document += token == eos
        blocks.append(row)
    return blocks


@pytest.mark.parametrize("length", [1, 7, 32])
def test_every_predicted_token_counts_for_its_document(config: DataConfig, length: int) -> None:
    corpus = Corpus.open(config)
    validation = ValidationSet(corpus, sequence_length=length, held_out_share=0.1, tokens=10**9)
    held_out = validation.by_document(corpus.tokenizer)
    rows = plain(validation, corpus.tokenizer.eos_id)
    documents = sorted({document for row in rows for document, _ in row})
    assert held_out.numbers.shape == (validation.count, length) and held_out.numbers.max() + 1 == len(documents)
    losses = np.random.default_rng(0).random((validation.count, length))
    expected = {document: 0.0 for document in documents}
    counts = dict.fromkeys(documents, 0)
    for row, block in zip(rows, losses, strict=True):
        for (document, _), loss in zip(row, block, strict=True):
            expected[document] += loss
            counts[document] += 1
    assert held_out.tokens.tolist() == list(counts.values()) and held_out.tokens.min() >= 1
    np.testing.assert_allclose(held_out.sums(losses), list(expected.values()), rtol=1e-12)
    assert held_out.sums(losses).sum() / held_out.tokens.sum() == pytest.approx(losses.mean(), rel=1e-12)


def test_the_digest_tells_other_documents_apart(config: DataConfig) -> None:
    corpus = Corpus.open(config)

    def digest(**changes: int) -> str:
        settings = {"sequence_length": 16, "tokens": 10**9, **changes}
        return ValidationSet(corpus, held_out_share=0.1, **settings).by_document(corpus.tokenizer).digest

    assert digest() == digest() != digest(sequence_length=8)
    assert digest(tokens=200) != digest()


def test_tuning_documents_are_neither_trained_on_nor_reported(config: DataConfig) -> None:
    """Every document of the source is exactly one of the three, and what is reported stays what it was."""
    reported = dataclasses.replace(config, validation_tokens=10**9, sequence_length=1)
    tuning = dataclasses.replace(reported, tuning=True)
    corpus = Corpus.open(reported)
    sets = [documents(ValidationSet.of(corpus, one).blocks, corpus) for one in (reported, tuning)]
    assert all(sets) and not set(sets[0]) & set(sets[1])
    plain = ValidationSet(corpus, sequence_length=1, held_out_share=config.held_out_share, tokens=10**9)
    assert (ValidationSet.of(corpus, reported).blocks == plain.blocks).all()
    trained = []
    for one in (reported, tuning):
        stream = TokenStream(corpus, seed=0, sequence_length=1, held_out_share=one.untrained_share)
        trained.append(documents(stream.tokens(0, stream.epoch_tokens()), corpus))
    assert not set(trained[0]) & set(sets[0]) and not set(trained[1]) & {*sets[0], *sets[1]}
    assert set(trained[1]) < set(trained[0])
    assert token_stream_fingerprint(tuning) != token_stream_fingerprint(reported)


@pytest.mark.parametrize("share", [0.01, 0.4, 0.9])
def test_as_many_tuning_documents_as_leave_some_to_train_on(share: float) -> None:
    low, high = DataConfig(validation_fraction=share, tuning=True).judged_shares
    assert low == share and high - low == pytest.approx(min(share, (1 - share) / 2)) and high < 1


def documents(tokens: np.ndarray, corpus: Corpus) -> list[tuple[int, ...]]:
    """Whole documents by their tokens, without those that are too short to be told apart."""
    flat, eos = tokens.ravel().tolist(), corpus.tokenizer.eos_id
    ends = [place for place, token in enumerate(flat) if token == eos]
    pieces = [tuple(flat[start + 1 : end]) for start, end in zip([-1, *ends], ends, strict=False)]
    return [piece for piece in pieces if len(piece) > 20]


@pytest.mark.parametrize("name", ["bpe:300", "words:40"])
def test_tokens_spell_the_bytes_of_their_text(config: DataConfig, name: str) -> None:
    corpus = Corpus.open(dataclasses.replace(config, tokenizer=name))
    tokenizer = corpus.tokenizer
    for text in ("", "plain", "two  spaces\n", "Zürich 中文 🙂", "the the state of a model"):
        ids = np.array([*tokenizer.encode(text), tokenizer.eos_id])
        sizes = token_bytes(tokenizer, ids)
        assert sizes[-1] == 0
        known = text if name.startswith("bpe") else tokenizer.decode(ids[:-1].tolist())
        assert sizes.sum() == pytest.approx(len(known.encode()))
