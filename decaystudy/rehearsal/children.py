"""Child processes of a rehearsal: ``decaystudy fit`` as a user would call it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from decaystudy.rehearsal.checks import CheckFailed, Rehearsal
from decaystudy.training.world import without_world

SECONDS = 600.0
"""After which a child that has not ended counts as stuck."""


def environment() -> dict[str, str]:
    """That of a child: it finds this package, and starts its processes itself."""
    return {**without_world(os.environ), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@contextlib.contextmanager
def child(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose output goes to the end of a file, and which ends with the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C ends the rehearsal, which ends its children
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def fit_command(rehearsal: Rehearsal, out: Path) -> list[str]:
    """The command that trains, or resumes, the rehearsal's run in a folder."""
    return [sys.executable, "-m", "decaystudy", "fit", "--config", str(rehearsal.settings), "--out", str(out)]


def log_of(out: Path) -> Path:
    """Where the output of the run in a folder goes."""
    return out.with_name(f"{out.name}.log")


def wait(process: subprocess.Popen[bytes], what: str, log: Path, seconds: float = SECONDS) -> int:
    """The exit code of a child.

    Raises:
        CheckFailed: it doesn't end.
    """
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise CheckFailed(
            f"{what} has not ended after {seconds:.0f} s (it last said: {last_line(log)}): its processes may wait "
            "for each other; see whether they reach each other, and set NCCL_DEBUG=INFO"
        ) from None


def run_to_end(rehearsal: Rehearsal, out: Path) -> None:
    """Train, or resume, the run in a folder to its end.

    Raises:
        CheckFailed: it failed.
    """
    log = log_of(out)
    with child(fit_command(rehearsal, out), log) as process:
        code = wait(process, "decaystudy fit", log)
    if code != 0:
        raise CheckFailed(f"decaystudy fit ended with code {code}: {last_line(log)}")


def last_line(log: Path) -> str:
    """The last thing that a child has said."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1].removeprefix("decaystudy: ").strip()[:400] if lines else "nothing"
