"""Files that were cut, emptied, altered, or replaced by something else, as disks, editors and other versions do."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from decaystudy.cli import main

BYTES = {
    "empty": b"",
    "not UTF-8": b"\xff\xfe\x00 \x80",
    "a list": b"[]",
    "a number": b"3",
    "null": b"null",
    "an empty mapping": b"{}",
    "nested deeply": b"[" * 100_000,
}
VALUES: dict[str, Any] = {"numbers": 3, "texts": "x", "nulls": None, "lists": [1], "mappings": {"a": 1}}


FEW = ("a folder", "cut", "not UTF-8", "flipped", "nested deeply", "all texts", "all nulls", "an empty mapping")


def few(file: Path) -> dict[str, bytes | None]:
    """Those ``contents`` that differ most from each other."""
    return {kind: content for kind, content in contents(file).items() if kind in FEW}


def contents(file: Path) -> dict[str, bytes | None]:
    """What may stand in the place of a file, by what it is; None is a folder."""
    held = file.read_bytes() or b"lock"
    middle = len(held) // 2
    found: dict[str, bytes | None] = {"a folder": None, "cut": held[:middle], **BYTES}
    found["flipped"] = held[:middle] + bytes([held[middle] ^ 4]) + held[middle + 1 :]
    try:
        values = json.loads(held)
    except ValueError:
        return found
    if isinstance(values, dict):
        found |= {f"all {what}": json.dumps(dict.fromkeys(values, value)).encode() for what, value in VALUES.items()}
        for name in values:
            found[f"without {name}"] = json.dumps({key: item for key, item in values.items() if key != name}).encode()
        found["of another version"] = json.dumps({**values, "schema": 99, "format": 99}).encode()
    return found


def plant(file: Path, content: bytes | None) -> None:
    """Put a content, or a folder, into the place of a file."""
    if file.is_dir():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)


def said(capsys: pytest.CaptureFixture[str], *words: object, names: Path, codes: tuple[int, ...] = (0, 2)) -> int:
    """The exit code of a verb that meets a planted fault: it succeeds, or names the file, or a folder that holds it, in
    one sentence. An exception, which would be a traceback, fails the test."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    errors = capsys.readouterr().err.strip().splitlines()
    assert code in codes, (code, errors)
    assert not any("Traceback" in line for line in errors)
    if code == 2:
        assert len(errors) <= 6 and errors[-1].startswith("decaystudy: "), errors
        assert str(names) in errors[-1] or str(names.parent) in errors[-1], errors[-1]
    return code
