"""A run's folder: its files, its lock, and what state the run is in.

config.yaml           the settings; ``fit --config`` runs them again as they are
origin.json           versions, code of the user's own and data that it is trained with
status.json           what the run is doing, rewritten every few seconds while it trains
result.json           how it ended, and its numbers
validation_loss.npy   loss of each validation sequence in nats per token, float64, at the end of training
validation_documents.npz  summed nats (nll), predicted tokens and bytes of text of each held-out document
model.safetensors     the trained weights
checkpoints/          from which training resumes
events.out.tfevents…  TensorBoard; those that end in .settings say which run it is
curves.json           which points of the curves went to loggers that cannot be asked (W&B, Trackio, your own)
log.txt               what a run of a study printed
lock                  held by the process that trains
"""

from __future__ import annotations

import fcntl
import math
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from decaystudy.errors import UserError
from decaystudy.io import is_taken, misplaced, read_mapping, write_json
from decaystudy.runs.result import RunResult, read_result, write_result
from decaystudy.runs.state import FINAL, RunState
from decaystudy.yaml_document import load

HEARTBEAT_SECONDS = 5.0
# A run on another host counts as dead after this long without a heartbeat.
STALE_SECONDS = 120.0
LOCK_TRIES = 20
"""How often the lock is taken anew where another process removes it in the meantime."""
SETTINGS = {"scale", "seed", "model", "data", "recipe", "trainer"}
"""What every config.yaml has."""


FACTS: dict[str, tuple[type, ...]] = {
    "state": (str,),
    "host": (str,),
    "message": (str,),
    "pid": (int,),
    "step": (int,),
    "max_steps": (int,),
    "heartbeat": (int, float),
    "loss": (int, float),
    "val_loss": (int, float),
    "tokens_per_second": (int, float),
    "seconds_left": (int, float),
}
"""Types of what status.json says."""


