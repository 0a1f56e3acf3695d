"""Processes that are forked from a server, which may be killed."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.forkserver import _forkserver  # type: ignore[attr-defined]

import pytest

from decaystudy.errors import Failure
from decaystudy.study.execution.jobs import JobState
from decaystudy.study.execution.processes import Forked, forkserver


@pytest.fixture(autouse=True)
def no_server_after() -> Iterator[None]:
    """Other tests look at the children of this process."""
    yield
    _forkserver._stop()


def stopped_server() -> int:
    """The process that others are forked from, as slow as if it still imported; its number."""
    forkserver()
    server = int(_forkserver._forkserver_pid)
    os.kill(server, signal.SIGSTOP)
    return server


def kill_soon(*servers: int) -> None:
    """Kill these while the process that is started next waits for them."""

    def kill() -> None:
        time.sleep(0.2)
        for server in servers:
            os.kill(server, signal.SIGKILL)

    threading.Thread(target=kill).start()


def test_a_server_that_is_killed_is_started_anew_and_its_jobs_were_killed() -> None:
    """As where memory is short: the study goes on."""
    kill_soon(stopped_server())
    forked = Forked(forkserver().Process(target=time.sleep, args=(60,)))
    assert forked.report().state is JobState.RUNNING
    os.kill(int(_forkserver._forkserver_pid), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while (report := forked.report()).state is JobState.RUNNING and time.monotonic() < deadline:
        time.sleep(0.02)
    assert report.state is JobState.KILLED and "forked from" in report.reason
    forked.end()


def test_a_server_that_is_killed_each_time() -> None:
    class Unlucky:
        def start(self) -> None:
            raise EOFError("unexpected EOF")

    with pytest.raises(Failure, match="killed, and so was the one in its place"):
        Forked(Unlucky())  # type: ignore[arg-type]


def test_a_server_that_goes_on_refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused:
        def start(self) -> None:
            raise ConnectionRefusedError(111, "Connection refused")

    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(Failure, match="has refused connections for 10 seconds: see whether it hangs"):
        Forked(Refused())  # type: ignore[arg-type]
    assert sum(slept) == pytest.approx(10, abs=0.1)


def test_a_dead_server_that_is_not_seen_to_have_ended_yet() -> None:
    """Its socket is closed before its parent can tell that it has ended."""

    class Late:
        pid = 1
        calls = iter([EOFError("unexpected EOF"), ConnectionRefusedError(111, "Connection refused"), None])

        def start(self) -> None:
            if (error := next(self.calls)) is not None:
                raise error

    Forked(Late())  # type: ignore[arg-type]
