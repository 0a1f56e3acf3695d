"""Where runs live: one folder per run, found by what the run is, whatever a study calls it.

OUT/store/<cell>-seed<seed>-<hash>/    a run's folder
OUT/store/<...>.before-1/              one whose text, tokenizer or code has changed since
OUT/store/.names/<hash>                the name of that folder
OUT/STUDY/                             results, report, and runs/<cell>-seed<seed>, a link into the store
OUT/STUDY/tensorboard/                 the study as TensorBoard shows it, with links to the runs' curves
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from decaystudy.errors import UserError
from decaystudy.io import is_taken, misplaced, move_into_place, write_text
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.records import dump_config
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.execution.run_names import RunNames, hash_of

OWN = ("plan.json", "results.json")
"""By which a study's folder is known."""
WRITTEN = ("results.csv", "results.md", "report.tex", "report.html")
"""What else is written into it."""
_ASIDE = re.compile(r".+-([0-9a-f]{12})\.before-\d+")


class Store:
    """The runs under one --out."""

    def __init__(self, out: str | os.PathLike[str], flag: str = "--out") -> None:
        """
        Args:
            flag: by which ``out`` was given, for messages.
        """
        self.out = Path(out).expanduser()
        self._flag = flag
        self.path = self.out / "store"
        self._names = RunNames(self.path)
        self._disregarded: set[str] = set()

    def study_folder(self, name: str) -> Path:
        """The folder of a study's results."""
        return self.out / name

    def make(self, folder: Path) -> None:
        """Make a folder, or say in one sentence why not."""
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)

    def find(self, run: Run) -> RunFolder | None:
        """The folder of that run, if any study has made it."""
        if run.hash in self._disregarded:
            return None
        return self.find_hash(run.hash)

    def find_hash(self, key: str) -> RunFolder | None:
        """The folder of the run with that hash, if any study has made it."""
        path = self._names.find(key)
        return None if path is None else RunFolder(path, identity=key)

    def _before(self, folder: RunFolder) -> Iterator[Path]:
        return (folder.path.with_name(f"{folder.path.name}.before-{i}") for i in itertools.count(1))

    def disregard(self, hashes: Iterable[str]) -> None:
        """Act as if these runs were not there."""
        self._disregarded |= set(hashes)

    def set_aside(self) -> list[RunFolder]:
        """Move the folders of runs that are disregarded out of the way of new ones, to ``…-HASH.before-1``.

        One that somebody trains by now stays.

        Returns:
            The folders where they are now.
        """
        moved = []
        for key in sorted(self._disregarded):
            folder = self.find_hash(key)
            if folder is not None and folder.path.is_dir():
                with self._writing(), contextlib.suppress(UserError), folder.locked():
                    target = next(path for path in self._before(folder) if not path.exists())
                    move_into_place(folder.path, target)
                    moved.append(RunFolder(target))
        self._disregarded.clear()
        return moved

    def place(self, run: Run) -> RunFolder:
        """The folder of that run, or the one that ``claim`` would make now."""
        return self.find(run) or RunFolder(self.path / f"{run.name}-{run.hash}", identity=run.hash)

    def claim(self, run: Run) -> RunFolder:
        """The folder of that run, made if need be, with its config.yaml. Any number of processes may ask at once.

        Raises:
            UserError: the store cannot be written to.
        """
        with self._writing():
            folder = RunFolder(self._names.give(run.hash, f"{run.name}-{run.hash}"), identity=run.hash)
            folder.create()
            if not folder.config.exists() or folder.config.read_text(encoding="utf-8") != dump_config(run.config):
                write_text(folder.config, dump_config(run.config))
            return folder

    def link(self, study: Study, runs: list[Run]) -> None:
        """Show the study's runs under its own folder by their names there, for TensorBoard and for people.

        What is there and no link stays, as do runs in a folder that was copied with its links followed.
        """
        with self._writing():
            links = self.study_folder(study.name) / "runs"
            links.mkdir(parents=True, exist_ok=True)
            wanted = {run.name: folder.path for run in runs if (folder := self.find(run)) is not None}
            for link in links.iterdir():
                if link.is_symlink() and link.name not in wanted and not link.name.startswith("."):
                    link.unlink(missing_ok=True)
            for name, path in wanted.items():
                target, link = os.path.relpath(path, links), links / name
                if os.path.lexists(link) and (not link.is_symlink() or os.readlink(link) == target):
                    continue
                draft = links / f".{name}.{os.getpid()}"
                os.symlink(target, draft)
                move_into_place(draft, link)

    def folders(self) -> list[RunFolder]:
        """Every folder that is named as a run's, whatever it holds; its ``identity`` is the hash in its name."""
        paths = sorted(self.path.iterdir()) if self.path.is_dir() else []
        return [RunFolder(path, identity=key) for path in paths if path.is_dir() and (key := hash_of(path))]

    def replaced(self) -> list[RunFolder]:
        """Folders that are named as ones that were set aside, whatever they hold."""
        found = [(path, _ASIDE.fullmatch(path.name)) for path in sorted(self.path.glob("*.before-*")) if path.is_dir()]
        return [RunFolder(path, identity=match[1]) for path, match in found if match]

    def remove(self, folder: RunFolder) -> None:
        """Delete a run, and its name if it is the one that has it."""
        key = hash_of(folder.path)
        named = key is not None and self._names.find(key) in (None, folder.path)
        shutil.rmtree(folder.path)
        if key is not None and named:
            self._names.forget(key)

    def relative(self, folder: RunFolder) -> str:
        """The folder's path as results.json has it: below --out, so that a store may be moved."""
        return str(folder.path.relative_to(self.out))

    @contextlib.contextmanager
    def _writing(self):  # type: ignore[no-untyped-def]
        try:
            yield
        except OSError as error:
            blocked = next((path for path in self._folders(error.filename2 or error.filename) if is_taken(path)), None)
            if blocked is not None:
                raise UserError(misplaced(blocked, self._flag)) from error
            reason = (error.strerror or str(error)).lower()
            raise UserError(f"cannot write to {self.out}: {reason}; choose another {self._flag}") from error

    def check(self, names: Iterable[str]) -> None:
        """Refuse files that lie where folders of runs, and of the studies of these names, belong, a run's folder, and
        files of someone else that results would replace.

        Raises:
            UserError: which.
        """
        if RunFolder(self.out).config.exists():
            raise UserError(f"{self.out} is a run's folder: choose another {self._flag}, such as {self.out.parent}")
        studies = [self.study_folder(name) for name in names]
        below = [folder / part for folder in studies for part in ("runs", "figures")]
        for folder in [*reversed(self.out.parents), self.out, self.path, self._names.path, *studies, *below]:
            if is_taken(folder):
                raise UserError(misplaced(folder, self._flag))
        for folder in studies:
            foreign = next((folder / name for name in WRITTEN if (folder / name).exists()), None)
            if foreign is not None and not any((folder / name).exists() for name in OWN):
                raise UserError(
                    f"{foreign} would be overwritten, and is no study's: {folder} has no {' or '.join(OWN)}; move it "
                    f"away, or choose another {self._flag}"
                )

    def _folders(self, failed: str | None) -> list[Path]:
        """Folders whose place may be taken, where something could not be written."""
        inner = [] if failed is None else [*reversed(Path(failed).parents), Path(failed)]
        return [self.out, self.path, self._names.path, *inner]
