"""STORE/.names/HASH: the name of the folder that holds the run of that hash.

A name is believed only if the folder it names has the run's own hash and lies in the store itself. One that says
anything else, as a power cut may leave it empty, counts as lost: the folder is then found by its own name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from decaystudy.errors import UserError
from decaystudy.io import link_into_place, write_text

_FOLDER = re.compile(r"[^/\0\n]+-([0-9a-f]{12})")


def hash_of(folder: Path) -> str | None:
    """The hash in the name of a run's folder; None for another folder."""
    match = _FOLDER.fullmatch(folder.name)
    return match[1] if match else None


class RunNames:
    """The names in one store."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.path = store / ".names"

    def find(self, key: str) -> Path | None:
        """The folder of the run with that hash; None if it has no name, whether or not the folder is there.

        Raises:
            UserError: the folder is a link, which leads out of the store.
        """
        file = self.path / key
        if not os.path.lexists(file):
            return None
        found = self._read(file) or next(iter(self._unnamed(key)), None)
        if found is not None and found.is_symlink():
            raise UserError(f"{found} is a link and no run's folder: move the folder here in its place, or remove it")
        return found

    def give(self, key: str, name: str) -> Path:
        """The folder of the run with that hash, which is given this name unless it has one. Of any number of processes
        that ask at once, on any hosts, one gives it.

        Raises:
            OSError: the store cannot be written to.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        found = self.find(key)
        if found is None or self._read(self.path / key) is None:
            with self._locked():
                self._write(key, found.name if found else name)
        found = self.find(key)
        assert found is not None
        return found

    def forget(self, key: str) -> None:
        """Take the name of a run away."""
        (self.path / key).unlink(missing_ok=True)

    def _read(self, file: Path) -> Path | None:
        """The folder that a file names; None if the file says something else."""
        if file.is_symlink() or not file.is_file():
            return None
        try:
            name = file.read_bytes().decode().strip()
        except (OSError, UnicodeDecodeError):
            return None
        match = _FOLDER.fullmatch(name)
        return self.store / name if match and match[1] == file.name else None

    def _unnamed(self, key: str) -> list[Path]:
        """Folders with that hash, found by looking through the store."""
        return sorted(path for path in self.store.glob(f"*-{key}") if path.is_dir())

    def _write(self, key: str, name: str) -> None:
        """Write a name, the caller holding the lock of the names, unless there is a sound one by now."""
        file = self.path / key
        if self._read(file) is not None:
            return
        if os.path.lexists(file):  # what is there says nothing: nobody has this run under another name
            self._replace(file, name)
            return
        # The lock may reach no further than this host, but a link is made whole and only once on any.
        draft = self.path / f".{key}.{socket.gethostname()}.{os.getpid()}"
        draft.write_text(name, encoding="utf-8")
        try:
            link_into_place(draft, file)
        except FileExistsError:
            return
        except OSError:
            self._replace(file, name)  # a file system without hard links
        finally:
            draft.unlink(missing_ok=True)

    def _replace(self, file: Path, name: str) -> None:
        if file.is_dir() and not file.is_symlink():
            raise UserError(f"{file} is a folder where a file with a run's name should be: remove it")
        write_text(file, name)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self.path / ".lock", "ab") as handle:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
