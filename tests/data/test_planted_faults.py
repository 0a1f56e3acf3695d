"""Broken files in the cache: they are made again where nothing is lost by it, or named."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.planting import few, plant, said


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """``data-stats`` over a small text, with a cache of its own that is filled already."""
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(tmp_path / "cache"))
    rows = [{"id": str(i), "text": " ".join(f"word{(i * j) % 40}" for j in range(60))} for i in range(60)]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words: list[object] = ["data-stats", "--data.source", "files", "--data.files", tmp_path / "text.jsonl"]
    words += ["--data.tokenizer", "words:30", "--data.sequence_length", 16, "--data.validation_tokens", 200]
    return [*words, "--tokens", 500, "--json"]


def stats(capsys: pytest.CaptureFixture[str], words: list[object]) -> Any:
    from decaystudy.cli import main

    capsys.readouterr()
    assert main([str(word) for word in words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "pattern",
    [
        "tokens/*/manifest.json",
        "tokens/*/00000.json",
        "tokens/*/00000.bin",
        "tokens/*/00000.index",
        "tokenizers/*/about.json",
        "tokenizers/*/tokenizer.json",
        "sources/documents-*.npy",
        "sources/files-*.json",
    ],
)
def test_the_same_tokens_or_a_sentence(
    words: list[object], tmp_path: Path, pattern: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stats(capsys, words)
    (file,) = (tmp_path / "cache").glob(pattern)
    shutil.copytree(tmp_path / "cache", tmp_path / "whole")
    mended = 0
    for content in few(file).values():
        shutil.rmtree(tmp_path / "cache")
        shutil.copytree(tmp_path / "whole", tmp_path / "cache")
        plant(file, content)
        if said(capsys, *words, names=file) == 0:
            mended += 1
            assert stats(capsys, words) == before
        else:
            shutil.rmtree(file.parent)  # as it is told
            assert stats(capsys, words) == before
    assert mended or file.name in ("manifest.json", "tokenizer.json")
