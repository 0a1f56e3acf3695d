"""Processes that could never meet are refused before they wait for each other."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from decaystudy.errors import UserError
from decaystudy.training.network import GLOO, NCCL, check_network, mistaken_interfaces
from decaystudy.training.world import World
from tests.training import small


def test_an_interface_that_this_machine_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GLOO, "nope0")
    assert small.fit(tmp_path / "run", "--trainer.devices", "2", "--trainer.accelerator", "cpu") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{GLOO} names the network interface 'nope0', and this machine has " in said and "unset it" in said
    assert not (tmp_path / "run").exists()
    assert all(name in said for _, name in socket.if_nameindex())


def test_the_variable_of_a_library_that_is_not_used_is_passed_over() -> None:
    check_network(World(2), False, {NCCL: "nope0"})
    for variable in (GLOO, NCCL):
        with pytest.raises(UserError, match=variable):
            check_network(World(2), True, {variable: "nope0"})


def test_what_needs_no_asking_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*given: object) -> None:
        raise OSError("not to be asked")

    monkeypatch.setattr(socket, "if_nameindex", asked)
    monkeypatch.setattr(socket, "create_server", asked)
    check_network(World(2, started=True), True, {})
    check_network(World(2, nodes=2, started=False), True, {GLOO: "", NCCL: "x"})
    with pytest.raises(UserError, match="cannot reach one another at 127"):
        check_network(World(2, started=False), True, {})


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        (GLOO, "lo,eth0", ""),
        (GLOO, "eth0:1,", ""),
        (GLOO, "eth", "names the network interface 'eth'"),
        (GLOO, "lo,ib0,ib1", "names the network interface 'ib0', 'ib1'"),
        (GLOO, "lo, eth0", "names the network interface ' eth0'"),
        (GLOO, "=lo", "names the network interface '=lo'"),
        (NCCL, "eth", ""),
        (NCCL, "ib,eth", ""),
        (NCCL, "ib,en", "names the network interface 'ib', 'en'"),
        (NCCL, "=eth", "names the network interface 'eth'"),
        (NCCL, "=eth0:1,ib0", ""),
        (NCCL, "=ib0,ib1", "names the network interface 'ib0', 'ib1'"),
        (NCCL, "^docker,lo", ""),
        (NCCL, "^=eth,lo", ""),
        (NCCL, "^lo,et", "excludes every network interface (^lo,et)"),
        (NCCL, "^=lo,eth0", "excludes every network interface (^=lo,eth0)"),
    ],
)
def test_names_of_interfaces_as_their_libraries_read_them(variable: str, value: str, says: str) -> None:
    assert mistaken_interfaces(variable, value, ["lo", "eth0"]) == says


@pytest.mark.skipif(shutil.which("unshare") is None or os.getuid() != 0, reason="needs a network of its own")
def test_a_machine_without_its_loopback_device(tmp_path: Path) -> None:
    words = ["unshare", "-n", sys.executable, "-m", "decaystudy", "fit", *small.SETTINGS, "--trainer.devices", "2"]
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a network of its own is not allowed here")
    done = subprocess.run([*words, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "cannot reach one another at 127.0.0.1 (" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()


def test_a_single_process_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GLOO, "nope0")
    assert small.fit(tmp_path / "run", "--trainer.max_steps", "3") == 0
