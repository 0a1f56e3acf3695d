"""Files by paths and globs, several at once, whose names may hold what globs hold."""

import glob
import os
from pathlib import Path

from decaystudy.errors import UserError


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
        UserError: a pattern matches no file.
    """
    found: set[Path] = set()
    for pattern in patterns(files):
        own = _matching(os.path.abspath(os.path.expanduser(pattern)))
        if not own:
            inside = ", which is a folder: name files in it" if os.path.isdir(os.path.expanduser(pattern)) else ""
            raise UserError(
                f"no file matches --data.files {pattern!r}{inside}: give a path or a quoted glob such as "
                "'texts/*.jsonl', or several with commas between them"
            )
        found |= own
    return sorted(found)


def _matching(pattern: str) -> set[Path]:
    if os.path.isfile(pattern):
        return {Path(pattern)}
    # [1] is a set of characters to a glob and part of a name to people; where the first finds nothing it is the second.
    for words in (pattern, pattern.replace("[", "[[]")):
        found = {Path(name) for name in glob.glob(words, recursive=True) if os.path.isfile(name)}
        if found:
            return found
    return set()
