"""Writes the golden numbers anew, after a version has been raised: ``python -m tests.golden``."""

import json
import os
import sys
import tempfile
from pathlib import Path

from decaystudy.versions import semantics
from tests.golden.compare import DEPENDS, FOLDER, differences, read


def main() -> int:
    """Measure and write; numbers that changed without a raise are refused."""
    from tests.golden import measure

    with tempfile.TemporaryDirectory() as name:
        os.environ["DECAYSTUDY_CACHE"] = f"{name}/cache"
        measured = {"model": measure.model()}
        for kind in ("data", "recipe"):
            folder = Path(name, kind)
            folder.mkdir()
            measured[kind] = getattr(measure, kind)(folder)
    refused = False
    for kind, numbers in measured.items():
        version = {of: semantics()[of] for of in DEPENDS[kind]}
        held = read(kind)
        if held is not None and held["version"] == version and (changed := differences(held["numbers"], numbers)):
            print(f"{kind}: {changed[0]} has changed: raise a version in decaystudy/versions.py first", file=sys.stderr)
            refused = True
        else:
            text = json.dumps({"version": version, "numbers": numbers}, indent=1)
            (FOLDER / f"{kind}.json").write_text(text + "\n")
    return int(refused)


if __name__ == "__main__":
    sys.exit(main())
