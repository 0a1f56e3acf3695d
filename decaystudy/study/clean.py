"""``decaystudy clean``: removes the runs that no study needs any more."""

from __future__ import annotations

import sys
from pathlib import Path

from decaystudy.errors import UserError
from decaystudy.formatting import size
from decaystudy.runs.folder import RunFolder, state_of
from decaystudy.runs.state import RunState
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.record import needed_runs, studies_of
from decaystudy.training.checkpoints import checkpoints as checkpoints_of
from decaystudy.training.checkpoints import put_aside
from decaystudy.training.checkpoints import remove as remove_checkpoint


def clean(*, out: str = "runs", checkpoints: bool = False, yes: bool = False) -> int:
    """Remove the runs that no study under ``out`` needs any more, after showing them.

    A study needs the runs of its last call at each scale. Delete its folder to say that it needs none. A run that was
    set aside, because its text, tokenizer or code has changed, is needed by none. Only what holds a run's config.yaml
    is removed, and nothing through a link.

    Args:
        out: where runs and results are.
        checkpoints: also the checkpoints of finished runs; their weights and results stay.
        yes: don't ask.
    """
    store = Store(out)
    if not store.path.is_dir():
        print(f"nothing to remove: {out} holds no runs")
        return 0
    refuse_unplanned(store)
    needed = {key for name in studies_of(store) for key in needed_runs(store, name)}
    idle = [folder for folder in store.folders() if is_ours(folder) and condition(folder) != RunState.RUNNING]
    unneeded = [folder for folder in idle if folder.identity not in needed]
    replaced = [folder for folder in store.replaced() if is_ours(folder)]
    spent = [f for f in idle if checkpoints and f.identity in needed and condition(f) == RunState.FINISHED]
    files = [f for folder in spent if not folder.checkpoints.is_symlink() for f in checkpoints_of(folder).values()]
    for file in (file for folder in idle if folder.identity in needed for file in put_aside(folder)):
        print(f"kept: {file} was set aside ({size(bytes_of(file))}): remove it if no run needs it", file=sys.stderr)
    if not unneeded and not replaced and not files:
        print(f"nothing to remove in {store.path}: every run belongs to a study")
        return 0
    for folder in [*unneeded, *replaced]:
        print(f"  {folder.path}  {condition(folder)}, {size(weight(folder))}")
    if files:
        print(f"  {len(files)} checkpoints of finished runs, {size(sum(bytes_of(file) for file in files))}")
    if not yes and not confirmed():
        print("nothing removed")
        return 1
    removed = sum(remove(store, folder) for folder in [*unneeded, *replaced])
    for file in files:
        remove_checkpoint(file)
    print(f"removed {removed} runs and {len(files)} checkpoints")
    return 0


def refuse_unplanned(store: Store) -> None:
    """Refuse to guess what a study needs that has results and has lost its plan.

    Raises:
        UserError: which one, and what to do.
    """
    for results in sorted(store.out.glob("*/results.json")):
        if not (results.parent / "plan.json").exists():
            raise UserError(
                f"{results.parent} has results and no plan.json, which says what runs they need: call decaystudy "
                "run-study again, or move the folder away"
            )


def is_ours(folder: RunFolder) -> bool:
    """Whether the folder holds the run that its name says; tells of one that does not."""
    ours = folder.is_run()
    if not ours:
        print(f"kept: {folder.path} holds no run of that name, or is a link: remove it yourself", file=sys.stderr)
    return ours


def condition(folder: RunFolder) -> str:
    """The state of a run; that of its process where its result cannot be read."""
    try:
        return state_of(folder)
    except UserError:
        return RunState.RUNNING if folder.held() else "broken"


def remove(store: Store, folder: RunFolder) -> bool:
    """Delete a run unless somebody trains it now; says whether it is gone."""
    try:
        with folder.locked():
            store.remove(folder)
    except UserError as error:
        print(f"kept: {error}", file=sys.stderr)
        return False
    except OSError as error:
        print(f"kept: {folder.path} cannot be removed: {(error.strerror or str(error)).lower()}", file=sys.stderr)
        return False
    return True


def confirmed() -> bool:
    """Ask at a terminal; elsewhere ``--yes`` must be given."""
    if sys.stdin is None or not sys.stdin.isatty():  # None: the call has closed it
        raise UserError("clean asks before it removes anything: give --yes where nobody can answer")
    try:
        return input("remove them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl-D
        return False


def weight(folder: RunFolder) -> int:
    """Bytes of the folder's files."""
    return bytes_of(folder.path)


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of the files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())