class RunFolder:
    """One run on disk.

    Args:
        identity: that of the run which must be in it, where the folder was found by it; only its result is believed.
    """

    def __init__(self, path: str | os.PathLike[str], *, identity: str | None = None) -> None:
        self.path = Path(path).expanduser()
        self.identity = identity
        self.config = self.path / "config.yaml"
        self.origin = self.path / "origin.json"
        self.status = self.path / "status.json"
        self.result = self.path / "result.json"
        self.evaluation = self.path / "evaluation.json"
        self.validation_loss = self.path / "validation_loss.npy"
        self.validation_documents = self.path / "validation_documents.npz"
        self.weights = self.path / "model.safetensors"
        self.checkpoints = self.path / "checkpoints"
        self.log = self.path / "log.txt"
        self._lock = self.path / "lock"
        self._holding: IO[bytes] | None = None

    def create(self) -> None:
        """Make the folder.

        Raises:
            UserError: it cannot be made or written to.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            taken = next((p for p in (*reversed(self.path.parents), self.path, self.checkpoints) if is_taken(p)), None)
            if taken is not None:
                raise UserError(misplaced(taken, "--out")) from error
            raise UserError(
                f"cannot write to the run folder {self.path}: {_reason(error)}; choose another --out"
            ) from error
        if not os.access(self.path, os.W_OK):
            raise UserError(f"cannot write to the run folder {self.path}: permission denied; choose another --out")

    def remove_if_empty(self) -> None:
        """Remove the folder if it holds nothing of a run, as after a refusal, and nobody trains in it."""
        with suppress(OSError, UserError):
            if not self._is_empty():
                return
            with self.locked():
                if self._is_empty():  # still: another process may have begun a run there
                    self.checkpoints.rmdir()
                    self._lock.unlink()
            self.path.rmdir()

    def _is_empty(self) -> bool:
        return {*self.path.iterdir()} <= {self.checkpoints, self._lock}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process. The kernel lets go of the lock when the process dies, however it dies.

        Raises:
            UserError: another process holds it.
        """
        with self._lock_file() as handle:
            self._holding = handle
            try:
                yield
            finally:
                self._holding = None

    def _lock_file(self) -> IO[bytes]:
        """The lock's file, locked."""
        for _ in range(LOCK_TRIES):
            handle = open(self._lock, "ab")  # noqa: SIM115
            try:
                if self._taken(handle):
                    return handle
            except BaseException:
                handle.close()
                raise
            handle.close()  # removed since it was opened, by a process that left the folder empty
        raise UserError(
            f"{self._lock} is another file each time that it is looked at: choose an --out on another file system"
        )

    def _taken(self, handle: IO[bytes]) -> bool:
        """Take the lock by this file; says whether it still is the folder's."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            doing = self.read_status()
            who = f" by process {doing.get('pid')} on {doing.get('host')}" if doing else ""
            raise UserError(
                f"{self.path} is being trained{who}: wait for it, or give this run another --out"
            ) from error
        return self._is_ours(handle)

    def _is_ours(self, handle: IO[bytes]) -> bool:
        """Whether a file that is open is the folder's lock, which may have been removed since, or replaced."""
        try:
            return os.path.samestat(os.fstat(handle.fileno()), self._lock.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # a file system that doesn't answer for a while takes nothing away

    def lost(self) -> bool:
        """Whether this process holds the run, and its folder was removed since then, or replaced by another one."""
        return self._holding is not None and not self._is_ours(self._holding)

    def held(self) -> bool:
        """Whether a process on this machine (or, on a file system with shared locks, any machine) is training it."""
        try:
            handle = open(self._lock, "rb")  # noqa: SIM115
        except OSError:
            return False
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
            return False

    def begun(self) -> bool:
        """Whether there is something trained in it: a checkpoint or a result."""
        return self.result.exists() or any(self.checkpoints.glob("*.ckpt"))

    def state(self) -> RunState:
        """What status.json and the lock say together.

        Raises:
            UserError: status.json names a state that this version doesn't know.
        """
        status = self.read_status()
        if self.held():
            return RunState.RUNNING
        if not status:
            return RunState.PLANNED
        if status["state"] == RunState.RUNNING:
            elsewhere = status.get("host") != socket.gethostname()
            # A heartbeat of the future is no sign of life either: the other host's clock has jumped.
            fresh = abs(time.time() - status.get("heartbeat", 0.0)) < STALE_SECONDS
            return RunState.RUNNING if elsewhere and fresh else RunState.KILLED
        try:
            return RunState(status["state"])
        except ValueError as error:
            raise UserError(
                f"{self.status} names an unknown state {status['state']!r}: upgrade decaystudy to read it"
            ) from error

    def read_status(self) -> dict[str, Any]:
        """status.json, or an empty dictionary; without facts of another type than they are written with."""
        held = read_mapping(self.status) or {}
        fits = {key: value for key, value in held.items() if _is(value, FACTS.get(key))}
        return fits if "state" in fits else {}

    def write_status(self, state: str, **facts: Any) -> None:
        """Replace status.json: the state, this process and host, the time, and ``facts``."""
        write_json(
            self.status,
            {
                "state": RunState(state),
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "heartbeat": time.time(),
                **facts,
            },
        )

    def read_result(self) -> RunResult | None:
        """result.json, or None where there is none or it was cut short.

        Raises:
            UserError: it is something else than this run's result.
        """
        found = read_result(self.result)
        if found is not None and self.identity not in (None, found.identity):
            raise UserError(
                f"{self.result} is the result of another run ({found.identity or 'of no known identity'}, not "
                f"{self.identity}): remove {self.path}, and the study trains the run again"
            )
        return found

    def write_result(self, result: RunResult) -> None:
        """Write result.json, atomically."""
        write_result(self.result, result)

    def read_config(self) -> dict[str, Any] | None:
        """config.yaml, or None where there is none.

        Raises:
            UserError: it is no run's configuration, or cannot be read.
        """
        if not os.path.lexists(self.config):
            return None
        advice = "restore it from a copy, or name another folder"
        try:
            values = load(self.config).values
        except UserError as error:
            raise UserError(f"{self.config} is not a run's configuration ({error}): {advice}") from error
        if not isinstance(values, dict):
            raise UserError(f"{self.config} is not a run's configuration: {advice}")
        return values

    def is_run(self) -> bool:
        """Whether this is a folder, and no link to one, that holds a run: its config.yaml, and nothing that is of
        another run than the one that must be in it."""
        if self.path.is_symlink() or self.config.is_symlink() or not self.config.is_file():
            return False
        try:
            held = self.read_config() or {}
        except UserError:
            return False
        recorded = [(read_mapping(file) or {}).get("identity") for file in (self.origin, self.result)]
        return held.keys() >= SETTINGS and all(self.identity in (None, one) for one in recorded if one)


def state_of(folder: RunFolder) -> RunState:
    """The state of a run: that of its result if it has one, whatever its process managed to write down after that.

    One that says it has finished and has no result any more goes on from its last checkpoint, as if it had been killed.
    """
    result = folder.read_result()
    if result is not None and result.status in FINAL:
        return result.status
    state = folder.state()
    return RunState.KILLED if state == RunState.FINISHED and not folder.result.exists() else state


def _is(value: Any, kinds: tuple[type, ...] | None) -> bool:
    """Whether a fact has one of these types, and if it is a number, is none beyond all bounds."""
    if kinds is None:
        return True
    return isinstance(value, kinds) and not (isinstance(value, float) and math.isinf(value))


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
