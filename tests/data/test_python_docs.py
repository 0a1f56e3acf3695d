"""The offline corpus is real English, parsed and never imported, without duplicates, and its tokenizer is sound."""

import ast
import sys

import numpy as np

from decaystudy.data import DataConfig, DataModule
from decaystudy.data.config import vocabulary_size
from decaystudy.data.documents import held_out
from decaystudy.data.registry import SOURCES
from decaystudy.data.sources.python_docs import docstrings, topics


def test_the_corpus_is_a_few_megabytes_of_distinct_texts(python_docs: DataModule) -> None:
    documents = list(python_docs.corpus.source.documents(python_docs.corpus.shards.parts[0]))
    texts = [document.text for document in documents]
    assert len(set(texts)) == len(texts) > 4000
    assert 1_000_000 < sum(map(len, texts)) < 10_000_000
    assert any(document.id.startswith("topics:") for document in documents)
    assert not any(document.id.startswith(("test.", "site-packages")) for document in documents)
    assert not {"antigravity", "this", "tkinter", "dbm.gnu"} & set(sys.modules)


def test_tokens_are_the_documents_and_nothing_else(python_docs: DataModule) -> None:
    corpus = python_docs.corpus
    documents = list(corpus.source.documents(corpus.shards.parts[0]))
    index, tokens = corpus.index(0), corpus.tokens(0)
    assert tokens.dtype == np.uint16 and len(index.ends) == len(documents) and index.ends[-1] == len(tokens)
    assert (tokens == corpus.tokenizer.eos_id).sum() == len(documents)
    for i in range(0, len(documents), 97):
        piece = tokens[int(index.starts[i]) : int(index.ends[i])]
        assert piece[-1] == corpus.tokenizer.eos_id
        assert corpus.tokenizer.decode(piece[:-1]) == documents[i].text


def test_the_vocabulary_is_what_its_name_says(python_docs: DataModule) -> None:
    tokenizer = python_docs.tokenizer
    assert tokenizer.vocab_size == vocabulary_size(python_docs.config) == 2048
    assert tokenizer._fast.get_vocab_size() == 2048
    text = "an <|endoftext|> in a text is text, naïve 東京 🙂\x00\t"
    assert tokenizer.eos_id not in tokenizer.encode(text) and tokenizer.decode(tokenizer.encode(text)) == text


def test_validation_is_small_held_out_and_below_uniform_entropy(python_docs: DataModule) -> None:
    assert 40 <= python_docs.validation_sequences <= 200
    assert 4 < python_docs.validation_unigram_entropy() < np.log(2048)
    documents = python_docs.corpus.source.documents(python_docs.corpus.shards.parts[0])
    share = python_docs.config.held_out_share
    kept = [document.text for document in documents if held_out(document.id, share)]
    ids = [token for text in kept for token in [*python_docs.tokenizer.encode(text), python_docs.eos_id]]
    blocks = python_docs.validation.blocks
    assert blocks.ravel().tolist() == ids[: blocks.size] and len(ids) - blocks.size < 257


def test_a_second_opening_parses_nothing(python_docs: DataModule, monkeypatch) -> None:
    monkeypatch.setattr("decaystudy.data.sources.python_docs.extract", None)
    again = SOURCES["python-docs"].open(DataConfig())
    assert again.revision == python_docs.corpus.source.revision


PROGRAM = '''
"""Module."""
if True:
    def f():
        "Function."
class C:
    "Class."
    async def m(self):
        "Method."
try:
    pass
except ImportError:
    def g():
        "Fallback."
'''


def test_docstrings_are_found_wherever_something_is_defined() -> None:
    tree = ast.parse(PROGRAM)
    found = list(docstrings(tree, "mod"))
    assert found == [
        ("mod", "Module."),
        ("mod:f", "Function."),
        ("mod:C", "Class."),
        ("mod:C.m", "Method."),
        ("mod:g", "Fallback."),
    ]
    assert list(topics(ast.parse("topics = {'if': 'The if statement.'}"))) == [("topics:if", "The if statement.")]
