"""Whole rehearsals on the command line: one that passes on each strategy, and planted faults that fail by name."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import decaystudy
from decaystudy.commands.rehearse import tiny_run
from decaystudy.rehearsal.bandwidth import bandwidth
from decaystudy.rehearsal.checks import CheckFailed, Rehearsal

pytestmark = pytest.mark.slow
ROOT = Path(decaystudy.__file__).parents[1]
CHECKS = ["rename", "lock", "links", "disk", "folder sync", "bandwidth", "run", "start values", "checkpoint", "kills"]


def start(out: Path, *more: str) -> subprocess.Popen[str]:
    """``decaystudy rehearse`` as a process of its own, from a folder below which the decays of the tests lie."""
    return subprocess.Popen(
        [sys.executable, "-m", "decaystudy", "rehearse", "--out", str(out), *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )


def rehearse(out: Path, *more: str, expect: int = 0) -> dict[str, tuple[str, str]]:
    """Each check's word and what it says; the last line is that of ``""``."""
    began = time.monotonic()
    said, errors = start(out, *more).communicate(timeout=600)
    assert "Traceback" not in errors, errors
    lines = said.splitlines()
    found = {name: line for name in CHECKS for line in lines if line[6:].startswith(f"{name} ")}
    assert list(found) == CHECKS and len(lines) == 2 + len(CHECKS), said + errors
    assert lines[-1].startswith("all 10 checks passed" if expect == 0 else f"{said.count('FAIL')} of 10"), said
    assert time.monotonic() - began < 300
    return {name: (line[:4], line[30:]) for name, line in found.items()}


FSDP = ("--strategy", "fsdp", "--devices", "2")
STEP = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "RANK": "0", "LOCAL_RANK": "0"}
"""A step of one task, in which a rehearsal starts its own processes."""


@pytest.mark.long
@pytest.mark.parametrize("layout", [("--strategy", "auto"), FSDP])
def test_this_machine_passes(layout: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in STEP.items():
        monkeypatch.setenv(name, value)
    found = rehearse(tmp_path / "runs", *layout)
    assert {word for word, _ in found.values()} == {"pass"}
    if "fsdp" in layout:
        assert "between 2 ranks over gloo at" in found["bandwidth"][1]
        assert "2 ranks agree with one process" in found["start values"][1]
        assert "a folder of" in found["checkpoint"][1]
    else:
        assert "nothing to measure" in found["bandwidth"][1]
    assert "SIGKILL at step" in found["kills"][1] and "SIGTERM at step" in found["kills"][1]
    assert found["kills"][1].count("resumed at") == 3
    assert not (tmp_path / "runs").exists(), "what passed leaves nothing behind"


@pytest.mark.long
def test_a_decay_that_starts_elsewhere_than_it_declares(tmp_path: Path) -> None:
    own = ("--model.decay", "tests.rehearsal.own.Forgetful", "--model.decay_options.start", "0.9")
    found = rehearse(tmp_path, "--kills", "1", *own, expect=1)
    assert [name for name, (word, _) in found.items() if word != "pass"] == ["start values"]
    word, says = found["start values"]
    assert (
        word == "FAIL" and "λ of layer 0 starts at a median of 0.5 and decay" in says and "declares 0.9: mend" in says
    )


def test_checkpoints_that_lose_their_end(tmp_path: Path) -> None:
    found = rehearse(tmp_path, "--model.decay", "tests.rehearsal.own.OnADiskThatCuts", expect=1)
    assert [name for name, (word, _) in found.items() if word == "FAIL"] == ["checkpoint"]
    assert ".ckpt is broken (" in found["checkpoint"][1] and "another file system" in found["checkpoint"][1]
    assert found["kills"] == ("----", "not run, since checkpoint failed")
    [kept] = tmp_path.glob("rehearsal-*")
    assert (kept / "undisturbed" / "result.json").exists()


def test_a_file_system_without_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, os\n"
        "def refuse(*names, **settings):\n"
        "    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))\n"
        "os.replace = os.rename = refuse\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    found = rehearse(tmp_path / "runs", expect=1)
    assert found["rename"][0] == "FAIL" and "replacing a file by rename fails" in found["rename"][1]
    assert found["run"] == ("----", "not run, since rename failed")


@pytest.mark.parametrize("network", [None, "nowhere0"])
def test_processes_that_do_not_reach_each_other(
    network: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if network is not None:
        monkeypatch.setenv("GLOO_SOCKET_IFNAME", network)
    rehearsal = Rehearsal(tiny_run({"trainer": {"accelerator": "cpu"}}, 2, 1), tmp_path, 1)
    if network is None:
        assert re.fullmatch(r"16.0 MiB all-reduced between 2 ranks over gloo at .* [MG]iB/s", bandwidth(rehearsal))
        return
    with pytest.raises(CheckFailed, match=r"the processes cannot add up a tensor \(.*\): see whether they reach"):
        bandwidth(rehearsal)


def test_a_signal_ends_the_run_too(tmp_path: Path) -> None:
    process = start(tmp_path / "runs")
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/rehearsal-*/undisturbed/metrics.csv")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in errors
    assert not (tmp_path / "runs").exists()
    held = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in _content(path)]
    assert not held, "the run outlived its rehearsal"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
