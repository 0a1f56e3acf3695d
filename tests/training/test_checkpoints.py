"""Checkpoints that are cut, changed, or have no room: named, and the one before is used; and folders that vanish."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import zipfile

import pytest
import torch

from decaystudy.errors import Failure
from decaystudy.training import full_disk
from decaystudy.training.checkpoints import fault, write_checksums
from tests.training import small


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert small.fit(out) == 0
    return small.numbers(out)


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A run with checkpoints at steps 4 and 7."""
    with monkeypatch.context() as patch:
        small.at_step(patch, 7, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert small.fit(tmp_path / "run") == 143
    assert small.saved(tmp_path / "run") == ["step=4.ckpt", "step=7.ckpt"]
    return tmp_path / "run"


def cut(path):
    os.truncate(path, path.stat().st_size * 2 // 3)


def flip(path, at=0.4):
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def junk(path):
    path.write_bytes(random.Random(0).randbytes(10_000))


@pytest.mark.parametrize("harm", [cut, flip, empty, junk])
def test_a_broken_checkpoint_is_named_and_the_one_before_used(harm, stopped, undisturbed, caplog):
    """And set aside: it may still be on its way into the folder."""
    path = stopped / "checkpoints" / "step=7.ckpt"
    harm(path)
    content = path.read_bytes()
    assert small.fit(stopped) == 0
    assert "step=7.ckpt is broken" in caplog.text and "step 4" in caplog.text
    assert small.numbers(stopped) == undisturbed
    assert path.with_name("step=7.ckpt.other").read_bytes() == content


def others(path):
    """The checkpoint of a run that differs in its seed only."""
    out = path.parents[2] / "other"
    assert small.fit(out, "--seed", "1", "--trainer.max_steps", "7") == 0
    shutil.copy(out / "checkpoints" / "step=7.ckpt", path)


class Dangerous:
    def __reduce__(self):
        return os.system, ("touch owned",)


def pickled(path):
    torch.save({"state_dict": Dangerous()}, path)


@pytest.mark.parametrize(("harm", "said"), [(others, "is another run's"), (pickled, "is broken (Weights only load")])
def test_what_only_looks_like_a_checkpoint_of_the_run(harm, said, stopped, undisturbed, caplog, monkeypatch):
    """It is set aside, for it may be all that another run has."""
    monkeypatch.chdir(stopped)
    planted = stopped / "checkpoints" / "step=7.ckpt"
    harm(planted)
    content, before = planted.read_bytes(), planted.with_name("step=7.ckpt.other")
    before.write_bytes(b"set aside earlier")
    assert small.fit(stopped) == 0
    assert f"step=7.ckpt {said}" in caplog.text and "step 4" in caplog.text
    assert small.numbers(stopped) == undisturbed and not (stopped / "owned").exists()
    assert planted.with_name("step=7.ckpt.other-2").read_bytes() == content
    assert before.read_bytes() == b"set aside earlier"


def test_a_sharded_checkpoint_of_another_run_is_set_aside(stopped, undisturbed, caplog):
    planted = stopped / "checkpoints" / "step=9.ckpt"
    planted.mkdir()
    torch.save({"decaystudy_identity": "0" * 12}, planted / "meta.pt")
    (planted / "__0_0.distcp").write_bytes(b"its weights")
    write_checksums(planted)
    content = {path.name: path.read_bytes() for path in planted.iterdir()}
    assert small.fit(stopped) == 0
    assert "step=9.ckpt is another run's" in caplog.text and "step 7" in caplog.text
    assert small.numbers(stopped) == undisturbed
    aside = planted.with_name("step=9.ckpt.other")
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == content


def test_an_earlier_checkpoint_of_another_run_is_set_aside_too(stopped, undisturbed, caplog):
    """Or it would be removed when the run has written two of its own."""
    planted = stopped / "checkpoints" / "step=2.ckpt"
    others(planted)
    content = planted.read_bytes()
    assert small.fit(stopped) == 0
    assert "step=2.ckpt is another run's" in caplog.text and "trying" not in caplog.text
    assert small.numbers(stopped) == undisturbed
    assert planted.with_name("step=2.ckpt.other").read_bytes() == content
    assert small.saved(stopped) == ["step=12.ckpt", "step=2.ckpt.other"]


def test_a_run_that_resumes_at_its_last_step_sets_aside_too(stopped, undisturbed):
    """It was killed before it wrote its result, and takes no step any more."""
    assert small.fit(stopped) == 0
    (stopped / "result.json").unlink()
    planted = stopped / "checkpoints" / "step=20.ckpt"
    others(planted)
    assert small.fit(stopped) == 0
    assert small.numbers(stopped)["model.safetensors"] == undisturbed["model.safetensors"]
    assert small.saved(stopped) == ["step=12.ckpt", "step=20.ckpt.other"]


UNREAD = {
    "stale": OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
    "memory": MemoryError(),
    "mmap": RuntimeError("unable to mmap 400 bytes from file <x>: Cannot allocate memory (12)"),
}


@pytest.mark.parametrize(
    ("where", "what"), [("load", "stale"), ("load", "memory"), ("load", "mmap"), ("checksums", "stale")]
)
def test_a_checkpoint_that_cannot_be_read_now_is_kept(where, what, stopped, undisturbed, monkeypatch, capsys):
    """A file server that doesn't answer says nothing about what the file holds."""
    content = {path.name: path.read_bytes() for path in (stopped / "checkpoints").iterdir()}

    def fails(*arguments, **more):
        raise UNREAD[what]

    with monkeypatch.context() as patch:
        if where == "load":
            patch.setattr(torch, "load", fails)
        else:
            patch.setattr(zipfile.ZipFile, "testzip", fails)
        assert small.fit(stopped) == 1
    said = capsys.readouterr().err
    assert "step=7.ckpt cannot be read (" in said and "Traceback" not in said and len(said.splitlines()) <= 6
    assert {path.name: path.read_bytes() for path in (stopped / "checkpoints").iterdir()} == content
    assert small.fit(stopped) == 0
    assert small.numbers(stopped) == undisturbed


def test_without_a_whole_checkpoint_the_run_starts_again(stopped, undisturbed, caplog):
    for step in (4, 7):
        flip(stopped / "checkpoints" / f"step={step}.ckpt")
    assert small.fit(stopped) == 0
    assert "step=7.ckpt is broken" in caplog.text and "step=4.ckpt is broken" in caplog.text
    assert small.numbers(stopped) == undisturbed


def test_any_changed_byte_of_the_content_is_found(stopped, tmp_path):
    """Bytes between the records mean nothing; of those that torch reads, none may change unseen."""
    path = stopped / "checkpoints" / "step=7.ckpt"
    assert fault(path) is None
    whole = torch.load(path, weights_only=True)["state_dict"]
    content, rng = path.read_bytes(), random.Random(1)
    found = 0
    for _ in range(60):
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        other = tmp_path / "other.ckpt"
        other.write_bytes(changed)
        if fault(other) is not None:
            found += 1
            continue
        got = torch.load(other, weights_only=True)["state_dict"]
        assert all(torch.equal(whole[name], got[name]) for name in whole)
    assert found > 50


def test_a_checkpoint_that_is_gone_is_no_link_to_a_disk_that_is(tmp_path):
    """A link whose target is away for now may lead to the only copy."""
    path = tmp_path / "step=7.ckpt"
    assert fault(path) == "it is gone"
    path.symlink_to(tmp_path / "unmounted" / "step=7.ckpt")
    with pytest.raises(Failure, match=r"step=7.ckpt cannot be read \(no such file or directory\)"):
        fault(path)


def test_unfinished_files_are_tidied_away(stopped):
    (stopped / "checkpoints" / ".step=8.ckpt.elsewhere.123.tmp").write_bytes(b"half")
    assert small.fit(stopped) == 0
    assert small.saved(stopped) == ["step=12.ckpt"]


@pytest.fixture
def disk(tmp_path):
    """A file system of 2.5 MB, on which one checkpoint has room and two have not."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_one_sentence(disk, undisturbed, tmp_path, capsys):
    assert small.fit(disk / "run") == 1
    said = capsys.readouterr().err
    assert "no space left on the disk" in said and "resumes at step 4" in said and "Traceback" not in said
    assert small.saved(disk / "run") == ["step=4.ckpt"] and fault(disk / "run" / "checkpoints" / "step=4.ckpt") is None
    shutil.copytree(disk / "run", tmp_path / "run")  # where there is room
    assert small.fit(tmp_path / "run") == 0
    assert small.numbers(tmp_path / "run") == undisturbed


def test_the_disk_that_is_full_is_named_and_not_another(disk, tmp_path, monkeypatch):
    monkeypatch.setattr(full_disk, "SHARED_MEMORY", disk)
    assert full_disk.full_place(tmp_path) == tmp_path, "none is full any more: that of the run is the likeliest"
    (disk / "filling").write_bytes(bytes(2_000_000))
    assert full_disk.full_place(tmp_path) == disk
    assert full_disk.full_place(disk / "filling") == disk / "filling"
    monkeypatch.setattr(full_disk, "SHARED_MEMORY", tmp_path)
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(disk / "cache" / "of-mine"))
    assert full_disk.full_place(tmp_path) == disk, "in which the cache was to be made"


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EDQUOT, "the quota on the disk of {} is used up: remove files there or have it raised, and the same"),
        (errno.EFBIG, "a file of {} would be larger than is allowed: raise the limit (ulimit -f), or move the folder"),
        (errno.ENOSPC, "no space left on the disk of {}: make room there, and the same command resumes at step 4"),
    ],
)
def test_what_has_no_room_is_told_by_its_kind(number, says, tmp_path, monkeypatch, capsys):
    def fail():
        raise OSError(number, os.strerror(number))

    small.at_step(monkeypatch, 6, fail)
    assert small.fit(tmp_path / "run") == 1
    assert says.format(tmp_path / "run") in capsys.readouterr().err


@pytest.mark.slow
def test_a_shared_memory_without_room_is_named(tmp_path):
    """In which the processes that load batches have their locks."""
    words = [sys.executable, "-m", "decaystudy", "fit", *small.SETTINGS, "--data.num_workers", "2"]
    script = 'mount -t tmpfs -o size=4k tmpfs /dev/shm && exec "$@"'
    command = ["unshare", "-m", "bash", "-c", script, "-", *words, "--out", tmp_path / "run"]
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "no space left on the disk of /dev/shm: make room there, and the same command starts" in done.stderr


def test_a_folder_that_is_removed_while_it_trains(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    small.at_step(monkeypatch, 6, lambda: shutil.rmtree(out))
    assert small.fit(out) == 1
    said = capsys.readouterr().err
    assert "was removed while the run trained" in said and "Traceback" not in said
    assert not (out / "result.json").exists()


def test_a_folder_that_another_run_has_taken_is_left_alone(tmp_path, monkeypatch, capsys):
    """Someone removes the folder of a run that goes on in the background, and starts another run there."""
    out = tmp_path / "run"
    other = {"config.yaml": b"seed: 1", "lock": b"", "status.json": b"{}", "metrics.csv": b"step,train/loss\n2,1.0\n"}

    def replace():
        shutil.rmtree(out)
        (out / "checkpoints").mkdir(parents=True)
        for name, content in other.items():
            (out / name).write_bytes(content)

    small.at_step(monkeypatch, 5, replace)
    assert small.fit(out) == 1
    said = capsys.readouterr().err
    assert "was replaced while the run trained: give this run another --out" in said and "Traceback" not in said
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == other
    assert small.saved(out) == []
