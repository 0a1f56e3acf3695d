"""Data that people have, through the command line: it is read as what it is, or refused with its place."""

import codecs
import json
import random

import pyarrow
import pytest
from pyarrow import parquet

from decaystudy.cli import main

WORDS = [f"{a}{b}{c}" for a in "bdfglmnprstv" for b in "aeiou" for c in ("", "n", "r", "st")]


def sentence(draw, words=10):
    return " ".join(draw.choices(WORDS, k=words))


@pytest.fixture
def draw():
    return random.Random(5)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def stats(capsys, files, *more, expect=0):
    words = ["data-stats", "--json", "--tokens", "1000", "--data.source", "files", "--data.files", str(files)]
    assert main([*words, "--data.sequence_length", "128", "--data.tokenizer", "bpe:400", *more]) == expect
    said = capsys.readouterr()
    if expect == 0:
        return json.loads(said.out)
    assert said.err.splitlines()[-1].startswith("decaystudy: ") and "Traceback" not in said.err, said.err
    return said.err.splitlines()[-1]


def rows(path, texts, **more):
    path.write_text("".join(json.dumps({"text": text, **more}) + "\n" for text in texts))
    return path


def test_one_text_of_many_lines(tmp_path, draw, capsys, caplog):
    (tmp_path / "a.txt").write_text("\n".join(sentence(draw) for _ in range(3000)))
    facts = stats(capsys, "a.txt")
    assert 50 <= facts["documents"] <= 130, "about a hundred pieces"
    assert abs(facts["validation_documents"] - 0.01 * facts["documents"]) <= 1
    assert caplog.text.count("1 long text becomes") == 1
    wanted = stats(capsys, "a.txt", "--data.validation_fraction", "0.3")
    assert abs(wanted["validation_documents"] - 0.3 * facts["documents"]) <= 1


@pytest.mark.parametrize("share", [0.01, 0.1, 0.37, 0.9])
def test_rows_that_share_an_id(share, tmp_path, draw, capsys, caplog):
    rows(tmp_path / "a.jsonl", (sentence(draw, 40) for _ in range(600)), id="same")
    facts = stats(capsys, "a.jsonl", "--data.validation_fraction", str(share))
    assert facts["documents"] == 600 and abs(facts["validation_documents"] - 600 * share) <= 1
    assert caplog.text.count("599 documents share the id of another") == 1


def test_without_a_wish_enough_is_held_out_to_fill_a_sequence(tmp_path, draw, capsys, caplog):
    caplog.set_level("INFO")
    rows(tmp_path / "a.jsonl", (sentence(draw, 4) for _ in range(300)))
    facts = stats(capsys, "a.jsonl")
    assert facts["validation_sequences"] >= 1 and 3 < facts["validation_documents"] <= 150
    assert "held out to fill a sequence" in caplog.text
    said = stats(capsys, "a.jsonl", "--data.validation_fraction", "0.01", expect=2)
    share = said.partition("raise --data.validation_fraction to ")[2].partition(",")[0]
    assert stats(capsys, "a.jsonl", "--data.validation_fraction", share)["validation_sequences"] >= 1, (
        "the advice works"
    )


def test_equal_rows_stay_on_one_side_and_one_row_is_not_enough(tmp_path, capsys):
    rows(tmp_path / "a.jsonl", ["the same"] * 50, id=3)
    assert "holds one document, of about 3 words, 50 times" in stats(capsys, "a.jsonl", expect=2)
    (tmp_path / "b.txt").write_text("few words")
    assert "give more text" in stats(capsys, "b.txt", expect=2)


def test_a_line_without_end(tmp_path, draw, capsys):
    (tmp_path / "a.txt").write_text(sentence(draw, 200) + " " + "x" * 6_000_000 + "ß" * 5000)
    assert stats(capsys, "a.txt")["documents"] > 90


CODED = {
    "utf-16": (codecs.BOM_UTF16_LE + "Zürich\n".encode("utf-16-le"), "UTF-16"),
    "utf-16, the other end first": (codecs.BOM_UTF16_BE + "Zürich\n".encode("utf-16-be"), "UTF-16"),
    "utf-32": (codecs.BOM_UTF32_LE + "Zürich\n".encode("utf-32-le"), "UTF-32"),
    "utf-16 without a mark": ("plain words\n".encode("utf-16-le"), "NUL at byte 1"),
    "latin-1": (b"good\nZ\xfcrich\n", "not UTF-8 text at byte 6"),
    "cut": ("good\nZürich".encode()[:7], "not UTF-8 text at byte 6"),
    "an image": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not UTF-8 text at byte 0"),
}


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("file", ["a.txt", "a.jsonl", "a.md"])
def test_other_encodings_are_refused_with_file_and_place(name, file, tmp_path, capsys):
    content, says = CODED[name]
    (tmp_path / file).write_bytes(content)
    said = stats(capsys, file, expect=2)
    if file == "a.jsonl" and name in ("latin-1", "cut"):
        assert "no JSON object in the line at byte 0" in said  # its first line is none
    else:
        assert says in said and file in said, said


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("file", ["a.txt", "a.jsonl"])
def test_an_encoding_that_is_named_is_read(encoding, file, tmp_path, draw, capsys):
    lines = [f"Zürich {sentence(draw, 30)}" for _ in range(300)]
    lines = [json.dumps({"text": line}, ensure_ascii=False) for line in lines] if file == "a.jsonl" else lines
    (tmp_path / file).write_bytes("\n".join(lines).encode(encoding))
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / file).write_bytes("\n".join(lines).encode())
    facts = stats(capsys, file, "--data.encoding", encoding)
    plain = stats(capsys, f"plain/{file}")
    assert facts["stream_hash"] == plain["stream_hash"] and facts["documents"] == plain["documents"]


