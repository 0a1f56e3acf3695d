"""``decaystudy tensorboard``: TensorBoard over the runs of a study, over one run, or over a folder of runs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from decaystudy.checks import shown
from decaystudy.errors import UserError
from decaystudy.runs.folder import RunFolder

SECONDS = 5.0
"""Between two looks for new runs, files and results."""
INTERRUPTED = 130


@dataclass(frozen=True)
class Board:
    """What TensorBoard shows."""

    what: str
    """In words."""
    place: Path
    update: Callable[[], int]
    """Brings the folder up to date; returns how many runs have curves."""


def show(target: str, *, out: str = "runs", host: str = "127.0.0.1", port: int | None = None) -> int:
    """Serve until Ctrl-C.

    Args:
        target: a study by its name, file or folder, a run's folder, or a folder of runs.
        out: where the runs of a study named by its name are.
        port: the first free one from 6006 unless given; 0 is any.

    Raises:
        UserError: there are no curves, TensorBoard is not installed, or the address cannot be had.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError("this verb needs a package: pip install tensorboard")
    check_host(host)
    with _board(target, out) as board:
        count = board.update()
        if not count:
            raise UserError(f"{board.what} has no curves of TensorBoard: train with --logger tensorboard")
        url = _launch(board.place, host, port)
        print(
            f"TensorBoard shows {board.what}, {count} run{'s' if count > 1 else ''}: {url}\nCtrl-C ends it", flush=True
        )
        try:
            while True:
                time.sleep(SECONDS)
                with contextlib.suppress(OSError, UserError):  # a run that is being written; the next look finds it
                    board.update()
        except KeyboardInterrupt:
            return INTERRUPTED


def check_host(host: str) -> None:
    """Refuse an address that is none of this machine's, which TensorBoard's server says in words of its own; and an
    empty one, which it takes for all of them.

    Raises:
        UserError: it cannot be listened on.
    """
    hint = "give one of this machine's addresses, such as 127.0.0.1; 0.0.0.0 is all of them"
    if not host.strip():
        raise UserError(f"--host is empty: {hint}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no name of a host"
        raise UserError(f"--host is {shown(host)} ({reason.lower()}): {hint}") from error


def _launch(place: Path, host: str, port: int | None) -> str:
    """Start TensorBoard in threads of this process; returns its address."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from tensorboard import program

    # The faster reader is a program of its own, which not every platform has.
    fast = importlib.util.find_spec("tensorboard_data_server") is not None
    words = ["tensorboard", "--logdir", str(place), "--host", host, "--load_fast", "true" if fast else "false"]
    words += ["--reload_interval", "5", "--reload_multifile", "true", "--samples_per_plugin", "text=100"]
    words += [] if port is None else ["--port", str(port)]
    server = program.TensorBoard()
    try:
        server.configure(words)
        url: str = server.launch()
    except program.TensorBoardServerException as error:
        raise UserError(f"TensorBoard cannot be had at {host}: {str(error).strip()}") from error
    return url


@contextlib.contextmanager
def _board(target: str, out: str) -> Iterator[Board]:
    path = Path(target).expanduser()
    if (path / "config.yaml").is_file():
        with _runs_board(str(path), [path]) as board:
            yield board
    elif path.is_dir() and not (path / "plan.json").is_file() and (found := _runs_in(path)):
        with _runs_board(str(path), found) as board:
            yield board
    elif (path / "plan.json").is_file():
        yield _study_board(path.resolve().name, str(path.resolve().parent))
    elif path.is_dir() and "/" in target:
        raise UserError(f"{path} has no curves of TensorBoard: name a study, a run's folder, or a folder of runs")
    else:
        yield _study_board(target, out)


def _runs_in(path: Path) -> list[Path]:
    return [one.parent for one in sorted(path.glob("*/config.yaml")) if ".before-" not in one.parent.name]


@contextlib.contextmanager
def _runs_board(what: str, folders: list[Path]) -> Iterator[Board]:
    from decaystudy.runs.board import ShownRun, has_curves, write_board

    with tempfile.TemporaryDirectory(prefix="decaystudy-tensorboard-") as place:
        runs = [ShownRun(folder.resolve().name, RunFolder(folder)) for folder in folders]

        def update() -> int:
            shown = [run for run in runs if has_curves(run)]
            if shown:
                write_board(Path(place), "all runs" if len(runs) > 1 else "about", shown, {})
            return len(shown)

        yield Board(what, Path(place), update)


def _study_board(name: str, out: str) -> Board:
    from decaystudy.runs.board import has_curves
    from decaystudy.study.execution.store import Store
    from decaystudy.study.planning.record import read_plan
    from decaystudy.study.reporting.board import board_folder, shown_runs, write_study_board
    from decaystudy.study.reporting.report import read_results

    store = Store(out)
    study = read_plan(store, name).study

    def update() -> int:
        plan = read_plan(store, study)
        file = store.study_folder(study) / "results.json"
        try:
            results = read_results(file) if file.exists() else None
        except UserError as error:
            print(f"decaystudy: {error}", file=sys.stderr)
            results = None
        write_study_board(store, plan, results)
        return sum(has_curves(run) for run in shown_runs(store, plan))

    return Board(f"study {study}", board_folder(store, study), update)
