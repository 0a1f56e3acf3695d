"""Where caches are and how large."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from decaystudy.formatting import size
from decaystudy.io import cache_folder

MOST_FILES = 200_000
"""That are looked at."""


def cache_facts() -> Iterator[tuple[str, str]]:
    """The cache folder, what is in it, and the room that is left on its disk."""
    folder = cache_folder()
    chosen = " (DECAYSTUDY_CACHE)" if os.environ.get("DECAYSTUDY_CACHE") else ""
    yield "folder", f"{folder}{chosen}"
    if not folder.is_dir():
        yield "size", "it is made when it is needed" if not os.path.lexists(folder) else "it is no folder"
    else:
        yield "writable", "yes" if os.access(folder, os.W_OK) else "no: allow it, or set DECAYSTUDY_CACHE"
        for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
            yield f"  {inner.name}", used(inner)
        yield "size", used(folder)
    above = next(path for path in (folder, *folder.parents) if path.is_dir())
    yield "free on its disk", size(shutil.disk_usage(above).free)


def used(folder: Path) -> str:
    """Bytes and number of the files below a folder."""
    total = number = 0
    for place, _, names in os.walk(folder):
        for name in names:
            number += 1
            if number > MOST_FILES:
                return f"over {size(total)} in more than {MOST_FILES:,} files"
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # it has gone meanwhile
                continue
    return f"{size(total)} in {number:,} files"