@pytest.mark.parametrize("name", ["latin-17", "rot13", "base64", "hex", "zip", "", "idna\0"])
def test_encodings_that_are_none(name, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("words")
    assert "data.encoding" in stats(capsys, "a.txt", f"--data.encoding={name}", expect=2)


def test_names_with_brackets_and_several_patterns(tmp_path, draw, capsys):
    (tmp_path / "data [v1]").mkdir()
    for name in ("data [v1]/a[1].jsonl", "data [v1]/b.jsonl", "c,d.jsonl", "e.jsonl"):
        rows(tmp_path / name, (sentence(draw, 30) for _ in range(50)))
    for files, documents in {
        "data [v1]/a[1].jsonl": 50,
        "data [v1]/*.jsonl": 100,
        "c,d.jsonl": 50,
        "c,d.jsonl,e.jsonl": None,
        "e.jsonl, data [v1]/*.jsonl": 150,
        "e.jsonl,e.*": 50,
        "**/*.jsonl": 200,
    }.items():
        if documents is None:
            assert "no file matches --data.files 'c'" in stats(capsys, files, expect=2)
        else:
            assert stats(capsys, files)["documents"] == documents, files
    (tmp_path / "c.yaml").write_text("data: {files: ['c,d.jsonl', e.jsonl]}")
    words = ["data-stats", "--json", "--data.source", "files", "--config", "c.yaml", "--data.sequence_length", "128"]
    assert main([*words, "--tokens", "1000", "--data.tokenizer", "bpe:400"]) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 100
    assert stats(capsys, "data [v1]")["documents"] == 100, "a folder"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"text": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply in the line at byte 0"),
        ('{"text": 3}', "holds a number, not text"),
        ('["text"]', "no JSON object"),
        ('{"body": "x"}', "choose --data.column from body"),
        (f'{{"text": {"9" * 5000}}}', "no JSON object"),
        ("nonsense", "no JSON object"),
    ],
)
def test_json_that_is_none(content, says, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(content + "\n")
    assert says in stats(capsys, "a.jsonl", expect=2)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            '{"text": "x", "site": "a"}',
            "a.jsonl has no field 'book' in the line at byte 0: choose --data.group from text",
        ),
        ('{"text": "x", "book": null}', "a.jsonl:1: the field 'book' holds null, not the name of a group"),
        ('{"text": "x", "book": "b"}\n\n{"text": "x", "book": [1]}', "a.jsonl:3: the field 'book' holds a list"),
        ('{"text": "x", "book": true}', "holds true or false"),
        ('{"text": "x", "book": NaN}', "holds a number that is not finite"),
        ('{"text": "two words", "book": 7}\n{"text": "x", "book": 7.0}', "holds one group, of 2 documents and about 5"),
    ],
)
def test_groups_that_are_none(line, says, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(line + "\n")
    assert says in stats(capsys, "a.jsonl", "--data.group", "book", expect=2)


def test_groups_in_parquet_that_are_none(tmp_path, capsys):
    table = pyarrow.table({"text": ["x"] * 9, "book": [*range(8), None]})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=5)
    said = stats(capsys, "a.parquet", "--data.group", "book", expect=2)
    assert "a.parquet, row 4 of row group 1: the field 'book' holds null" in said
    said = stats(capsys, "a.parquet", "--data.group", "bok", expect=2)
    assert "a.parquet has no column 'bok': choose --data.group from text, book" in said


