"""``decaystudy doctor`` on machines that lack this or that."""

import getpass
import http.server
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from decaystudy.cli import main
from decaystudy.doctor import network
from decaystudy.ops import backends
from decaystudy.ops.call import CallFacts

SECTIONS = ("package and machine", "packages", "settings of the environment", "cache", "hub", "GPU", "kernels")


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def told(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["doctor"]) == 0
    said = capsys.readouterr()
    assert not said.err
    return said.out


def value(printed: str, name: str) -> str:
    (found,) = re.findall(rf"^  {re.escape(name)}  +(.*)$", printed, re.M)
    return str(found)


def test_it_tells_all_without_gpu_and_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    (cache / "tokens").mkdir(parents=True)
    (cache / "tokens" / "a.bin").write_bytes(b"x" * 2048)
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(cache))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    printed = told(capsys)
    assert [line for line in SECTIONS if re.search(rf"^{line}", printed, re.M)] == list(SECTIONS)
    assert value(printed, "torch") == torch.__version__
    assert value(printed, "size") == "2.0 KiB in 1 files" and value(printed, "  tokens") == "2.0 KiB in 1 files"
    assert value(printed, "reachable").startswith("no: ") and value(printed, "HF_TOKEN") == "set"
    assert "secret" not in printed and "127.0.0.1" not in printed
    assert value(printed, "decoding") == "recurrent"
    if not torch.cuda.is_available():
        assert value(printed, "bfloat16, vector").startswith("chunked; not triton or fla: its kernels need an NVIDIA")


def test_no_user_and_no_host_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "jane"))
    monkeypatch.setenv("LOGNAME", "jane")
    monkeypatch.setattr(socket, "gethostname", lambda: "janes-laptop.example")
    monkeypatch.delenv("DECAYSTUDY_CACHE")
    monkeypatch.setenv("HF_HOME", "/scratch/jane/hf on janes-laptop")
    printed = told(capsys)
    assert getpass.getuser() == "jane" and "jane" not in printed
    assert (
        value(printed, "folder") == "~/.cache/decaystudy" and value(printed, "size") == "it is made when it is needed"
    )
    assert value(printed, "HF_HOME") == "/scratch/USER/hf on HOST"


def test_a_home_that_is_the_root_hides_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", "/")
    monkeypatch.delenv("DECAYSTUDY_CACHE")
    printed = told(capsys)
    assert value(printed, "folder") == "/.cache/decaystudy" and "~" not in printed


def test_a_broken_installation_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12: cannot open shared object file')\n")
    said = subprocess.run(
        [sys.executable, "-m", "decaystudy", "doctor"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0 and not said.stderr
    assert said.stdout.count("ImportError: libcudart.so.12: cannot open shared object file") == 2
    assert "reachable" in said.stdout


def test_a_gpu_that_torch_cannot_use_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.version.cuda is not None:
        pytest.skip("torch is built for CUDA here")
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 570.1'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    printed = told(capsys)
    assert value(printed, "driver") == "NVIDIA H200 with driver 570.1"
    assert value(printed, "used").startswith("none: torch is built without CUDA: install another build of it")


def test_a_hub_that_answers_and_one_that_never_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert network.reached(f"http://127.0.0.1:{server.server_port}").startswith("yes, in ")
        server.shutdown()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        found = network.reached(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.3)
        assert "timed out" in found or "no answer" in found
        assert time.monotonic() - began < 3
    assert network.reached("file:///etc/passwd").startswith("no: ")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert dict(network.hub_facts())["reachable"] == "not asked: HF_HUB_OFFLINE is set"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("serving", [(), ("fla",), ("triton", "fla")])
def test_reasons_belong_to_the_choice(
    dtype: torch.dtype, serving: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is passed over is what stands before the backend that ``auto`` takes, each with a reason."""
    for name in backends.FASTEST_ON_CUDA:
        mine = backends.Backend(name, lambda call: None, lambda facts, ok=name in serving: None if ok else "no")  # type: ignore[arg-type, misc, return-value]
        monkeypatch.setitem(backends.BACKENDS, name, mine)
    facts = CallFacts(torch.device("cuda"), dtype, 1, 64, 2, 32, 32, False, False, False)
    chosen = backends.choose(facts, "auto").name
    order = [*backends.FASTEST_ON_CUDA, "chunked"]
    assert list(backends.passed_over(facts)) == order[: order.index(chosen)]
    assert chosen == ("triton" if "triton" in serving else "fla" if serving and dtype != torch.float32 else "chunked")
