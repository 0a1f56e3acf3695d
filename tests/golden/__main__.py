"""Writes the golden numbers anew, after a version has been raised: ``python -m tests.golden``."""

import json
import os
import sys
import tempfile
from pathlib import Path

from decaystudy.study.sharing.content import read_bundle
from decaystudy.versions import STATISTICS, semantics
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
        refused = not write_judged(Path(name))
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


def write_judged(folder: Path) -> bool:
    """Write the bundle of the statistics anew unless it is of this method; False if it should be and comes out
    otherwise."""
    from tests.golden.judged import BUNDLE, changed, make

    held = read_bundle(BUNDLE) if BUNDLE.exists() else None
    if held is None or held.about.method != STATISTICS:
        make(folder, BUNDLE)
    elif found := next(changed(held), None):
        print(f"statistics: {found}: raise STATISTICS in decaystudy/versions.py first", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
