"""Damage is seen and mended, disks may be full, and any number of processes can fill one cache."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from decaystudy.data import DataConfig
from decaystudy.data.cache.build import Tokenization, fill, needed
from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.cache.shards import ShardFolder
from decaystudy.data.prepare import prepare
from decaystudy.data.stats import describe, stats, stream_hash
from decaystudy.data.stream.order import TokenStream
from decaystudy.errors import UserError
from tests.data.conftest import random_texts
from tests.data.test_stream import open_stream


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("suffix", ["bin", "index", "json"])
@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_a_damaged_shard_is_made_again(config: DataConfig, suffix: str, damage, caplog) -> None:
    prepare(config, workers=1)
    expected = stream_hash(open_stream(config), 20_000)
    path = Corpus.open(config).shards.path(1, suffix)
    before = path.read_bytes()
    damage(path)
    assert stream_hash(open_stream(config), 20_000) == expected
    assert path.read_bytes() == before or suffix == "json"
    assert suffix == "json" or "making it again" in caplog.text


def test_a_part_without_documents_is_a_shard_too(cache: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("decaystudy.data.sources.files.PART_BYTES", 1000)
    monkeypatch.setattr("decaystudy.data.sources.files.SHORTEST_PIECE", 10**6)
    texts = ["long " * 1000, *random_texts(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    config = DataConfig(source="files", files=str(tmp_path / "a.jsonl"), tokenizer="bpe:300", sequence_length=8)
    config = replace(config, validation_fraction=0.2)
    prepare(config)
    corpus = Corpus.open(config)
    counts = [corpus.shards.counts(shard) for shard in range(len(corpus))]
    assert min(count["documents"] for count in counts) == 0 and sum(count["documents"] for count in counts) == 41
    stream = open_stream(config)
    assert len(stream.tokens(0, 2 * stream.epoch_tokens())) == 2 * stream.epoch_tokens()


def test_preparing_mends_damage_too(config: DataConfig) -> None:
    whole = prepare(config)
    assert whole.repaired == 0 and whole.shards_made == whole.shards == 3
    corpus = Corpus.open(config)
    flip(corpus.shards.path(2, "bin"))
    cut(corpus.shards.path(0, "index"))
    mended = prepare(config)
    assert mended.repaired == 2
    assert {**asdict(mended), "repaired": 0} == asdict(whole)


def test_an_altered_tokenizer_is_not_used(config: DataConfig) -> None:
    corpus = Corpus.open(config)
    flip(corpus.tokenizer.folder / "tokenizer.json")
    with pytest.raises(UserError, match="was altered: delete that folder"):
        Corpus.open(config)


@pytest.mark.parametrize(("number", "says"), [(errno.ENOSPC, "is full"), (errno.EDQUOT, "^the quota on .* is used up")])
def test_a_full_disk_is_named_and_loses_nothing(
    number: int, says: str, config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.open(config)
    corpus.index(0)
    rename = os.replace

    def full(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match=f"{says}: free some space"):
        corpus.index(1)
    monkeypatch.setattr(os, "replace", rename)
    assert corpus.shards.missing() == [1, 2]
    assert not list(corpus.shards.folder.glob(".*.tmp"))


def test_a_cache_folder_that_cannot_be_is_named(config: DataConfig, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="point DECAYSTUDY_CACHE elsewhere"):
        Corpus.open(config)


def test_preparing_stops_when_there_is_enough(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus.open(config)
    monkeypatch.setattr("decaystudy.data.cache.build.WINDOW_SHARDS", 1)
    fill(corpus, [2, 1, 0], tokens=1)
    assert corpus.shards.missing() == [0, 1]
    assert needed(corpus, [2, 1, 0], 1, {}) == [] and needed(corpus, [2, 1, 0], None, {}) == [1, 0]
    with pytest.raises(UserError, match="--tokens must be at least 1"):
        prepare(config, tokens=0)
    with pytest.raises(UserError, match="--workers must be at least 1"):
        prepare(config, workers=0)


def test_wishes_are_granted_first(config: DataConfig) -> None:
    corpus = Corpus.open(config)
    corpus.shards.wish(1).touch()
    process = Tokenization(config, [0], None, alone=True)
    while process.running():
        time.sleep(0.05)
    assert not process.failed() and corpus.shards.missing() == [2] and not corpus.shards.wanted()
    process.stop()


def test_the_facts_about_a_source(config: DataConfig) -> None:
    facts = stats(config, tokens=5000)
    assert facts["documents"] == 300 and facts["shards_made"] == 3
    assert facts["stream_hash"] == stream_hash(open_stream(config, window=8), 5000)
    assert 1 < facts["bytes_per_token"] < 10
    assert facts["tokens_per_document"]["0"] == 1  # the empty documents are an EOS each
    assert len(describe(facts).splitlines()) == 11
    with pytest.raises(UserError, match="--tokens"):
        stats(config, tokens=0)


KILLED = """
import json, sys
from decaystudy.data.config import DataConfig
from decaystudy.data.prepare import prepare
prepare(DataConfig(**json.loads(sys.argv[1])), workers=2)
"""


@pytest.mark.long
def test_two_processes_and_ten_kills_leave_a_sound_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(40):
        rows = [{"text": text} for text in random_texts(2500, i)]
        (folder / f"{i:02d}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = DataConfig(source="files", files=str(folder / "*"), tokenizer="bpe:300", sequence_length=64)
    # Parts of one file each, as if the files were large, in this process too: how texts are cut is in the cache's key.
    monkeypatch.setattr("decaystudy.data.sources.files.PART_BYTES", 400_000)
    parts = ["import decaystudy.data.sources.files as files", "files.PART_BYTES = 400_000", KILLED]
    command = [sys.executable, "-c", "\n".join(parts), json.dumps(asdict(config))]
    draw = random.Random(0)
    start = lambda: subprocess.Popen(command, start_new_session=True)  # noqa: E731
    steady, made = start(), []
    for _ in range(10):
        victim = start()
        time.sleep(draw.uniform(0.5, 2))
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
        made.append(len(list(cache.glob("tokens/*/0*.json"))))
    assert steady.wait(300) == 0
    shards = ShardFolder(next(cache.glob("tokens/*/manifest.json")).parent)
    assert len(shards) == 40 and not shards.missing() and made[0] < 40
    corpus = Corpus.open(config)
    for shard in range(len(shards)):
        texts = [document.text for document in corpus.source.documents(shards.parts[shard])]
        assert np.array_equal(shards.tokens(shard), np.concatenate(corpus.tokenizer.encode_documents(texts)))
        assert len(shards.index(shard).ends) == len(texts)


def test_ten_billion_tokens_open_in_two_seconds_and_two_hundred_megabytes() -> None:
    from benchmarks.data import starting

    seconds, megabytes = starting()
    assert megabytes < 200
    assert seconds < 2 or os.getloadavg()[0] > os.cpu_count()


def test_the_stream_can_be_sent_to_another_process(config: DataConfig) -> None:
    import pickle

    stream = open_stream(config)
    block = stream.block(7)
    assert np.array_equal(pickle.loads(pickle.dumps(stream)).block(7), block)
    assert isinstance(stream, TokenStream)
