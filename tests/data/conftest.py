"""Caches that live as long as a test, or as the session where making them takes seconds."""

import json
import random
from pathlib import Path

import pytest

from decaystudy.data import DataConfig, DataModule
from decaystudy.data.documents import id_hash

ENGLISH = (
    "decay state attention linear the of a recurrent gate window token. memory, loss! half-life 0.99 shared key value"
)
WORDS = [*ENGLISH.split(), "naïve", "Übermaß", "東京", "🙂", "\n\n"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that the tests of the real offline corpus share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def python_docs(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> DataModule:
    """The real offline corpus, ready for use."""
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(session_cache))
    data = DataModule(DataConfig(sequence_length=256), seed=0, global_batch_size=8, micro_batch_size=8)
    data.prepare_data()
    data.setup()
    return data


def random_texts(count: int, seed: int = 0, longest: int = 60) -> list[str]:
    """Texts of up to ``longest`` words each; some are empty."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randrange(longest))) for _ in range(count)]


def first_of(names: list[str], share: float) -> set[str]:
    """The names that are held out of a small source of files: the share of them with the lowest hashes."""
    hashes = sorted(map(id_hash, names))
    bound = hashes[min(max(round(share * len(names)), 1), len(names) - 1)]
    return {name for name in names if id_hash(name) < bound}


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three json lines files of 100 documents, each file a part."""
    monkeypatch.setattr("decaystudy.data.sources.files.PART_BYTES", 30_000)
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(3):
        rows = [{"id": f"{number}/{i}", "text": text} for i, text in enumerate(random_texts(100, number))]
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def config(cache: Path, texts: Path) -> DataConfig:
    """A small corpus of files under a small trained tokenizer."""
    return DataConfig(
        source="files", files=str(texts / "*.jsonl"), tokenizer="bpe:400", sequence_length=32, validation_fraction=0.1
    )
