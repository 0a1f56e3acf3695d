"""A run's folder: states, locks, and files that are whole or absent."""

import fcntl
import multiprocessing
import os
import signal
import time

import pytest

from decaystudy.errors import UserError
from decaystudy.io import read_mapping, write_json
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.records import claim


def hold(path, ready):
    folder = RunFolder(path)
    with folder.locked():
        folder.write_status("running", step=3)
        ready.set()
        time.sleep(60)


def test_states(tmp_path):
    folder = RunFolder(tmp_path / "a" / "run")
    assert folder.state() == "planned"
    folder.create()
    ready = multiprocessing.get_context("fork").Event()
    process = multiprocessing.get_context("fork").Process(target=hold, args=(folder.path, ready))
    process.start()
    assert ready.wait(20)
    assert folder.state() == "running" and folder.held()
    with pytest.raises(UserError, match="being trained by process"), folder.locked():
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    # The kernel lets go at once: no waiting for a heartbeat to grow old.
    assert folder.state() == "killed" and not folder.held()
    folder.write_status("diverged", step=4)
    assert folder.state() == "diverged"


def test_a_run_on_another_host_is_judged_by_its_heartbeat(tmp_path):
    folder = RunFolder(tmp_path)
    write_json(folder.status, {"state": "running", "host": "elsewhere", "heartbeat": time.time() - 10})
    assert folder.state() == "running"
    for jump in (-1000, 1000, 1e9):  # a heartbeat of the future is that of a clock that has jumped
        write_json(folder.status, {"state": "running", "host": "elsewhere", "heartbeat": time.time() + jump})
        assert folder.state() == "killed"


def test_cut_files_count_as_absent(tmp_path):
    path = tmp_path / "result.json"
    path.write_text('{"status": "fin')
    assert read_mapping(path) is None
    write_json(path, {"a": 1})
    assert read_mapping(path) == {"a": 1} and [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_unwritable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another --out"):
        RunFolder(tmp_path / "file" / "run").create()


def test_an_empty_folder_is_removed_and_no_other(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    with RunFolder(folder.path).locked():
        folder.remove_if_empty()
    assert folder.checkpoints.is_dir(), "somebody holds it"
    folder.remove_if_empty()
    assert not folder.path.exists()
    folder.remove_if_empty()
    folder.create()
    folder.config.write_text("seed: 0")
    folder.remove_if_empty()
    assert folder.checkpoints.is_dir()


def test_a_run_that_begins_as_its_empty_folder_is_being_removed(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    (folder.path / "lock").touch()
    plain = fcntl.flock

    def begins(*arguments):
        folder.config.write_text("seed: 0")
        plain(*arguments)

    monkeypatch.setattr(fcntl, "flock", begins)
    folder.remove_if_empty()
    assert folder.config.exists() and folder.checkpoints.is_dir()


def test_a_lock_that_was_removed_before_it_was_taken_is_made_again(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    plain, removed = fcntl.flock, []

    def late(*arguments):
        if not removed:
            removed.append(folder.path.joinpath("lock").unlink())
        plain(*arguments)

    monkeypatch.setattr(fcntl, "flock", late)
    with folder.locked():
        assert removed and not folder.lost() and RunFolder(folder.path).held()


@pytest.mark.parametrize("changes", [1, 1000])
def test_a_file_system_whose_inode_numbers_change(changes, tmp_path, monkeypatch):
    """It is not this process's own lock that is met then."""
    folder = RunFolder(tmp_path)
    plain, left = os.path.samestat, [changes]

    def changing(one, other):
        left[0] -= 1
        return left[0] < 0 and plain(one, other)

    monkeypatch.setattr(os.path, "samestat", changing)
    if changes == 1:
        with folder.locked():
            assert RunFolder(tmp_path).held()
    else:
        with pytest.raises(UserError, match="is another file each time"), folder.locked():
            pass
    assert not folder.held()


def test_a_folder_keeps_to_its_run(tmp_path):
    folder = RunFolder(tmp_path)
    folder.create()
    claim(folder, RunConfig.build("tiny"))
    claim(folder, RunConfig.build("tiny", trainer={"devices": 2}))
    with pytest.raises(UserError, match=r"model.decay is 'mamba2' there and 'gla' here"):
        claim(folder, RunConfig.build("tiny", model={"decay": "gla"}))
