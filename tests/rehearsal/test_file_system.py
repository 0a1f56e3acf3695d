"""What a rehearsal asks of the file system: it passes on this one, and each lack fails by name."""

import errno
import fcntl
import os
import shutil
from collections import namedtuple

import pytest

from decaystudy.cli import main
from decaystudy.rehearsal import file_system
from decaystudy.rehearsal.checks import CheckFailed, Rehearsal
from decaystudy.runs.config import RunConfig


@pytest.fixture
def rehearsal(tmp_path):
    return Rehearsal(RunConfig.build("tiny"), tmp_path, kills=1)


CHECKS = (file_system.rename, file_system.lock, file_system.links, file_system.disk, file_system.folder_sync)


@pytest.mark.parametrize("check", CHECKS)
def test_this_file_system_passes(check, rehearsal):
    assert check(rehearsal)


def refused(*arguments, **settings):
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


def copied(source, target, **settings):
    """A rename as a file system without one might do it: a reader sees half of the file."""
    content = source.read_bytes()
    target.write_bytes(content[: len(content) // 2])
    target.write_bytes(content)
    os.unlink(source)


REPLACE = os.replace


def no_folders(source, target):
    if source.is_dir():
        refused()
    REPLACE(source, target)


def over_folders(source, target):
    shutil.rmtree(target, ignore_errors=True)
    REPLACE(source, target)


Usage = namedtuple("Usage", "free")


@pytest.mark.parametrize(
    ("module", "name", "instead", "check", "says"),
    [
        (os, "replace", refused, file_system.rename, "replacing a file by rename fails (operation not supported)"),
        (os, "replace", copied, file_system.rename, "a reader sees half a file"),
        (os, "replace", no_folders, file_system.rename, "renaming a folder fails"),
        (os, "replace", over_folders, file_system.rename, "a folder takes the place of one that is not empty"),
        (fcntl, "flock", lambda *_: None, file_system.lock, "looks free"),
        (os, "symlink", refused, file_system.links, "a symbolic link fails"),
        (shutil, "disk_usage", lambda _: Usage(2**20), file_system.disk, "1.0 MiB are free"),
        (os, "fsync", refused, file_system.folder_sync, "fsync of a folder fails"),
    ],
)
def test_each_lack_is_named(module, name, instead, check, says, rehearsal, monkeypatch):
    monkeypatch.setattr(module, name, instead)
    with pytest.raises(CheckFailed) as failed:
        check(rehearsal)
    assert says in str(failed.value) and ("--out" in str(failed.value) or "room" in str(failed.value))


def test_without_hard_links_names_are_given_all_the_same(rehearsal, monkeypatch):
    assert "by a hard link" in file_system.links(rehearsal)
    shutil.rmtree(rehearsal.folder / "file-system")
    monkeypatch.setattr(os, "link", refused)
    assert "no hard links (operation not supported): keep to one host" in file_system.links(rehearsal)


def test_a_file_system_without_rename_ends_the_rehearsal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "replace", refused)
    assert main(["rehearse", "--out", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:-1]] == ["FAIL", "pass", "FAIL", *["pass"] * 3, *["----"] * 4]
    assert "replacing a file by rename" in lines[1] and "choose an --out" in lines[1]
    assert all("not run, since rename failed" in line for line in lines[7:11])
    assert lines[-1].startswith("2 of 10 checks failed") and "rename" in lines[-1]
    assert len(list(tmp_path.glob("rehearsal-*"))) == 1, "its files are kept"
