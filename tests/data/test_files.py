"""Local files of every format, cut into parts without losing or doubling a document, however odd."""

import codecs
import gzip
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import zstandard
from pyarrow.parquet import write_table

from decaystudy.data import DataConfig
from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.patterns import matching
from decaystudy.data.registry import SOURCES
from decaystudy.data.sources.base import Document, Source
from decaystudy.errors import UserError
from tests.data.conftest import first_of, random_texts
from tests.data.loopback import parquet
from tests.data.test_stream import open_stream, split_documents
from tests.rights import without_rights

ODD = ["", " ", "\x00\x01\ufffe", "a" * 200_000, "👩‍👩‍👧‍👦 ﷽ \u202e‮", "<|endoftext|>", "\r\n\r\n", "x\ud800y"]


def documents(source: Source) -> list[Document]:
    return [document for part in source.parts() for document in source.documents(part)]


def opened(pattern: Path, **settings: str) -> Source:
    config = DataConfig(source="files", files=str(pattern), **settings)
    config.validate()
    return SOURCES["files"].open(config)


@pytest.fixture
def folder(cache: Path, tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_each_format_gives_the_same_documents(folder: Path, suffix: str) -> None:
    rows = [{"content": text, "id": i} for i, text in enumerate([*random_texts(50), *ODD[:-1]])]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if suffix == ".jsonl.zst":
        content = zstandard.compress(lines[:1000]) + zstandard.compress(lines[1000:])  # two frames
    else:
        content = {".jsonl": lines, ".jsonl.gz": gzip.compress(lines)}.get(suffix) or parquet(rows, 13)
    (folder / f"a{suffix}").write_bytes(content)
    found = documents(opened(folder / "*", column="content"))
    assert found == [Document(str(row["id"]), row["content"]) for row in rows]


@pytest.mark.parametrize("size", [50, 333, 1000, 10**6])
def test_byte_ranges_take_every_line_once(folder: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decaystudy.data.sources.files.PART_BYTES", size)
    texts = random_texts(40)
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    source = opened(folder / "a.jsonl")
    assert [document.text for document in documents(source)] == texts
    assert size == 10**6 or len(source.parts()) > 3


def test_parquet_parts_are_runs_of_row_groups(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decaystudy.data.sources.files.PART_BYTES", 5000)
    texts = random_texts(100)
    (folder / "a.parquet").write_bytes(parquet([{"text": text} for text in texts], 5))
    source = opened(folder / "*.parquet")
    assert [document.text for document in documents(source)] == texts and 1 < len(source.parts()) < 20


def test_small_text_files_share_a_part_and_are_a_document_each(folder: Path) -> None:
    for i, text in enumerate(["one", "two", "drei ß"]):
        (folder / f"{i}.txt").write_text(text)
    (folder / "9.txt").write_bytes(codecs.BOM_UTF8 + b"marked")
    source = opened(folder / "**" / "*.txt")
    assert len(source.parts()) == 1
    names = [document.id for document in documents(source)]
    assert names == ["0.txt", "1.txt", "2.txt", "9.txt"]
    assert documents(source)[3].text == "marked"


def test_odd_documents_pass_through_the_whole_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decaystudy.data.sources.files.SHORTEST_PIECE", 10**6)
    texts = [*ODD, *random_texts(50)]
    (folder / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    config = DataConfig(source="files", files=str(folder / "a.jsonl"), tokenizer="bpe:300", sequence_length=16)
    config = replace(config, validation_fraction=0.2)
    stream = open_stream(config)
    tokenizer = stream.corpus.tokenizer
    epoch = split_documents(stream.tokens(0, stream.epoch_tokens()), tokenizer.eos_id)
    decoded = sorted(tokenizer.decode(ids[:-1]) for ids in epoch)
    held = first_of(texts, 0.2)
    kept = [text.replace("\ud800", "\ufffd") for text in texts if text not in held]
    assert decoded == sorted(kept)


def test_changed_files_are_another_revision(folder: Path) -> None:
    (folder / "a.txt").write_text("one")
    first = opened(folder / "a.txt").revision
    (folder / "a.txt").write_text("another")
    assert opened(folder / "a.txt").revision != first


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"body": "x"}\n', "has no field 'text' in the line at byte 0: choose --data.column from body"),
        ("a.jsonl", b'{"text": "x"}\nnot json\n', "has no JSON object in the line at byte 14"),
        ("a.jsonl", b"[1, 2]\n", "has no JSON object"),
        ("a.doc", b"x", "has no known format: use .jsonl"),
        ("a.parquet", b"PAR1 no", "is not a sound parquet file"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 1000, mtime=0)[:-20], "is cut or damaged"),
        ("a.jsonl", b"", "holds no documents"),
        ("a.parquet", parquet([{"body": "x"}], 1), "has no column 'text': choose --data.column from body"),
        ("b.txt", b"x", "no file matches --data.files"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    from decaystudy.data.prepare import prepare

    pattern = folder / "a*"
    with pytest.raises(UserError) as caught:
        prepare(DataConfig(source="files", files=str(pattern), tokenizer="bpe:300"), workers=1)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_local_tokenizer_by_folder(config: DataConfig, tmp_path: Path) -> None:
    trained = Corpus.open(config).tokenizer
    local = replace(config, tokenizer=str(trained.folder))
    other = Corpus.open(local).tokenizer
    text = random_texts(9)[-1]
    assert other.encode(text) == trained.encode(text) and other.eos_id == trained.eos_id
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="tokenizer"):
        Corpus.open(replace(config, tokenizer=str(tmp_path / "empty")))


def test_more_than_65536_tokens_take_four_bytes(config: DataConfig) -> None:
    tokenizer = Corpus.open(config).tokenizer
    tokenizer.vocab_size = 2**16 + 1
    assert tokenizer.dtype == np.uint32 and tokenizer.encode_documents(["a b"])[0].dtype == np.uint32


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_zstd_file_that_is_cut_is_not_taken_for_a_whole_one(folder: Path, name: str) -> None:
    """Between the lines of json, and anywhere in a text, the cut would not be seen in what is read."""
    texts = random_texts(3000)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    whole = zstandard.compress(lines)
    (folder / f"{name}.zst").write_bytes(whole)
    assert sum(len(document.text) for document in documents(opened(folder / "*"))) >= sum(map(len, texts))
    for packed in (whole[: len(whole) // 2], whole[:-1], whole + whole[:5]):
        (folder / f"{name}.zst").write_bytes(packed)
        with pytest.raises(UserError, match=r"is cut or damaged \(it ends within a zstd frame\): fetch or write it"):
            documents(opened(folder / "*"))


def test_two_columns_of_one_name(folder: Path) -> None:
    table = pyarrow.table([pyarrow.array(["a b"] * 9), pyarrow.array(["c d"] * 9)], names=["text", "text"])
    write_table(table, folder / "a.parquet")
    with pytest.raises(UserError, match="has 2 columns 'text', and which is meant cannot be told: rename or drop one"):
        opened(folder / "*")


@pytest.mark.parametrize("pattern", ["", "/*/*.txt", "/**/*.txt"])
def test_a_folder_that_cannot_be_looked_into_is_not_passed_over(folder: Path, pattern: str) -> None:
    for place in (folder / "open", folder / "shut"):
        place.mkdir()
        for number, text in enumerate(random_texts(60)):
            (place / f"{number}.txt").write_text(text)
    (folder / "shut").chmod(0)
    words = [
        "data-stats",
        "--data.source",
        "files",
        "--data.files",
        f"{folder}{pattern}",
        "--data.tokenizer",
        "bpe:300",
    ]
    code, said = without_rights([sys.executable, "-m", "decaystudy", *words], folder / "cache")
    assert code == 2 and "Traceback" not in said
    assert f"cannot look into {folder / 'shut'}, where --data.files leads (permission denied): mend" in said


LOOK = """
import json, sys
from decaystudy.data.patterns import matching
from decaystudy.errors import UserError
found = {}
for pattern in sys.argv[1:]:
    try:
        found[pattern] = [str(path) for path in matching(pattern)]
    except UserError as error:
        found[pattern] = str(error)
print(json.dumps(found))
"""


def test_a_glob_needs_the_right_to_list_only_where_it_lists(folder: Path) -> None:
    """Places without the rights that a pattern needs are told of; those that it needs none of stop nobody."""
    for name in ("disk/open/part", "disk/lost+found/part", "many/open/part", "many/shut/part", "way/part", "list"):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.txt").write_text("some words")
    for name, rights in (("disk/lost+found", 0), ("many/shut", 0), ("way", 0o111), ("list", 0o444)):
        (folder / name).chmod(rights)
    fine = {
        "disk": "disk/open/part",
        "disk/*/part/*.txt": "disk/open/part",
        "disk/**/*.txt": "disk/open/part",
        "disk/*/part/a.txt": "disk/open/part",
        "disk/**": "disk/open/part",
        "way/part": "way/part",
        "way/part/*.txt": "way/part",
        "wa[y]/part/a.txt": "way/part",
    }
    refused = {
        "many": "many/shut",
        "many/*/part/*.txt": "many/shut",
        "many/*/part/a.txt": "many/shut",
        "many/**": "many/shut",
        "many/**/a.txt": "many/shut",
        "many/shut/part/*.txt": "many/shut",
        "many/shut/part/a.txt": "many/shut",
        "way": "way",
        "way/*/a.txt": "way",
        "way/**/a.txt": "way",
        "list": "list",
        "list/*": "list",
        "disk/lost+found/*/*.txt": "disk/lost+found",
    }
    try:
        words = [sys.executable, "-c", LOOK, *(f"{folder / pattern}" for pattern in (*fine, *refused))]
        code, said = without_rights(words, folder / "cache")
    finally:
        for name in ("disk/lost+found", "many/shut", "way", "list"):
            (folder / name).chmod(0o755)
    assert code == 0, said
    found = json.loads(said)
    for pattern, place in fine.items():
        assert found[f"{folder / pattern}"] == [f"{folder / place / 'a.txt'}"], pattern
    for pattern, place in refused.items():
        says = f"cannot look into {folder / place}, where --data.files leads (permission denied): mend its rights"
        assert says in found[f"{folder / pattern}"], pattern


def test_a_disk_gives_everybody_the_same_texts(folder: Path) -> None:
    for name in ("lost+found", "open"):
        (folder / name).mkdir()
        (folder / name / "a.txt").write_text("some words")
    for pattern in ("", "*/*.txt", "**/*.txt", "*/a.txt"):
        assert matching(str(folder / pattern)) == [folder / "open" / "a.txt"]
    assert matching(str(folder / "lost+found" / "*")) == [folder / "lost+found" / "a.txt"]
