"""Synthetic recall is what it promises: needles at their distance, keys with their values, a token a word."""

import itertools

import numpy as np
import pytest

from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.config import DataConfig, vocabulary_size
from decaystudy.data.draws import Draws
from decaystudy.data.prepare import prepare
from decaystudy.data.registry import SOURCES
from decaystudy.data.sources.recall import ASK, DOCUMENTS, FILLER, KEYS, PARTS, VALUES, document
from decaystudy.data.stream.order import TokenStream
from decaystudy.errors import UserError

LENGTH = 200
CONFIG = DataConfig(source="recall", sequence_length=LENGTH)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.open(CONFIG)


def test_a_needle_is_told_and_a_key_is_followed_by_its_value():
    distances, counts, leads = [], [], []
    for number in range(4000):
        words = document(Draws(7, number), 200)
        if ASK in words:
            value = words[-1]
            assert words[-2] == ASK and words.count(ASK) == 1 and value in VALUES
            assert [word for word in words[:-2] if word not in FILLER] == [value]
            distances.append(words.index(ASK) - words.index(value))
            leads.append(words.index(value))
            filler = [FILLER.index(word) for word in words if word in FILLER]
            assert all((b - a) % len(FILLER) == 1 for a, b in itertools.pairwise(filler))
        else:
            pairs = list(zip(words[::2], words[1::2], strict=True))
            stated, asked = pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]
            assert sorted(stated) == sorted(asked) and len(dict(stated)) == len(stated)
            assert {key for key, _ in stated} <= set(KEYS) and {value for _, value in stated} <= set(VALUES)
            counts.append(len(stated))
    assert set(counts) == {2, 4, 8, 16} and 100 < len(counts) < 320
    assert min(distances) == 1 and 150 < max(distances) <= 200
    assert 0.8 < np.mean(np.array(distances) <= 4) < 0.98 and np.mean(np.array(distances) >= 100) > 0.004
    assert 20 < max(leads) < 32


def test_every_word_is_a_token(corpus):
    assert corpus.tokenizer.vocab_size == vocabulary_size(CONFIG) == corpus.tokenizer._fast.get_vocab_size()
    ids = [corpus.tokenizer.encode(word) for word in (*KEYS, *VALUES, *FILLER, ASK)]
    assert all(len(one) == 1 for one in ids) and len({one[0] for one in ids}) == len(ids)
    stream = TokenStream(corpus, seed=3, sequence_length=LENGTH, held_out_share=CONFIG.held_out_share)
    texts = corpus.tokenizer.decode(stream.tokens(0, 20_000).tolist()).split(" <|endoftext|> ")
    parts = corpus.source.parts()
    known = {text for part in stream.shard_order(0)[:8] for _, text, _ in corpus.source.documents(parts[part])}
    assert len(texts) > 400 and set(texts[:-1]) <= known


def test_the_documents_are_the_same_every_time():
    source, again = (SOURCES["recall"].open(CONFIG) for _ in range(2))
    part = source.parts()[3]
    texts = list(source.documents(part))
    assert texts == list(again.documents(part)) and source.revision == again.revision
    assert len(texts) == DOCUMENTS and len(source.parts()) == PARTS
    assert max(len(text.split()) for _, text, _ in texts) <= LENGTH
    assert SOURCES["recall"].open(DataConfig(source="recall", sequence_length=64)).revision != source.revision


def test_a_closed_vocabulary_knows_its_words_and_no_other(corpus):
    tokenizer = corpus.tokenizer
    unknown = tokenizer.encode("sesame")
    assert tokenizer.encode("ba sesame  do") == [*tokenizer.encode("ba"), *unknown, *tokenizer.encode("do")]
    assert tokenizer.encode("<|endoftext|>") == unknown != [tokenizer.eos_id]


def test_draws_are_uniform_and_depend_on_their_key_alone():
    draws = Draws(1, 2)
    values = np.array([draws.uniform() for _ in range(20_000)])
    again = Draws(1, 2)
    assert [again.uniform() for _ in range(600)] == values[:600].tolist()
    assert Draws(2, 1).uniform() != values[0]
    assert values.min() >= 0 and values.max() < 1
    assert abs(values.mean() - 0.5) < 4 * (1 / 12 / len(values)) ** 0.5
    assert np.abs(np.histogram(values, 20, (0, 1))[0] - 1000).max() < 150
    assert sorted(draws.shuffled(range(9))) == list(range(9))
    firsts = np.bincount([Draws(5, i).shuffled(range(4))[0] for i in range(4000)])
    assert np.abs(firsts - 1000).max() < 130


def test_no_one_prepares_all_of_it():
    with pytest.raises(UserError, match="makes any number of tokens: say how many"):
        prepare(CONFIG)
