"""``decaystudy clean``: removes the runs that no study needs any more."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from decaystudy.errors import UserError
from decaystudy.formatting import size
from decaystudy.runs.folder import RunFolder, state_of
from decaystudy.runs.state import RunState
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.record import needed_runs, studies_of
from decaystudy.training.checkpoints import checkpoints as checkpoints_of
from decaystudy.training.checkpoints import remove as remove_checkpoint


def clean(*, out: str = "runs", checkpoints: bool = False, yes: bool = False) -> int:
    """Remove the runs that no study under ``out`` needs any more, after showing them.

    A study needs the runs of its last call at each scale. Delete its folder to say that it needs none. A run that was
    set aside, because its text, tokenizer or code has changed, is needed by none.

    Args:
        out: where runs and results are.
        checkpoints: also the checkpoints of finished runs; their weights and results stay.
        yes: don't ask.
    """
    store = Store(out)
    needed = {key for name in studies_of(store) for key in needed_runs(store, name)}
    idle = {key: folder for key, folder in store.folders().items() if state_of(folder) != RunState.RUNNING}
    unneeded = {key: folder for key, folder in idle.items() if key not in needed}
    replaced = store.replaced()
    spent = [f for key, f in idle.items() if checkpoints and key not in unneeded and state_of(f) == RunState.FINISHED]
    files = [file for folder in spent for file in checkpoints_of(folder).values()]
    if not unneeded and not replaced and not files:
        print(f"nothing to remove in {store.path}: every run belongs to a study")
        return 0
    for folder in [*unneeded.values(), *replaced]:
        print(f"  {folder.path}  {state_of(folder)}, {size(weight(folder))}")
    if files:
        print(f"  {len(files)} checkpoints of finished runs, {size(sum(bytes_of(file) for file in files))}")
    if not yes and not confirmed():
        print("nothing removed")
        return 1
    for key, folder in unneeded.items():
        remove(store, key, folder)
    for folder in replaced:
        shutil.rmtree(folder.path)
    for file in files:
        remove_checkpoint(file)
    print(f"removed {len(unneeded) + len(replaced)} runs and {len(files)} checkpoints")
    return 0


def remove(store: Store, key: str, folder: RunFolder) -> None:
    """Delete a run unless somebody trains it now."""
    try:
        with folder.locked():
            store.remove(key, folder)
    except UserError as error:
        print(f"kept: {error}", file=sys.stderr)


def confirmed() -> bool:
    """Ask at a terminal; elsewhere ``--yes`` must be given."""
    if not sys.stdin.isatty():
        raise UserError("clean asks before it removes anything: give --yes where nobody can answer")
    return input("remove them? [y/N] ").strip().lower() in ("y", "yes")


def weight(folder: RunFolder) -> int:
    """Bytes of the folder's files."""
    return bytes_of(folder.path)


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of the files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())
