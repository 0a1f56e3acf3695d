"""Settings are checked in one sentence, and what they decide is known without torch or network."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from decaystudy.data.config import DataConfig, token_stream_fingerprint, vocabulary_size
from decaystudy.data.registry import SOURCES
from decaystudy.errors import UserError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "python-doc"}, "did you mean 'python-docs'"),
        ({"sequence_length": 0}, "sequence_length is 0: give a whole number of at least 1"),
        ({"validation_fraction": 1.0}, "between 0 and 1"),
        ({"validation_tokens": 2048}, "give at least 2049"),
        ({"num_workers": -1}, "num_workers"),
        ({"tokenizer": "bpe:many"}, "such as bpe:2048"),
        ({"tokenizer": "bpe:100"}, "from 257"),
        ({"tokenizer": " "}, "tokenizer is empty"),
        ({"files": "*.txt"}, "means nothing to the source python-docs"),
        ({"source": "files"}, "needs --data.files"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        DataConfig(**settings).validate()
    assert "\n" not in str(caught.value)


def test_the_vocabulary_is_known_from_the_name(cache: Path) -> None:
    assert vocabulary_size(DataConfig()) == 2048
    assert vocabulary_size(DataConfig(tokenizer="gpt2")) == 50257
    with pytest.raises(UserError, match="prepare-data"):
        vocabulary_size(DataConfig(tokenizer="no/such"))


def test_the_fingerprint_holds_what_decides_the_tokens() -> None:
    plain = token_stream_fingerprint(DataConfig())
    assert plain == token_stream_fingerprint(DataConfig(num_workers=4, tokenizer="bpe:2048", validation_fraction=0.03))
    changes = {"sequence_length": 64, "tokenizer": "gpt2", "validation_fraction": 0.1, "validation_tokens": 9999}
    for name, value in changes.items():
        assert plain != token_stream_fingerprint(replace(DataConfig(), **{name: value}))


def test_every_source_introduces_itself_in_a_line() -> None:
    for name, source in SOURCES.items():
        assert 20 < len(source.summary) < 110 and "\n" not in source.summary, name


def test_nothing_heavy_is_imported() -> None:
    heavy = "{'torch', 'lightning', 'transformers', 'datasets', 'tokenizers', 'pyarrow', 'huggingface_hub', 'pandas'}"
    code = (
        "import sys; from decaystudy.data.config import *; from decaystudy.data import DataConfig;"
        f"vocabulary_size(DataConfig()); print(sorted({heavy} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
