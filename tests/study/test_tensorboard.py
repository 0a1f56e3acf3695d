"""``decaystudy tensorboard``: a study's runs by name with its texts, what has no curves, and how it ends."""

import errno
import importlib.util
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from decaystudy.cli import main
from decaystudy.runs import events
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting import board
from decaystudy.study.run import StudyRequest, run_study
from tests.study import small
from tests.study.planted import plant


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study has ended whose runs have curves."""
    folder = tmp_path_factory.mktemp("board")
    file = small.write_study(folder / "file")
    study = expand(read_study(str(file)), seeds=(0, 1))
    store = Store(folder / "out")
    plant(study, store, {"gla": 0.2})
    for run in study.runs():
        place = store.find(run)
        assert place is not None
        values = [events.scalar(f"validation_decay_median/layer_{n:02d}", 0.9) for n in range(2)]
        events.append_events(place.path / "events.out.tfevents.1.host", [events.scalar("validation/loss", 3.0)], 40)
        events.append_events(place.path / "events.out.tfevents.1.host", values, 40)
    assert run_study(StudyRequest([str(file)], out=str(folder / "out"), seeds="0-1")) == 0
    return folder / "out"


def sentence(said: str) -> str:
    """The one line that was printed on stderr."""
    (line,) = said.strip().splitlines()
    assert line.startswith("decaystudy: ")
    return line


def test_a_study_leaves_a_folder_for_tensorboard(out: Path) -> None:
    board = out / "small" / "tensorboard"
    found = EventMultiplexer().AddRunsFromDirectory(str(board))
    found.Reload()
    names = {f"{cell}-seed{seed}" for cell in ("mamba2", "gla", "hgrn2") for seed in (0, 1)}
    assert set(found.Runs()) == {*names, "small"}
    own, final = found.Scalars("gla-seed1", "validation/loss")
    assert own.value == 3.0 and final.value == pytest.approx(3.257, abs=0.1), (
        "without settings, its result has the last"
    )
    texts = EventAccumulator(str(board / "small"))
    texts.Reload()

    def text(tag: str) -> str:
        (event,) = texts.Tensors(tag)
        return str(event.tensor_proto.string_val[0].decode())

    assert "Does the decay matter?" in text("study/1_question")
    answer = json.loads((out / "small" / "results.json").read_text())["answer"]
    assert answer.split(":")[0] in text("study/2_answer").replace("\\", "")
    assert "GLA is worse." in text("study/3_claims") and "| verdict |" in text("study/3_claims")
    assert "| cell |" in text("study/4_results") and "gla" in text("study/4_results")


def test_report_writes_it_again_and_a_moved_store_keeps_it(out: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(out, moved, symlinks=True)
    shutil.rmtree(moved / "small" / "tensorboard")
    assert main(["report", "small", "--out", str(moved)]) == 0
    links = [path for path in (moved / "small" / "tensorboard").rglob("events*") if path.is_symlink()]
    assert len(links) == 6 and all(moved in path.resolve().parents for path in links)


@pytest.mark.parametrize("words", [["tensorboard"], ["tensorboard", "x", "--port", "70000"]])
def test_a_call_that_cannot_be_obeyed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert sentence(capsys.readouterr().err)


@pytest.mark.parametrize("host", ["", " ", "1.2.3.4", "a" * 70 + ".b"])
def test_an_address_of_no_use(host: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tensorboard", "small", "--out", str(out), "--host", host]) == 2
    said = sentence(capsys.readouterr().err)
    assert "--host is " in said and "give one of this machine's addresses, such as 127.0.0.1" in said


def test_without_curves_there_is_nothing_to_show(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(out, bare, symlinks=True)
    for path in bare.rglob("events*"):
        path.unlink()
    run = next((bare / "store").glob("gla-*"))
    empty = tmp_path / "empty"
    empty.mkdir()
    for target in (run, bare / "small", bare / "store", empty):
        assert main(["tensorboard", str(target)]) == 2
        line = sentence(capsys.readouterr().err)
        assert "has no curves of TensorBoard" in line and str(target.name) in line
    assert main(["tensorboard", "smal", "--out", str(bare)]) == 2
    assert "did you mean 'small'" in sentence(capsys.readouterr().err)


def test_without_the_package_one_sentence_says_so(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tensorboard" else find(name, *rest)
    )
    assert main(["tensorboard", "small", "--out", str(out)]) == 2
    assert "pip install tensorboard" in sentence(capsys.readouterr().err)


def test_a_port_that_is_taken_is_said(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["tensorboard", "small", "--out", str(out), "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot be had" in sentence(capfd.readouterr().err)


@contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The verb as a process, and its address."""
    command = [sys.executable, "-m", "decaystudy", "tensorboard", *words, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert ": http://127.0.0.1:" in line, process.communicate()
        yield process, line.split()[-1]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def ask(url: str, path: str, **request: Any) -> Any:
    data = json.dumps(request).encode() if request else None
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=60) as answer:
        return json.loads(answer.read())


def until(url: str, path: str, fits: Any, seconds: float = 90) -> Any:
    """The answer, once it fits."""
    end = time.monotonic() + seconds
    while not fits(answer := ask(url, path)):
        assert time.monotonic() < end, answer
        time.sleep(0.5)
    return answer


@pytest.mark.slow
def test_it_serves_what_the_study_holds_and_ends_with_ctrl_c(out: Path) -> None:
    with serving("small", "--out", str(out)) as (process, url):
        runs = until(url, "data/runs", lambda names: len(names) == 7)
        assert {"mamba2-seed0", "gla-seed1", "small"} <= set(runs)
        until(url, "data/plugin/text/tags", lambda tags: "study/2_answer" in tags.get("small", {}))
        groups = ask(
            url,
            "data/plugin/hparams/session_groups",
            allowedStatuses=["STATUS_SUCCESS"],
            colParams=[],
            startIndex=0,
            sliceSize=20,
        )
        rows = {group["name"]: group for group in groups["sessionGroups"]}
        assert len(rows) == 6 and rows["gla-seed1"]["hparams"] == {"cell": "gla", "seed": "1", "decay": "gla"}
        metrics = {value["name"]["tag"]: value["value"] for value in rows["gla-seed1"]["metricValues"]}
        assert {"validation/loss", "validation/perplexity", "validation/decay_median"} <= metrics.keys()
        store = next((out / "store").glob("gla-seed1-*"))
        events.append_events(store / "events.out.tfevents.2.host", [events.scalar("train/loss", 1.0)], 41)
        until(url, "data/plugin/scalars/tags", lambda tags: "train/loss" in tags["gla-seed1"])
        process.send_signal(signal.SIGINT)
        _, trouble = process.communicate(timeout=60)
    assert process.returncode == 130 and trouble == ""


@pytest.mark.slow
def test_nothing_of_tensorboard_is_imported_before_it_is_needed() -> None:
    program = (
        "import sys; from decaystudy.cli import main; code = main(['tensorboard', 'nowhere']); "
        "print(code, [n for n in ('tensorboard', 'tensorflow', 'torch', 'grpc') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip().endswith("2 []"), done.stdout


@pytest.mark.parametrize(("named", "place"), [(None, "tensorboard"), ("elsewhere", "elsewhere")])
def test_a_report_says_where_it_could_write_nothing_for_tensorboard(
    named: str | None, place: str, out: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", named)

    monkeypatch.setattr(board, "write_board", full)
    assert main(["report", "small", "--out", str(out)]) == 0
    where = out / "small" / place if named is None else place
    assert f"nothing was written for TensorBoard ({where}: no space left on device)" in caplog.text
