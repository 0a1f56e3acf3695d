"""Documents of one group, such as a book, are on one side of what is held out, and their losses are added up."""

import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decaystudy.data import DataConfig, Document, Source
from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.config import token_stream_fingerprint
from decaystudy.data.distinct import Changes, distinct
from decaystudy.data.documents import id_hash
from decaystudy.data.registry import SOURCES
from decaystudy.data.stream.order import TokenStream
from decaystudy.data.stream.validation import ValidationSet
from decaystudy.errors import UserError
from tests.data.conftest import random_texts
from tests.data.loopback import parquet
from tests.training.small import fit

BOOKS = 12


@pytest.fixture(params=["jsonl", "parquet"])
def config(request: pytest.FixtureRequest, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    """Three files, the pieces of each book in all of them, some too long for one document; each word names its book."""
    monkeypatch.setattr("decaystudy.data.sources.files.PART_BYTES", 100_000)
    for file in range(3):
        rows = [
            {"id": f"{file}/{i}", "text": marked(text, i % BOOKS), "book": i % BOOKS if file else float(i % BOOKS)}
            for i, text in enumerate(random_texts(100, file) + random_texts(2, file + 9, 3000))
        ]
        if request.param == "parquet":
            content = parquet([{**row, "book": str(int(row["book"]))} for row in rows], 20)
        else:
            content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        (tmp_path / f"{file}.{request.param}").write_bytes(content)
    return DataConfig(
        source="files",
        files=str(tmp_path / f"*.{request.param}"),
        group="book",
        tokenizer="bpe:400",
        sequence_length=1,
        validation_fraction=0.2,
        validation_tokens=10**9,
    )


def marked(text: str, book: int) -> str:
    return " ".join(f"{word}@{book}." for word in text.split())


def books(tokens: np.ndarray, corpus: Corpus) -> set[str]:
    return set(re.findall(r"@(\d+)\.", corpus.tokenizer.decode(tokens.ravel().tolist())))


def trained_on(config: DataConfig, corpus: Corpus) -> set[str]:
    stream = TokenStream(corpus, seed=0, sequence_length=1, held_out_share=config.untrained_share)
    return books(stream.tokens(0, stream.epoch_tokens()), corpus)


@pytest.mark.parametrize("large", [False, True])
def test_no_book_is_on_two_sides(config: DataConfig, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decaystudy.data.holding_out.MOST_PARTS", 0 if large else 99)
    config = replace(config, validation_fraction=0.3)
    tuning = replace(config, tuning=True)
    corpus = Corpus.open(config)
    assert len(corpus) > 2 and (corpus.held_out.hashes is None) == large
    reported, tuned = (books(ValidationSet.of(corpus, one).blocks, corpus) for one in (config, tuning))
    trained, left = trained_on(config, corpus), trained_on(tuning, corpus)
    everything = {str(book) for book in range(BOOKS)}
    assert reported and tuned and left
    assert trained == everything - reported and left == everything - reported - tuned and not reported & tuned
    if not large:
        assert len(reported) == len(tuned) == round(0.3 * BOOKS)
        assert reported == set(sorted(everything, key=id_hash)[: len(reported)])


def test_without_groups_every_book_is_on_both_sides(config: DataConfig) -> None:
    config = replace(config, group=None)
    corpus = Corpus.open(config)
    assert books(ValidationSet.of(corpus, config).blocks, corpus) & trained_on(config, corpus)


def test_losses_are_added_up_by_book(config: DataConfig) -> None:
    corpus = Corpus.open(config)
    validation = ValidationSet.of(corpus, config, 31)
    found = validation.by_document(corpus.tokenizer)
    tokens = validation.blocks.ravel()
    document = np.cumsum(tokens == corpus.tokenizer.eos_id) - (tokens == corpus.tokenizer.eos_id)
    named = [sorted(books(tokens[document == i], corpus)) for i in range(document.max() + 1)]
    assert {len(names) for names in named} <= {0, 1}, "a document names its book, unless it is empty"
    losses = np.random.default_rng(0).random((validation.count, 31))
    sums, counts = Counter(), Counter()
    for i, loss in zip(document.reshape(-1, 32)[:, 1:].ravel().tolist(), losses.ravel().tolist(), strict=True):
        sums["".join(named[i])] += loss
        counts["".join(named[i])] += 1
    empty, sizes = counts.pop("", 0), dict(counts)
    by_hash = sorted(sizes, key=id_hash)
    assert len(found.tokens) == len(by_hash) == validation.groups == round(0.2 * BOOKS) < validation.documents
    assert found.tokens.sum() == found.numbers.size and (found.tokens - [sizes[b] for b in by_hash]).sum() == empty
    if not empty:
        np.testing.assert_allclose(found.sums(losses), [sums[book] for book in by_hash], rtol=1e-12)
    corpus.source.grouped = False
    alone = ValidationSet.of(corpus, config, 31).by_document(corpus.tokenizer)
    pairs = np.unique(np.stack([alone.numbers.ravel(), found.numbers.ravel()]), axis=1)
    assert pairs[0].tolist() == list(range(len(alone.tokens))), "each document is of one group"
    np.testing.assert_allclose(np.bincount(pairs[1], weights=alone.bytes), found.bytes, rtol=1e-12)
    np.testing.assert_allclose(np.bincount(pairs[1], weights=alone.sums(losses)), found.sums(losses), rtol=1e-12)
    assert alone.digest != found.digest


def test_a_run_has_a_loss_for_each_book(config: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = [
        "--data.source",
        "files",
        "--data.files",
        config.files,
        "--data.group",
        "book",
        "--data.tokenizer",
        "bpe:400",
    ]
    assert fit(tmp_path / "run", *data, "--data.validation_fraction", 0.2, "--data.validation_tokens", 10**6) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    with np.load(tmp_path / "run" / "validation_documents.npz") as held:
        assert len(held["nll"]) == len(held["tokens"]) == result["data"]["validation_groups"] == round(0.2 * BOOKS)
        assert held["nll"].sum() / held["tokens"].sum() == pytest.approx(result["val_loss"], rel=1e-9)
    assert result["data"]["group"] == "book"


def test_nothing_changes_without_groups(config: DataConfig) -> None:
    plain, grouped = replace(config, group=None), replace(config, group="id")
    opened = [Corpus.open(one) for one in (plain, grouped)]
    assert "group" not in opened[0].source.identity() and "group" not in token_stream_fingerprint(plain)
    assert opened[0].source.identity() != opened[1].source.identity()
    assert token_stream_fingerprint(plain) != token_stream_fingerprint(grouped)
    assert opened[0].shards.folder != opened[1].shards.folder
    validation = ValidationSet.of(opened[0], plain, 31)
    held_out = validation.by_document(opened[0].tokenizer)
    tokens = validation.blocks.ravel()
    starts = np.flatnonzero(tokens[:-1] == opened[0].tokenizer.eos_id) + 1
    content = [tokens.astype("<u4"), starts.astype("<u8"), np.array([32], "<u8")]
    expected = hashlib.blake2b(b"".join(part.tobytes() for part in content), digest_size=16).hexdigest()
    assert held_out.digest == expected and len(held_out.tokens) == validation.documents and validation.groups is None


def test_groups_that_a_class_does_not_declare_are_refused(config: DataConfig) -> None:
    source: Source = SOURCES["files"].open(replace(config, group=None))
    with pytest.raises(UserError, match="set grouped = True in its class"):
        list(distinct(source, [Document("a", "text", "book")], Changes()))
