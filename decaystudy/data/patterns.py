"""Files by paths, folders and globs, several at once, whose names may hold what globs hold."""

import errno
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from decaystudy.data.sources.formats import FORMATS, layout
from decaystudy.errors import UserError

RECOVERED = "lost+found"
"""A folder at the top of a disk, which only root may look into, and which holds no texts of anybody's."""


def patterns(files: str | list[str]) -> list[str]:
    """The patterns of a list, or of one text with commas between them; a comma in the name of a file is part of it."""
    if not isinstance(files, str):
        return files
    if "," not in files or os.path.exists(os.path.expanduser(files)):
        return [files]
    return [pattern.strip() for pattern in files.split(",") if pattern.strip()]


def matching(files: str | list[str]) -> list[Path]:
    """Every file that the patterns match, once, in the order of their paths.

    Raises:
        UserError: a pattern matches no file, or a folder cannot be looked into.
    """
    found: set[Path] = set()
    for pattern in patterns(files):
        own = _matching(os.path.abspath(os.path.expanduser(pattern)))
        if not own and os.path.isdir(os.path.expanduser(pattern)):
            raise UserError(
                f"the folder --data.files {pattern!r} has no file of a known format: name another, or save the texts "
                f"as {', '.join(FORMATS)}, each also with .gz or .zst"
            )
        if not own:
            raise UserError(
                f"no file matches --data.files {pattern!r}: give a path, a folder or a quoted glob such as "
                "'texts/*.jsonl', or several with commas between them"
            )
        found |= own
    return sorted(found)


def _matching(pattern: str) -> set[Path]:
    if os.path.isfile(pattern):
        return {Path(pattern)}
    if os.path.isdir(pattern):
        return set(_inside(Path(pattern)))
    # [1] is a set of characters to a glob and part of a name to people; where the first finds nothing it is the second.
    for words in (pattern, pattern.replace("[", "[[]")):
        _look_into(words)
        found = {Path(name) for name in glob.glob(words, recursive=True) if os.path.isfile(name)}
        found = {path for path in found if RECOVERED not in path.parts or RECOVERED in Path(words).parts}
        if found:
            return found
    return set()


def _look_into(pattern: str) -> None:
    """Refuse folders on the way to the files of a glob that cannot be looked into: it would pass them over."""
    parts = Path(pattern).parts
    for i in range(1, len(parts) + (parts[-1] == "**")):
        listed = parts[i - 1] == "**" or glob.has_magic(parts[i])
        for place in glob.glob(os.path.join(*parts[:i], ""), recursive=True):
            if Path(place).name != RECOVERED or RECOVERED in parts:
                _check_access(place, os.X_OK | (os.R_OK if listed else 0))


def _inside(folder: Path) -> Iterator[Path]:
    """The files of known formats in a folder and in those below it, without hidden ones."""
    for place, folders, names in os.walk(folder, onerror=_refuse, followlinks=False):
        _check_access(place, os.R_OK | os.X_OK)
        folders[:] = [name for name in folders if not name.startswith(".") and name != RECOVERED]
        for name in names:
            path = Path(place, name)
            if not name.startswith(".") and layout(path)[0] in FORMATS and path.is_file():
                yield path


def _check_access(folder: str, rights: int) -> None:
    if not os.access(folder, rights):
        _refuse(PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder))


def _refuse(error: OSError) -> None:
    """That texts are left out is never passed over in silence."""
    reason = (error.strerror or str(error)).lower()
    raise UserError(
        f"cannot look into {os.path.normpath(error.filename)}, where --data.files leads ({reason}): mend its rights, "
        "or name other files"
    ) from error
