"""A study that has ended, with answers, and the same as a bundle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from decaystudy.cli import main
from decaystudy.study.definition.expand import Run, Study, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.sharing.archive import pack, unpack
from tests.study import small

CLAIMS = """\
  - {id: same, says: HGRN2 is as good., difference: [hgrn2, mamba2], within: 0.02}
  - {id: faded, says: The memory of GLA grows shorter., decay: {cell: gla, minus: mamba2, layers: mean}, below: 0}
  - {id: answers, says: GLA answers better., accuracy: {pairs: [[gla, mamba2]], task: arc_easy}, above: 0}
"""
STUDY = small.STUDY.replace("seeds: [0]", "seeds: [0, 1, 2]") + CLAIMS
HOSTS = ("node17.cluster.example", "node17", "10.1.2.3")


def call(*words: object, expect: int = 0) -> None:
    assert main([str(word) for word in words]) == expect


def study_of(folder: Path) -> Study:
    return expand(read_study(str(folder / "file" / "small.yaml")))


def end(run: Run, store: Store, message: str) -> None:
    """Make a run one that failed."""
    folder = store.find(run)
    assert folder is not None
    for file in (folder.result, folder.validation_documents, folder.validation_loss):
        file.unlink()
    folder.log.write_text("the log")
    folder.write_status("failed", step=3, message=message)


def written_anew(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Write a bundle whose manifest and results somebody has changed, with the digests that belong to them."""
    manifest, members = unpack(path)
    results = json.loads(members["tiny/results.json"])
    change(manifest, results)
    members["tiny/results.json"] = json.dumps(results).encode()
    path.write_bytes(pack(members, {key: value for key, value in manifest.items() if key not in ("format", "members")}))


def texts(path: Path) -> str:
    """All text that a bundle holds."""
    manifest, members = unpack(path)
    return json.dumps(manifest) + "".join(data.decode() for name, data in members.items() if name.endswith(".json"))
