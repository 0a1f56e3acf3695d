"""Hub datasets over a loopback hub with the real readers: the stream is the same whatever the network does."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data.conftest import random_texts
from tests.data.loopback import LoopbackHub, parquet

ROOT = Path(__file__).resolve().parents[2]
PAGES = "datasets/lab/pages"
PARTS = 10  # files of the dataset, more than one window of the stream mixes

README = """---
configs:
- config_name: sample
  data_files:
  - split: train
    path: sample/*
- config_name: broken
  data_files:
  - split: train
    path: broken/*
---
"""

LINES = {
    "name": "lab/lines", "config": None, "column": "body", "tokenizer": "bpe:300", "validation_fraction": 0.2
}  # fmt: skip

HASH = """
import json, sys
from decaystudy.data.config import DataConfig
from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.cache.build import Tokenization
from decaystudy.data.stats import stream_hash
from decaystudy.data.stream.order import TokenStream
from decaystudy.errors import UserError
task = json.loads(sys.argv[1])
config = DataConfig(**task["config"])
try:
    corpus = Corpus.open(config)
    stream = TokenStream(
        corpus, seed=0, sequence_length=config.sequence_length, held_out_share=config.held_out_share
    )
    if task["ahead"]:
        process = Tokenization(config, stream.shard_order(0).tolist(), None, alone=True)
    answer = {"first": stream_hash(stream, 1000), "revision": corpus.source.revision}
    answer |= {"tokens": stream.epoch_tokens(), "hash": stream_hash(stream, 2 * stream.epoch_tokens())}
    if task["ahead"]:
        process.stop()
except UserError as error:
    answer = {"error": str(error)}
print(json.dumps(answer))
"""


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    )
    fast.train_from_iterator(random_texts(100), trainer)
    files = {
        f"sample/{i:03d}.parquet": parquet(
            [{"text": text, "id": f"{i}/{j}"} for j, text in enumerate(random_texts(40, i))], row_group_size=15
        )
        for i in range(PARTS)
    }
    broken = {"broken/0.parquet": files["sample/000.parquet"][:-100]}
    lines = [{"body": text} for text in random_texts(60, 99)]
    packed = [
        gzip.compress("".join(json.dumps(row) + "\n" for row in half).encode()) for half in (lines[::2], lines[1::2])
    ]
    server = LoopbackHub(
        {
            PAGES: {"README.md": README.encode(), **files, **broken},
            "datasets/lab/lines": {f"train-{i}.jsonl.gz": content for i, content in enumerate(packed)},
            "models/lab/bpe": {
                "tokenizer.json": fast.to_str().encode(),
                "tokenizer_config.json": b'{"eos_token": "<end>"}',
            },
        }
    )
    yield server
    server.stop()


@pytest.fixture
def hurried(tmp_path: Path) -> Path:
    """A folder whose sitecustomize makes every process that starts with it take short pauses."""
    folder = tmp_path / "hurried"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, time\n"
        "nap, longest = time.sleep, float(os.environ.get('LONGEST_NAP', 0.02))\n"
        "time.sleep = lambda seconds: nap(min(seconds, longest))\n"
    )
    return folder


class Reader:
    """Runs the stream in processes of their own, as a hub's address is read when its library is imported."""

    def __init__(self, hub: LoopbackHub, hurried: Path, tmp_path: Path):
        self.hub, self.hurried, self.tmp_path = hub, hurried, tmp_path

    def start(
        self, cache: str = "cache", ahead: bool = False, environment: dict[str, str] | None = None, **settings: Any
    ):
        chosen = {
            "source": "hub",
            "name": "lab/pages",
            "config": "sample",
            "tokenizer": "lab/bpe",
            "sequence_length": 16,
        }
        task = {"config": {**chosen, "validation_fraction": 0.1, **settings}, "ahead": ahead}
        variables = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.hurried), str(ROOT)]),
            "DECAYSTUDY_CACHE": str(self.tmp_path / cache),
            "HF_HOME": str(self.tmp_path / f"{cache}-hf"),
            "HF_ENDPOINT": self.hub.url,
            "HF_HUB_DISABLE_XET": "1",
            **(environment or {}),
        }
        command = [sys.executable, "-c", HASH, json.dumps(task)]
        return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __call__(self, *args: Any, **settings: Any) -> dict[str, Any]:
        process = self.start(*args, **settings)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return json.loads(out.splitlines()[-1])


@pytest.fixture
def read(hub: LoopbackHub, hurried: Path, tmp_path: Path) -> Reader:
    return Reader(hub, hurried, tmp_path)


def parts_served(hub: LoopbackHub) -> list[tuple[str, str]]:
    return [request for request in hub.requests if request[0].startswith("sample/")]


@pytest.mark.long
def test_a_bad_network_changes_nothing(hub: LoopbackHub, read: Reader) -> None:
    calm = read("calm")
    assert calm["revision"] == hub.commit(PAGES) and calm["tokens"] > 1000
    hub.fail_every = 5
    assert read("refused") == calm
    hub.fail_every, hub.cut_after = 0, 30
    assert "run the same command again when the network is back" in read("cut")["error"]
    made = {path.name for path in (read.tmp_path / "cut" / "tokens").glob("*/0*.bin")}
    assert 0 < len(made) < PARTS
    hub.cut_after = None
    assert hub.down.wait(10)
    hub.start()
    hub.requests.clear()
    assert read("cut") == calm
    again = {f"{path.removeprefix('sample/')[:3]:0>5}.bin" for path, _ in parts_served(hub)}
    assert again and not again & made  # nothing that was tokenized is read again