def test_groups_of_what_has_none(tmp_path, draw, capsys):
    (tmp_path / "a.txt").write_text("words")
    assert "a.txt is text without fields" in stats(capsys, "a.txt", "--data.group", "book", expect=2)
    assert "data.group" in stats(capsys, "a.txt", "--data.group", "", expect=2)
    assert main(["data-stats", "--data.group", "book"]) == 2
    said = capsys.readouterr().err
    assert "--data.group means nothing to the source python-docs: it is for fineweb-edu, hub, files" in said
    for book in "ab":
        rows(tmp_path / f"{book}.jsonl", (sentence(draw, 40) for _ in range(99)), book=book)
    facts = stats(capsys, "?.jsonl", "--data.group", "book")
    assert (facts["documents"], facts["validation_documents"], facts["validation_groups"]) == (198, 99, 1)
    said = stats(capsys, "?.jsonl", "--data.group", "book", "--data.tuning", "true", expect=2)
    assert "holds two groups: give text of more" in said
    rows(tmp_path / "c.jsonl", ["few words"], book="c")
    said = stats(capsys, "?.jsonl", "--data.group", "book", "--data.sequence_length", "9000", expect=2)
    assert "raise --data.validation_fraction, a share of its 3 groups" in said


@pytest.mark.parametrize("seed", range(12))
def test_a_parquet_file_with_altered_bytes(seed, tmp_path, draw, capsys):
    table = pyarrow.table({"text": [sentence(draw, 30) for _ in range(400)], "id": [str(i) for i in range(400)]})
    parquet.write_table(table, tmp_path / "a.parquet", compression="zstd" if seed % 2 else "snappy")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    random.seed(seed)
    for place in random.sample(range(4, len(content) - 8), 40):
        content[place] ^= 0xFF
    (tmp_path / "a.parquet").write_bytes(content if seed < 10 else content[: len(content) // 2])
    said = stats(capsys, "a.parquet", expect=2)
    assert "a.parquet" in said and len(said) < 500, said


def tokenizer_file(path, model, **parts):
    from tokenizers import Tokenizer, pre_tokenizers

    fast = Tokenizer(model)
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    for name, part in parts.items():
        setattr(fast, name, part)
    fast.add_special_tokens(["</s>"])
    path.mkdir()
    fast.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text('{"eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}')


def test_tokenizers_that_cannot_read_every_text(tmp_path, draw, capsys):
    from tokenizers import models

    letters = {letter: i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    tokenizer_file(tmp_path / "drops", models.BPE(letters, []))
    tokenizer_file(tmp_path / "raises", models.WordPiece(letters, unk_token="[UNK]"))
    tokenizer_file(tmp_path / "knows", models.WordLevel({**letters, "?": 26}, unk_token="?"))
    (tmp_path / "a.txt").write_text("\n".join(sentence(draw) for _ in range(500)))
    assert "in silence: choose a byte-level one" in stats(capsys, "a.txt", "--data.tokenizer=./drops", expect=2)
    assert "fails on 'Zürich 中文'" in stats(capsys, "a.txt", "--data.tokenizer=./raises", expect=2)
    assert stats(capsys, "a.txt", "--data.tokenizer=./knows")["vocabulary"] == 28


def test_text_without_spaces_takes_up_little_of_a_tokenizers_training(tmp_path, draw, capsys, caplog, monkeypatch):
    """Of two kinds of it, the first fills what is trained on; words count whole."""
    monkeypatch.setattr("decaystudy.data.tokenizers.training.UNSPACED_BYTES", 30_000)
    caplog.set_level("INFO")
    words = [sentence(draw, 12) for _ in range(300)]
    for name, kind in {"one": "ACGT", "lines": "wxyz"}.items():
        letters = "".join(draw.choices(kind, k=200_000))
        step = 76 if name == "lines" else len(letters)
        words.append("\n".join(letters[at : at + step] for at in range(0, len(letters), step)))
    rows(tmp_path / "a.jsonl", words)
    stats(capsys, "a.jsonl")
    assert "1 MB of text without spaces are left out of the tokenizer's training" in caplog.text
    [file] = (tmp_path / "cache" / "tokenizers").glob("bpe-400-*/tokenizer.json")
    learned = {token for token in json.loads(file.read_text())["model"]["vocab"] if len(token) > 1}
    assert any(set(token) <= set("ACGT") for token in learned)
    assert not any(set(token) <= set("wxyz") for token in learned)


def test_text_of_words_trains_a_tokenizer_whole(tmp_path, draw, capsys, caplog, monkeypatch):
    """Long words, ruled lines and scripts without spaces are no text without spaces."""
    monkeypatch.setattr("decaystudy.data.tokenizers.training.UNSPACED_BYTES", 0)
    caplog.set_level("INFO")
    chinese = ["".join(draw.choices("東京大學研究所的線性注意力", k=9)) + "，" for _ in range(200)]
    texts = [f"{sentence(draw)} https://example.org/{'a' * 50}?b={'c' * 50} {'-' * 79} {'=' * 79}" for _ in range(200)]
    rows(tmp_path / "a.jsonl", [*texts, "".join(chinese)])
    stats(capsys, "a.jsonl")
    assert "without spaces" not in caplog.text
