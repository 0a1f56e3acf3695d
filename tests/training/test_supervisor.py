"""How the processes of a run end together: the exit code and the one sentence."""

import sys
from pathlib import Path

import pytest

from decaystudy.runs.folder import RunFolder
from decaystudy.training import supervisor
from decaystudy.training.supervisor import supervise
from decaystudy.training.world import World

BODY = """
import os, sys, time
if os.environ["RANK"] == "{mistaken}":
    print("decaystudy: this goes with nothing: leave it out", file=sys.stderr)
    sys.exit(2)
{first}
"""


@pytest.mark.parametrize(
    ("mistaken", "first"),
    [
        (0, "time.sleep(30)"),
        (1, "time.sleep(30)"),
        (1, "time.sleep(0.3); print('decaystudy: this goes with nothing', file=sys.stderr); sys.exit(2)"),
    ],
)
def test_a_mistake_that_a_process_finds_is_the_call_s(
    mistaken: int, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "MISTAKEN_SECONDS", 1.0)
    monkeypatch.setattr(supervisor, "END_SECONDS", 1.0)
    folder = RunFolder(tmp_path / "run")
    folder.create()
    command = [sys.executable, "-c", BODY.format(mistaken=mistaken, first=first)]
    assert supervise(command, World(2, started=False), folder) == 2
    said = capfd.readouterr().err
    assert said.startswith("decaystudy: this goes with nothing") and said.count("\n") == 1, said
    assert folder.read_status() == {}, "no run has failed"
