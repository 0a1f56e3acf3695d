"""Signals that come where Python lets no error out: the command ends all the same, with its one sentence."""

import os
import signal
import time
import weakref

import pytest

from decaystudy.errors import exit_code


class Thing:
    """Something that dies."""


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [
        (signal.SIGTERM, 143, "decaystudy: ended by SIGTERM"),
        (signal.SIGHUP, 129, "decaystudy: ended by SIGHUP"),
        (signal.SIGUSR1, 75, "decaystudy: ended by SIGUSR1"),
        (signal.SIGINT, 130, "decaystudy: interrupted"),
    ],
)
@pytest.mark.parametrize("where", ["callback", "finalizer"])
def test_a_signal_in_a_finalizer(
    where: str, number: signal.Signals, code: int, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def heard(*_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(0.001)

    def import_something() -> int:
        thing = Thing()
        if where == "callback":
            kept = weakref.ref(thing, heard)
            del thing
            assert kept() is None
        else:
            Mortal = type("Mortal", (), {"__del__": heard})
            Mortal()
        for _ in range(1000):
            time.sleep(0.002)
        return 0

    assert exit_code(import_something) == code
    said = capfd.readouterr().err
    assert said.startswith(says) and said.count("\n") == 1, said