def test_the_cache_answers_without_the_hub_at_the_revision_pinned_at_first(hub: LoopbackHub, read: Reader) -> None:
    first = read()
    hub.repositories[PAGES]["sample/999.parquet"] = parquet([{"text": "new", "id": "new"}], 1)
    assert hub.commit(PAGES) != first["revision"]
    hub.requests.clear()
    assert read() == first and not hub.requests
    hub.stop()
    assert read(environment={"HF_HUB_OFFLINE": "1"}) == first
    offline = read("other", environment={"HF_HUB_OFFLINE": "1"})
    assert "offline mode is on" in offline["error"]


@pytest.mark.slow
def test_one_process_tokenizes_while_several_read(hub: LoopbackHub, read: Reader) -> None:
    calm = read("calm")
    hub.requests.clear()
    readers = [read.start("shared", ahead=True) for _ in range(2)]
    answers = [reader.communicate(timeout=120)[0] for reader in readers]
    assert [json.loads(answer.splitlines()[-1]) for answer in answers] == [calm, calm]
    asked_twice = [request for request, times in Counter(parts_served(hub)).items() if times > 1 and request[1]]
    footers = len({path for path, _ in parts_served(hub)})
    assert (
        len(asked_twice) <= footers
    )  # only a file's end is read twice: by the survey and by the process that tokenizes


def test_other_formats_come_through_the_datasets_library(hub: LoopbackHub, read: Reader) -> None:
    answer = read(**LINES)
    assert answer["tokens"] > 1000


@pytest.mark.slow
def test_a_group_is_what_the_column_says(hub: LoopbackHub, read: Reader) -> None:
    """Where it says the same as the id, by which a document is held out otherwise, the same tokens are."""
    rows = [{"text": text, "id": f"{i}", "site": f"{i}"} for i, text in enumerate(random_texts(80))]
    hub.repositories["datasets/lab/sites"] = {"train-0.parquet": parquet(rows, 20)}
    hub.repositories["datasets/lab/site"] = {"train-0.parquet": parquet([{**row, "site": 7} for row in rows], 20)}
    alone, grouped = (read(name="lab/sites", config=None, group=group) for group in (None, "site"))
    assert grouped == alone and grouped["tokens"] > 500
    one = read(name="lab/site", config=None, group="site")
    assert one["tokens"] > grouped["tokens"], "of one site nothing is held out, or all"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"config": "sampel"}, "unknown configuration of the dataset lab/pages 'sampel': did you mean 'sample'"),
        ({"config": None}, "the dataset lab/pages needs --data.config: choose from sample, broken"),
        ({"split": "test"}, "unknown split of the dataset lab/pages 'test'"),
        ({"column": "content"}, "has no column 'content': choose --data.column from text, id"),
        ({"group": "site"}, "has no column 'site': choose --data.group from text, id"),
        ({**LINES, "group": "site"}, "the dataset lab/lines has no column 'site': choose --data.group from body"),
        ({"name": "lab/page"}, "could not open the dataset lab/page: "),
        ({"revision": "v7"}, "could not open the dataset lab/pages: "),
        ({"tokenizer": "lab/bep"}, "there is no tokenizer 'lab/bep'"),
        ({"config": "broken"}, "broken/0.parquet of the dataset lab/pages is not a sound parquet file"),
    ],
)
@pytest.mark.slow
def test_what_is_wrong_is_said_in_one_sentence(read: Reader, settings: dict[str, Any], message: str) -> None:
    error = read(**settings)["error"]
    assert message in error and "\n" not in error


@pytest.mark.long
def test_the_hub_may_come_and_go_while_a_run_streams(hub: LoopbackHub, read: Reader) -> None:
    calm = read("calm")
    for cut in (14, 25, 31):
        hub.cut_after = cut
        process = read.start(f"cache{cut}", ahead=True, environment={"LONGEST_NAP": "0.5"})
        while process.poll() is None and not hub.down.wait(0.02):
            pass
        hub.cut_after = None
        if hub.down.is_set():
            hub.start()
        out, err = process.communicate(timeout=120)
        assert json.loads(out.splitlines()[-1]) == calm, err
