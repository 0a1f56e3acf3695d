"""Processes that could never meet are refused before they wait for each other."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from decaystudy.training.network import missing_interfaces
from tests.training import small


@pytest.mark.parametrize("variable", ["GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"])
def test_an_interface_that_this_machine_lacks(
    variable: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "nope0")
    assert small.fit(tmp_path / "run", "--trainer.devices", "2") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{variable} names the network interface nope0, and this machine has " in said and "unset it" in said
    assert not (tmp_path / "run").exists()
    assert all(name in said for _, name in socket.if_nameindex())


@pytest.mark.parametrize(
    ("variable", "value", "missing"),
    [
        ("GLOO_SOCKET_IFNAME", "", []),
        ("GLOO_SOCKET_IFNAME", "lo,eth0", []),
        ("GLOO_SOCKET_IFNAME", "eth", ["eth"]),
        ("GLOO_SOCKET_IFNAME", "lo, ib0", ["ib0"]),
        ("NCCL_SOCKET_IFNAME", "eth", []),
        ("NCCL_SOCKET_IFNAME", "ib,eth", []),
        ("NCCL_SOCKET_IFNAME", "ib", ["ib"]),
        ("NCCL_SOCKET_IFNAME", "=eth", ["eth"]),
        ("NCCL_SOCKET_IFNAME", "=eth0:1,lo", []),
        ("NCCL_SOCKET_IFNAME", "^docker,lo", []),
    ],
)
def test_names_of_interfaces_as_their_libraries_read_them(variable: str, value: str, missing: list[str]) -> None:
    assert missing_interfaces(variable, value, ["lo", "eth0"]) == missing


@pytest.mark.skipif(shutil.which("unshare") is None or os.getuid() != 0, reason="needs a network of its own")
def test_a_machine_without_its_loopback_device(tmp_path: Path) -> None:
    words = ["unshare", "-n", sys.executable, "-m", "decaystudy", "fit", *small.SETTINGS, "--trainer.devices", "2"]
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a network of its own is not allowed here")
    done = subprocess.run([*words, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "cannot reach one another at 127.0.0.1 (" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()


def test_a_single_process_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nope0")
    assert small.fit(tmp_path / "run", "--trainer.max_steps", "3") == 0
