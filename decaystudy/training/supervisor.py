"""Starts the processes of a run on this machine, one for each device, and sees to it that all of them end."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import IO, Any

from decaystudy.errors import STOPPING_SIGNALS, signal_code, signal_name
from decaystudy.runs.folder import RunFolder
from decaystudy.training.checkpoints import resumption
from decaystudy.training.world import SUPERVISED, World

POLL_SECONDS = 0.05
END_SECONDS = 20.0
"""How long processes may go on after another has ended in order: one that waits for it would wait for ever."""
MISTAKE = 2
"""Exit code of a process that refuses its settings."""
MISTAKEN_SECONDS = 4.0
"""How long the first process then has to say the same, before it misses the other."""
PORT = "29500"
"""Of the first machine, where there are several and MASTER_PORT is not set."""


@dataclass(frozen=True)
class Member:
    """One process of the run."""

    rank: int
    process: subprocess.Popen[bytes]
    errors: IO[bytes] | None
    """What it says, except for the first, which says it itself."""

    @property
    def name(self) -> str:
        return f"rank {self.rank} (process {self.process.pid})"


def supervise(command: Sequence[str], world: World, folder: RunFolder) -> int:
    """Run the command once for each of this machine's processes.

    A signal is handed to the first process, and they agree on the step after which they end. When one dies, the others
    are ended, since they would wait for it for ever.

    Args:
        command: trains the run; it finds in the environment which process it is.
        world: the processes, of which this one is none.
        folder: of the run.

    Returns:
        The exit code: that of the first process, or if another failed that one's.
    """
    shared = _environment(world)
    members: list[Member] = []
    try:
        for local in range(world.devices):
            members.append(_start(command, world, local, shared))
        with _handed_on(members[0].process) as heard:
            return _wait(members, world, folder, heard)
    finally:
        for member in members:
            member.process.kill()
            member.process.wait()


def supervised() -> bool:
    """Whether this process has been started by a supervisor."""
    return SUPERVISED in os.environ


def end_with_parent() -> None:
    """Have the kernel end this process when its parent ends, so that a killed parent leaves no orphans behind."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() == 1:
        os._exit(1)  # the parent died before the kernel knew of the wish
    creator = multiprocessing.parent_process()
    if creator is not None and creator.pid != os.getppid():
        # Forked by a fork server, which lives as long as its last child: the kernel knows nothing of who asked for it.
        threading.Thread(target=_end_with, args=(creator.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def _environment(world: World) -> dict[str, str]:
    """What all processes have in common."""
    values = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // world.devices)), **os.environ}
    values |= {"WORLD_SIZE": str(world.size), "NODE_RANK": str(world.node_rank), SUPERVISED: str(os.getpid())}
    values["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    if world.nodes == 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            values |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    else:
        values.setdefault("MASTER_PORT", PORT)
    return values


def _start(command: Sequence[str], world: World, local: int, shared: dict[str, str]) -> Member:
    rank = world.node_rank * world.devices + local
    errors = tempfile.TemporaryFile() if local else None  # noqa: SIM115 - the process writes to it
    process = subprocess.Popen(
        command,
        env={**shared, "RANK": str(rank), "LOCAL_RANK": str(local)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if local else None,
        stderr=errors,
        start_new_session=True,  # Ctrl-C reaches the supervisor only, which hands it on once
    )
    return Member(rank, process, errors)


@contextlib.contextmanager
def _handed_on(process: subprocess.Popen[bytes]) -> Iterator[set[int]]:
    """Hand signals on while the block runs, and note which."""
    before: dict[int, Any] = {}
    noted: set[int] = set()

    def hand_on(heard: int, frame: FrameType | None) -> None:
        noted.add(heard)
        process.send_signal(heard)

    if threading.current_thread() is threading.main_thread():
        for number in STOPPING_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, hand_on)
    try:
        yield noted
    finally:
        for taken, handler in before.items():
            signal.signal(taken, handler)


def _wait(members: Sequence[Member], world: World, folder: RunFolder, heard: set[int]) -> int:
    """Wait until all have ended, or until one has died, or has left the others behind.

    Args:
        heard: signals that the first process was handed so far.
    """
    first_failed: Member | None = None
    since: float | None = None
    while True:
        codes = [member.process.poll() for member in members]
        for member, code in zip(members, codes, strict=True):
            if code is not None and -code in heard:  # it was still starting
                print(f"decaystudy: ended by {signal_name(-code)}: {resumption(folder)}", file=sys.stderr)
                return signal_code(-code)
            if code is not None and code < 0:
                _tell(f"{member.name} of {world.size} was killed by signal {-code}", folder)
                return 1
            if code and first_failed is None:
                first_failed = member
        if None not in codes:
            break
        if any(code is not None for code in codes):
            since = since or time.monotonic()
            mistaken = first_failed is not None and first_failed.process.poll() == MISTAKE
            if time.monotonic() - since > (MISTAKEN_SECONDS if mistaken else END_SECONDS):
                break
        time.sleep(POLL_SECONDS)
    code = members[0].process.poll() or 0
    if first_failed is None or first_failed is members[0] or code == MISTAKE:
        return code
    last = _last_line(first_failed).removeprefix("decaystudy: ") or "it says nothing"
    if first_failed.process.poll() == MISTAKE:  # which is no end of the run: there is nothing to resume
        print(f"decaystudy: {last}", file=sys.stderr)
        return MISTAKE
    _tell(f"{first_failed.name} of {world.size} failed: {last}", folder)
    return first_failed.process.poll() or 1


def _tell(what: str, folder: RunFolder) -> None:
    """Say how one of the processes ended, here and in the run's status."""
    print(f"decaystudy: {what}, and the others were ended: {resumption(folder)}", file=sys.stderr)
    status = folder.read_status()
    facts = {key: status[key] for key in ("step", "max_steps", "loss") if key in status}
    with contextlib.suppress(OSError):
        folder.write_status("killed" if "was killed" in what else "failed", **facts, message=what)


def _last_line(member: Member) -> str:
    assert member.errors is not None
    member.errors.seek(0)
    lines = member.errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
