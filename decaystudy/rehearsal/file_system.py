"""What runs, checkpoints and the store ask of the file system under --out, tried with their own code."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from decaystudy.errors import UserError
from decaystudy.formatting import size
from decaystudy.io import link_into_place, move_into_place, write_text
from decaystudy.rehearsal.checks import CheckFailed, Rehearsal
from decaystudy.rehearsal.children import environment
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.lease import latest, take_lease
from decaystudy.study.execution.run_names import RunNames

REPLACEMENTS = 50
NEEDED = 2**28
"""Bytes that a rehearsal takes, with room to spare."""
WRITTEN = 2**24
"""Bytes that are written to measure the disk."""
PATIENCE = 30.0
HOLDER = (
    "import sys, time; from decaystudy.runs.folder import RunFolder\n"
    "with RunFolder(sys.argv[1]).locked(): print('held', flush=True); time.sleep(600)"
)
"""A process that holds a run until it is killed."""


@contextlib.contextmanager
def trying(what: str, advice: str) -> Iterator[None]:
    """Turn what the operating system refuses into a sentence."""
    try:
        yield
    except OSError as error:
        raise CheckFailed(f"{what} fails ({(error.strerror or str(error)).lower()}): {advice}") from error


def rename(rehearsal: Rehearsal) -> str:
    """A file is replaced whole, before the eyes of a reader, and a folder is renamed into its place."""
    folder = _empty(rehearsal, "rename")
    advice = "results and checkpoints are renamed into their place: choose an --out on a file system that renames"
    file, texts = folder / "file", ("a" * 50_000, "b" * 50_000)
    with trying("replacing a file by rename", advice):
        write_text(file, texts[0])
        with _reading(file) as seen:
            for i in range(REPLACEMENTS):
                write_text(file, texts[i % 2])
        if torn := seen - set(texts):
            wrong = "nothing" if None in torn else "half a file"
            raise CheckFailed(f"while a file is replaced by rename a reader sees {wrong}: {advice}")
    whole = folder / "step=1.ckpt"
    with trying("renaming a folder", advice):
        (folder / ".step=1.ckpt.tmp").mkdir()
        (folder / ".step=1.ckpt.tmp" / "part").write_bytes(b"content")
        move_into_place(folder / ".step=1.ckpt.tmp", whole)
        if (whole / "part").read_bytes() != b"content" or sorted(os.listdir(folder)) != ["file", whole.name]:
            raise CheckFailed(f"a renamed folder is not what it was: {advice}")
    (folder / "other").mkdir()
    with contextlib.suppress(OSError):
        move_into_place(folder / "other", whole)
        raise CheckFailed(f"a folder takes the place of one that is not empty, without a word: {advice}")
    return f"a file was replaced {REPLACEMENTS} times before a reader's eyes, and a folder renamed"


def lock(rehearsal: Rehearsal) -> str:
    """A run is held by one process, which loses it when it is killed; and its lease is given once."""
    folder = RunFolder(_empty(rehearsal, "lock"))
    advice = "two processes could train one run: choose an --out on a file system with locks (NFS: mounted with them)"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder.path)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    try:
        assert holder.stdout is not None and holder.stderr is not None
        if holder.stdout.readline().strip() != "held":
            last = holder.stderr.read().strip().splitlines()[-1:] or ["it said nothing"]
            raise CheckFailed(f"a run cannot be locked ({last[0].removeprefix('OSError: ')}): {advice}")
        with trying("locking a run", advice):
            if not folder.held():
                raise CheckFailed(f"a run that another process holds looks free: {advice}")
        with contextlib.suppress(UserError), folder.locked():
            raise CheckFailed(f"two processes hold one run at once: {advice}")
    finally:
        holder.kill()
        holder.communicate()
    _wait_until(lambda: not folder.held(), f"a run stays locked after its process was killed: {advice}")
    with trying("taking a run's lease", advice):
        _lease(folder, advice)
    return "a run is held by one process, free once that is killed, and its lease is given once"


def _lease(folder: RunFolder, advice: str) -> None:
    if not take_lease(folder):
        raise CheckFailed(f"the lease of a new run is not to be had: {advice}")
    number, path = latest(folder)
    assert path is not None
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        raise CheckFailed(f"a file that is made exclusively is made twice: {advice}")
    other = {"host": "another-host", "pid": 1, "time": time.time()}
    (folder.path / f"lease-{number + 1}.json").write_bytes(json.dumps(other).encode())
    if take_lease(folder):
        raise CheckFailed(f"the lease that another host holds is given again: {advice}")


def links(rehearsal: Rehearsal) -> str:
    """A run's name is given once, by a hard link or the store's way without, and symbolic links are replaced."""
    folder = _empty(rehearsal, "links")
    advice = "run-study names and shows its runs by links, fit needs none: choose another --out for studies"
    key = "0123456789ab"
    with trying("naming a run", advice):
        given = [RunNames(folder).give(key, f"{name}-{key}").name for name in ("first", "second")]
        if given != [f"first-{key}"] * 2:
            raise CheckFailed(f"the name of a run is given twice: {advice}")
    for target in ("nowhere", f".names/{key}"):
        with trying("a symbolic link", advice):
            os.symlink(target, folder / ".link")
            move_into_place(folder / ".link", folder / "link")
    if not (folder / "link").is_file():
        raise CheckFailed(f"a symbolic link doesn't lead to its target: {advice}")
    try:
        link_into_place(folder / "link", folder / "hard")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return f"no hard links ({reason}): keep to one host per store when studies begin; symbolic links are replaced"
    return "a run's name is given once, by a hard link, and symbolic links are replaced"


def disk(rehearsal: Rehearsal) -> str:
    """There is room, and what is written comes back."""
    folder = _empty(rehearsal, "disk")
    free = shutil.disk_usage(folder).free
    if free < NEEDED:
        raise CheckFailed(
            f"{size(free)} are free and a rehearsal takes {size(NEEDED)}: make room or choose another --out"
        )
    content = os.urandom(2**20) * (WRITTEN // 2**20)
    began = time.perf_counter()
    with trying(f"writing {size(WRITTEN)}", "make room, or ask for a larger quota"):
        with (folder / "file").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        seconds = time.perf_counter() - began
        if (folder / "file").read_bytes() != content:
            raise CheckFailed("a file doesn't hold what was written to it: choose another --out")
    return f"{size(free)} free, {size(WRITTEN)} written and synced at {size(WRITTEN / max(seconds, 1e-9))}/s"


def folder_sync(rehearsal: Rehearsal) -> str:
    """The names in a folder can be forced to the disk."""
    folder = _empty(rehearsal, "sync")
    (folder / "file").write_bytes(b"content")
    with trying("fsync of a folder", "a power cut may lose a checkpoint there, else runs work: choose another --out"):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return "the names in a folder are forced to the disk"


def _empty(rehearsal: Rehearsal, name: str) -> Path:
    folder = rehearsal.folder / "file-system" / name
    with trying("making a folder", "choose another --out"):
        folder.mkdir(parents=True)
    return folder


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[set[str | None]]:
    """What a thread sees in a file while the block runs; None where there is none."""
    seen: set[str | None] = set()
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                seen.add(file.read_text(encoding="utf-8"))
            except OSError:
                seen.add(None)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        over.set()
        reader.join()


def _wait_until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise CheckFailed(otherwise)
        time.sleep(0.05)
