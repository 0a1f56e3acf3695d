"""What a bundle may hold and what may be read from one: nothing of the machine, nothing that has changed."""

import io
import json
import os
import re
import shutil
import socket
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.sharing.archive import pack, unpack
from tests.study import small
from tests.study.bundled import HOSTS, STUDY, call, study_of, texts
from tests.study.planted import plant


def test_a_changed_byte_is_refused(bundled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = bundled.read_bytes()
    for place in (0, 10, 40, 44, *range(50, len(whole), len(whole) // 40), len(whole) - 65, len(whole) - 1):
        bundled.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        call("rejudge", bundled, expect=2)
        said = capsys.readouterr()
        assert said.err.count("\n") == 1 and "bundle" in said.err and not said.out
    for content in (whole[:-1], whole[:2000], b"", b"PK\x03\x04", whole + b"x"):
        bundled.write_bytes(content)
        call("rejudge", bundled, expect=2)
        assert capsys.readouterr().err.count("\n") == 1


def test_nothing_of_the_machine_is_in_it(
    ended: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ended / "out"
    for run in study_of(ended).runs():
        folder = Store(out).find(run)
        if folder is not None:
            status = folder.read_status()
            folder.status.write_text(json.dumps({**status, "host": HOSTS[0]}))
    monkeypatch.chdir(ended)
    call("bundle", "small", "--out", "out")
    found = texts(ended / "small.bundle")
    for word in (*HOSTS, str(ended), str(Path.home()) + "/", socket.gethostname() + '"', "a.txt on node"):
        assert word not in found
    assert "a.txt on HOST (HOST) by USER" in found
    assert not re.search(r"[\"' ](/[\w.-]+)+|[A-Za-z]:\\\\", found)
    assert "safetensors" not in found and len((ended / "small.bundle").read_bytes()) < 40_000
    with zipfile.ZipFile(ended / "small.bundle") as archive, archive.open("arrays.npz") as arrays:
        assert all(one.dtype.kind in "fi" for one in np.load(io.BytesIO(arrays.read()), allow_pickle=False).values())


def test_equal_content_makes_equal_bytes_wherever_it_is(ended: Path) -> None:
    one, other = ended / "one.bundle", ended / "other.bundle"
    call("bundle", "small", "--out", ended / "out", "-o", one)
    shutil.copytree(ended / "out", ended / "elsewhere" / "runs", symlinks=True)
    for file in (ended / "elsewhere").rglob("status.json"):
        status = json.loads(file.read_text())
        file.write_text(json.dumps({**status, "host": "another", "heartbeat": 1.0}))
    call("bundle", "small", "--out", ended / "elsewhere" / "runs", "-o", other)
    assert one.read_bytes() == other.read_bytes()


def test_own_files_are_named_without_their_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts_of = tmp_path / "jane doe" / "texts"
    texts_of.mkdir(parents=True)
    for name in "ab":
        (texts_of / f"{name}.txt").write_text(f"Some words of {name}. " * 400)
    files = (
        f"  data.source: files\n  data.files: ['{texts_of}/a.txt', '{texts_of}/b*.txt']\n  data.tokenizer: bpe:300\n"
    )
    file = small.write_study(tmp_path / "file", STUDY.replace("grid:", f"{files}grid:"))
    study, store = expand(read_study(str(file))), Store(tmp_path / "out")
    plant(study, store, {"gla": 0.05})
    call("run-study", file, "--out", tmp_path / "out")
    call("bundle", "small", "--out", tmp_path / "out", "-o", tmp_path / "small.bundle")
    found = texts(tmp_path / "small.bundle")
    assert "a.txt" in found and "b*.txt" in found
    assert not any(word in found for word in ("jane", "doe/", "texts", "Some words", str(tmp_path)))
    first = json.loads(unpack(tmp_path / "small.bundle")[1]["tiny/runs.json"])[0]
    assert first["config"]["data"]["files"] == ["a.txt", "b*.txt"]
    assert re.fullmatch("[0-9a-f]{32}", first["result"]["data"]["revision"])
    call("rejudge", tmp_path / "small.bundle")


@pytest.mark.parametrize(
    ("manifest", "study"),
    [({"study": "../../evil"}, {"name": "../../evil"}), ({"scales": ["../.."]}, {}), ({}, {"name": "../../evil"})],
)
def test_a_bundle_writes_nowhere_else(
    manifest: dict[str, Any], study: dict[str, Any], bundled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about, members = unpack(bundled)
    about |= manifest
    held = json.loads(members["tiny/study.json"]) | study
    scale = about["scales"][0]
    members |= {f"{scale}/{name}.json": members[f"tiny/{name}.json"] for name in ("runs", "results")}
    members[f"{scale}/study.json"] = json.dumps(held).encode()
    bundled.write_bytes(pack(members, {key: value for key, value in about.items() if key not in ("format", "members")}))
    before = {path for path in bundled.parent.rglob("*")}
    call("rejudge", bundled, "--write", bundled.parent / "a/b/c", expect=2)
    assert capsys.readouterr().err.count("\n") == 1 and {path for path in bundled.parent.rglob("*")} == before


def test_a_bundle_that_does_not_fit_together(bundled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about, members = unpack(bundled)
    study = json.loads(members["tiny/study.json"])
    study["cells"][0]["name"] = "another"
    members["tiny/study.json"] = json.dumps(study).encode()
    bundled.write_bytes(pack(members, {key: value for key, value in about.items() if key not in ("format", "members")}))
    call("rejudge", bundled, expect=2)
    said = capsys.readouterr().err
    assert "the bundle of small doesn't fit together (" in said and said.count("\n") == 1


def test_what_is_no_file_is_not_read(ended: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(ended / "pipe")
    call("rejudge", ended / "pipe", expect=2)
    call("rejudge", "/dev/zero", expect=2)
    call("bundle", "small", "--out", ended / "out", "-o", ended / "pipe", expect=2)
    assert capsys.readouterr().err.count("\n") == 3
