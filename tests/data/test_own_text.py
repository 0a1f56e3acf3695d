"""Text of one's own: by folders, and with what is wrong named before anything is trained."""

import json
import re
from pathlib import Path

import pytest

from decaystudy.cli import main
from decaystudy.data.config import DataConfig
from decaystudy.data.holding_out import few_held_out
from decaystudy.data.patterns import matching
from decaystudy.errors import UserError
from tests.study.small import STUDY

WORDS = "a few words of text that are here to be read, and so on and on, number"


def texts(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"{i}.txt").write_text(f"{WORDS} {i}. " * 30)
    return folder


def rows(file: Path, **fields: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps({**fields, "n": i, "body": f"{WORDS} {i}"}) + "\n" for i in range(40)))
    return file


def test_a_folder_is_all_texts_in_it_and_below(tmp_path: Path) -> None:
    texts(tmp_path / "one", 3)
    texts(tmp_path / "one" / "below", 2)
    rows(tmp_path / "two.jsonl", text="x")
    for name in ("notes.docx", ".hidden.txt", ".git/config.txt", "README"):
        path = tmp_path / "one" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("no text to train on")
    found = [path.relative_to(tmp_path).as_posix() for path in matching(f"{tmp_path / 'one'}/, {tmp_path / '*.jsonl'}")]
    assert found == ["one/0.txt", "one/1.txt", "one/2.txt", "one/below/0.txt", "one/below/1.txt", "two.jsonl"]
    assert matching([str(tmp_path / "one"), str(tmp_path / "one" / "0.txt")]) == matching(str(tmp_path / "one"))


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.docx").write_text("x")
    with pytest.raises(UserError, match=r"the folder --data.files '.*' has no file of a known format: .*\.txt"):
        matching(str(tmp_path))


@pytest.mark.parametrize("verb", ["fit", "run-study"])
def test_a_missing_column_is_named_before_anything_is_trained(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows(tmp_path / "texts" / "a.jsonl", text="x")
    rows(tmp_path / "texts" / "b.jsonl", title="x")
    (tmp_path / "small.yaml").write_text(STUDY)
    words = [verb, *([str(tmp_path / "small.yaml")] if verb == "run-study" else [])]
    words += ["--data.source", "files", "--data.files", str(tmp_path / "texts"), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "b.jsonl has no field 'text' in the line at byte 0: choose --data.column from title, n, body" in said
    assert "started" not in said and not (tmp_path / "out").exists()


def test_few_held_out_documents_are_told_of(tmp_path: Path) -> None:
    few = DataConfig(source="files", files=str(texts(tmp_path / "few", 30)), validation_fraction=0.1)
    said = few_held_out(few)
    assert said is not None and "files-few: 6 of 60 documents are held out, and verdicts take 20 or more" in said
    assert 'says "few documents"' in said and "--data.validation_fraction" in said
    assert few_held_out(DataConfig(source="files", files=few.files, validation_fraction=0.7)) is None
    assert few_held_out(DataConfig()) is None


def test_a_run_says_that_its_held_out_documents_are_few(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ["--data.source", "files", "--data.files", str(texts(tmp_path / "few", 30)), "--data.tokenizer", "bpe:300"]
    assert main(["fit", *words, "--trainer.devices", "7", "--recipe.global_batch_size", "8", "--out", "x"]) == 2
    assert "are held out, and verdicts take 20 or more" in caplog.text


@pytest.mark.parametrize("verb", ["data-stats", "prepare-data"])
def test_who_looks_at_a_text_hears_that_held_out_documents_are_few(
    verb: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [verb, "--data.source", "files", "--data.files", str(texts(tmp_path / "few", 30)), "--data.tokenizer"]
    assert main([*words, "bpe:300", "--data.validation_fraction", "0.1"]) == 0
    assert "6 of 60 documents are held out, and verdicts take 20 or more" in caplog.text
    caplog.clear()
    assert main([*words, "bpe:300", "--data.validation_fraction", "0.7"]) == 0
    assert "held out" not in caplog.text


def test_the_page_plans_its_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "own-text.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n# question.yaml\n(.*?)```", page, re.DOTALL)
    assert block is not None
    (tmp_path / "question.yaml").write_text(block[1])
    texts(tmp_path / "texts", 20)
    assert main(["run-study", str(tmp_path / "question.yaml"), "--dry-run", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "to train: 6 of 6 runs" in said and "half-is-worse" in said
