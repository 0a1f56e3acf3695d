"""Losses by held-out document: which token belongs to which document, and how many bytes it spells."""

import numpy as np
import pytest

from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.config import DataConfig
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


@pytest.mark.parametrize("name", ["bpe:300", "words:40"])
def test_tokens_spell_the_bytes_of_their_text(config: DataConfig, name: str) -> None:
    import dataclasses

    corpus = Corpus.open(dataclasses.replace(config, tokenizer=name))
    tokenizer = corpus.tokenizer
    for text in ("", "plain", "two  spaces\n", "Zürich 中文 🙂", "the the state of a model"):
        ids = np.array([*tokenizer.encode(text), tokenizer.eos_id])
        sizes = token_bytes(tokenizer, ids)
        assert sizes[-1] == 0
        known = text if name.startswith("bpe") else tokenizer.decode(ids[:-1].tolist())
        assert sizes.sum() == pytest.approx(len(known.encode()))
