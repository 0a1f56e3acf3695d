"""The run store: one folder per run whoever asks, leases between hosts, the scheduler's view of what others do."""

import multiprocessing
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from decaystudy.io import write_json
from decaystudy.runs.folder import STALE_SECONDS, RunFolder, state_of
from decaystudy.runs.lease import latest, take_lease
from decaystudy.study.definition.expand import Run, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.endings import last_line
from decaystudy.study.execution.store import Store
from tests.study import small


def runs(folder: Path, text: str = small.STUDY, name: str = "small") -> list[Run]:
    return expand(read_study(str(small.write_study(folder, text, name)))).runs()


def claim_all(folder: str, out: str, name: str, ready: Any, answers: Any) -> None:
    text = small.STUDY[: small.STUDY.index("claims:")].replace("baseline: mamba2\n", "")
    wanted = runs(Path(folder), text.replace("[mamba2, gla, hgrn2]", f"[{name}: {{decay: mamba2}}, gla]"), name)
    ready.wait()
    answers.put([str(Store(out).claim(run).path) for run in wanted[:1]])


def test_many_studies_claiming_one_run_get_one_folder(tmp_path: Path) -> None:
    """Under different names, at once, from different processes."""
    context = multiprocessing.get_context("fork")
    ready, answers = context.Barrier(6), context.SimpleQueue()
    names = [f"cell{i}" for i in range(6)]
    processes = [
        context.Process(target=claim_all, args=(str(tmp_path / name), str(tmp_path / "out"), name, ready, answers))
        for name in names
    ]
    for process in processes:
        process.start()
    paths = {answers.get()[0] for _ in processes}
    for process in processes:
        process.join()
    assert len(paths) == 1
    assert len(list((tmp_path / "out" / "store").glob("cell*"))) == 1


def test_a_lease_keeps_other_hosts_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    monkeypatch.setattr(socket, "gethostname", lambda: "one")
    assert take_lease(folder)
    monkeypatch.setattr(socket, "gethostname", lambda: "other")
    assert not take_lease(folder)
    # On its own host the kernel lock decides, so the lease can be taken again at once.
    monkeypatch.setattr(socket, "gethostname", lambda: "one")
    assert take_lease(folder)
    assert latest(folder)[0] == 2
    # A heart that beats keeps a lease alive, one that doesn't lets it go.
    monkeypatch.setattr(socket, "gethostname", lambda: "other")
    old = time.time() - 2 * STALE_SECONDS
    write_json(folder.path / "lease-2.json", {"host": "one", "pid": 1, "time": old})
    write_json(folder.status, {"state": "running", "host": "one", "pid": 1, "heartbeat": time.time()})
    assert not take_lease(folder)
    write_json(folder.status, {"state": "running", "host": "one", "pid": 1, "heartbeat": old})
    assert take_lease(folder)
    assert not [path for path in folder.path.glob("lease-4*")]


def test_of_two_hosts_one_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have seen lease 1 run out; each tries to make lease 2."""
    folder = RunFolder(tmp_path / "run")
    folder.create()
    write_json(folder.path / "lease-1.json", {"host": "dead", "pid": 1, "time": 0.0})
    monkeypatch.setattr(socket, "gethostname", lambda: "one")
    assert take_lease(folder)
    monkeypatch.setattr(socket, "gethostname", lambda: "other")
    monkeypatch.setattr("decaystudy.runs.lease.latest", lambda folder: (1, folder.path / "lease-1.json"))
    assert not take_lease(folder)


def test_a_result_outweighs_what_the_status_says(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.write_status("running", step=3)
    assert state_of(folder) == "killed"
    write_json(folder.result, {"status": "finished"})
    assert state_of(folder) == "finished"


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    assert last_line(folder, 7) == "ended with exit code 7"
    folder.log.write_text("x" * 10_000 + "\nValueError: no\n\n")
    assert last_line(folder, 1) == "ValueError: no"


def test_a_moved_store_is_found_again(tmp_path: Path) -> None:
    wanted = runs(tmp_path / "file")[0]
    Store(tmp_path / "one").claim(wanted)
    (tmp_path / "one").rename(tmp_path / "two")
    found = Store(tmp_path / "two").find(wanted)
    assert found is not None and found.config.is_file()
    assert Store(tmp_path / "one").find(wanted) is None
