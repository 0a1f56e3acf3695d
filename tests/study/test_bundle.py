"""A study as one file: written from runs, judged again without them, refused when it has changed."""

import getpass
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decaystudy.cli import main
from decaystudy.runs.curves import read_curves
from decaystudy.runs.folder import RunFolder
from decaystudy.study.definition.expand import Run, Study, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.sharing.archive import MANIFEST, pack, unpack
from decaystudy.study.sharing.content import read_bundle
from decaystudy.study.sharing.differences import differences
from tests.runs import test_curves
from tests.study import small, test_own_decay, test_scales, test_tuning
from tests.study.planted import plant, write_answers

CLAIMS = """\
  - {id: same, says: HGRN2 is as good., difference: [hgrn2, mamba2], within: 0.02}
  - {id: faded, says: The memory of GLA grows shorter., decay: {cell: gla, minus: mamba2, layers: mean}, below: 0}
  - {id: answers, says: GLA answers better., accuracy: {pairs: [[gla, mamba2]], task: arc_easy}, above: 0}
"""
STUDY = small.STUDY.replace("seeds: [0]", "seeds: [0, 1, 2]") + CLAIMS
HOSTS = ("node17.cluster.example", "node17", "10.1.2.3")


def call(*words: object, expect: int = 0) -> None:
    assert main([str(word) for word in words]) == expect


def study_of(folder: Path) -> Study:
    return expand(read_study(str(folder / "file" / "small.yaml")))


def end(run: Run, store: Store, message: str) -> None:
    """Make a run one that failed."""
    folder = store.find(run)
    assert folder is not None
    for file in (folder.result, folder.validation_documents, folder.validation_loss):
        file.unlink()
    folder.log.write_text("the log")
    folder.write_status("failed", step=3, message=message)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``ended`` is a copy of."""
    folder = tmp_path_factory.mktemp("made")
    file, out = small.write_study(folder / "file", STUDY), folder / "out"
    study, store = expand(read_study(str(file))), Store(out)
    plant(study, store, {"gla": 0.05}, decays={"gla": [0.5, 0.6, 0.7]})
    for number, run in enumerate(study.runs()):
        place = store.find(run)
        assert place is not None
        write_answers(place, {"piqa": 0.6, "arc_easy": 0.7 if run.cell == "gla" else 0.5}, number)
    call("run-study", file, "--out", out)
    *_, missing, last = study.runs()
    end(last, store, f"FileNotFoundError: {folder}/text/a.txt on {HOSTS[0]} ({HOSTS[2]}) by {getpass.getuser()}")
    gone = store.find(missing)
    assert gone is not None
    store.remove(gone)
    call("report", "--out", out)
    return folder


@pytest.fixture
def ended(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A study with answers, whose last run failed and whose last but one was taken away; its folder."""
    shutil.copytree(made, tmp_path, symlinks=True, dirs_exist_ok=True)
    plan = tmp_path / "out/small/plan.json"
    plan.write_text(plan.read_text().replace(str(made), str(tmp_path)))
    capsys.readouterr()
    return tmp_path


@pytest.fixture
def bundled(ended: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The same as a bundle, without the runs and the study's file."""
    call("bundle", "small", "--out", ended / "out", "-o", ended / "small.bundle")
    assert "small at tiny: 9 runs, 1 failed, 7 finished, 1 planned" in capsys.readouterr().out
    shutil.rmtree(ended / "file")
    (ended / "out").rename(ended / "away")
    return ended / "small.bundle"


def written_anew(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Write a bundle whose manifest and results somebody has changed, with the digests that belong to them."""
    manifest, members = unpack(path)
    results = json.loads(members["tiny/results.json"])
    change(manifest, results)
    members["tiny/results.json"] = json.dumps(results).encode()
    path.write_bytes(pack(members, {key: value for key, value in manifest.items() if key not in ("format", "members")}))


def test_all_comes_out_again_without_the_runs(bundled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("rejudge", bundled)
    printed = capsys.readouterr().out
    kept = json.loads((bundled.parent / "away/small/results.json").read_text())
    stored = json.loads(unpack(bundled)[1]["tiny/results.json"])
    different = {re.sub(r"\[.*\]", "", one.field) for one in differences(kept, stored)}
    assert (
        different == {"runs.log", "runs.cost.host"}
        and "numbers at tiny and every verdict come out as they are stored" in printed
    )
    for row in kept["comparisons"] + kept["claims"]:
        assert str(row["verdict"]) in printed
    for words in ("1 failed, 7 finished, 1 planned", "hgrn2 seed 2 failed at step 3", "2 of 9 runs have not finished"):
        assert words in printed
    assert len(stored["claims"]) == 4 and stored["accuracy_comparisons"] and stored["decay_family"]


def test_tables_are_those_of_report(bundled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("rejudge", bundled)
    printed = capsys.readouterr().out
    markdown = (bundled.parent / "away/small/results.md").read_text()
    numbers = re.findall(r"[+−]?\d+\.\d+ \[[^]]+\]", markdown)
    assert len(numbers) > 8 and all(number in printed for number in numbers)


def test_a_changed_byte_is_refused(bundled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = bundled.read_bytes()
    for place in (0, 10, 40, 44, *range(50, len(whole), len(whole) // 40), len(whole) - 65, len(whole) - 1):
        bundled.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        call("rejudge", bundled, expect=2)
        said = capsys.readouterr()
        assert said.err.count("\n") == 1 and "bundle" in said.err and not said.out
    for content in (whole[:-1], whole[:2000], b"", b"PK\x03\x04", whole + b"x"):
        bundled.write_bytes(content)
        call("rejudge", bundled, expect=2)
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda about, r: r["comparisons"][0].update(verdict="better"), "comparisons[gla − mamba2].verdict is better"),
        (lambda about, r: r["cells"][1].update(val_loss=r["cells"][1]["val_loss"] * (1 + 1e-8)), "cells[gla].val_loss"),
        (lambda about, r: r["claims"][2]["decisive"].update(high=None), "claims[faded].decisive.high is None"),
        (lambda about, r: r["runs"][0]["decay"][1].update(median=0.5), "runs[…].decay[1].median is 0.5"),
        (lambda about, r: r["runs"].pop(), "the length of runs is 8 in the file and 9 judged again"),
        (lambda about, r: r.update(made_up=3), "made_up is 3"),
    ],
)
def test_another_number_or_verdict_is_named(
    change: Callable[[dict[str, Any], dict[str, Any]], None],
    field: str,
    bundled: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    written_anew(bundled, change)
    call("rejudge", bundled, expect=1)
    said = capsys.readouterr().err
    assert all(part in said for part in field.split("…")) and said.count("\n") <= 6


def test_rounding_and_wording_are_no_difference(bundled: Path) -> None:
    def change(about: dict[str, Any], results: dict[str, Any]) -> None:
        results["cells"][0]["val_loss"] *= 1 + 1e-11
        results["notes"] = ["In other words."]
        del results["finer_scale"]  # as of a version that had no such field

    written_anew(bundled, change)
    call("rejudge", bundled)


def test_another_method(bundled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def older(about: dict[str, Any], results: dict[str, Any]) -> None:
        about["method"] = 0
        results["comparisons"][0]["verdict"] = "equivalent"
        results["comparisons"][0]["low"] = -1.0

    written_anew(bundled, older)
    call("rejudge", bundled)
    said = capsys.readouterr().out
    assert "judged by method 0 then and 1 now: 1 verdicts and 1 other fields differ" in said
    assert "tiny: comparisons[gla − mamba2].verdict is equivalent in the file and worse judged again" in said

    for name in ("method", "schema"):
        written_anew(bundled, lambda about, results, name=name: about.update({"method": 1, name: 99}))  # type: ignore[misc]
        call("rejudge", bundled, expect=2)
        assert f"{name} 99" in capsys.readouterr().err
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(MANIFEST, json.dumps({"format": 99}))
        archive.comment = b"0" * 64
    whole = content.getvalue()[:-64]
    bundled.write_bytes(whole + sha256(whole).hexdigest().encode())
    call("rejudge", bundled, expect=2)
    assert "has format 99 and this version of decaystudy reads up to 1" in capsys.readouterr().err


def test_rejudge_takes_several_and_no_torch(bundled: Path) -> None:
    words = ["rejudge", str(bundled), str(bundled)]
    code = f"import sys; from decaystudy.cli import main; assert main({words}) == 0; assert 'torch' not in sys.modules"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("come out as they are stored") == 2


def texts(path: Path) -> str:
    """All text that a bundle holds."""
    manifest, members = unpack(path)
    return json.dumps(manifest) + "".join(data.decode() for name, data in members.items() if name.endswith(".json"))


def test_nothing_of_the_machine_is_in_it(
    ended: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ended / "out"
    for run in study_of(ended).runs():
        folder = Store(out).find(run)
        if folder is not None:
            status = folder.read_status()
            folder.status.write_text(json.dumps({**status, "host": HOSTS[0]}))
    monkeypatch.chdir(ended)
    call("bundle", "small", "--out", "out")
    found = texts(ended / "small.bundle")
    for word in (*HOSTS, str(ended), str(Path.home()) + "/", socket.gethostname() + '"', "a.txt on node"):
        assert word not in found
    assert "a.txt on HOST (HOST) by USER" in found
    assert not re.search(r"[\"' ](/[\w.-]+)+|[A-Za-z]:\\\\", found)
    assert "safetensors" not in found and len((ended / "small.bundle").read_bytes()) < 40_000
    with zipfile.ZipFile(ended / "small.bundle") as archive, archive.open("arrays.npz") as arrays:
        assert all(one.dtype.kind in "fi" for one in np.load(io.BytesIO(arrays.read()), allow_pickle=False).values())


def test_equal_content_makes_equal_bytes_wherever_it_is(ended: Path) -> None:
    one, other = ended / "one.bundle", ended / "other.bundle"
    call("bundle", "small", "--out", ended / "out", "-o", one)
    shutil.copytree(ended / "out", ended / "elsewhere" / "runs", symlinks=True)
    for file in (ended / "elsewhere").rglob("status.json"):
        status = json.loads(file.read_text())
        file.write_text(json.dumps({**status, "host": "another", "heartbeat": 1.0}))
    call("bundle", "small", "--out", ended / "elsewhere" / "runs", "-o", other)
    assert one.read_bytes() == other.read_bytes()


def test_own_files_are_named_without_their_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts_of = tmp_path / "jane doe" / "texts"
    texts_of.mkdir(parents=True)
    for name in "ab":
        (texts_of / f"{name}.txt").write_text(f"Some words of {name}. " * 400)
    files = (
        f"  data.source: files\n  data.files: ['{texts_of}/a.txt', '{texts_of}/b*.txt']\n  data.tokenizer: bpe:300\n"
    )
    file = small.write_study(tmp_path / "file", STUDY.replace("grid:", f"{files}grid:"))
    study, store = expand(read_study(str(file))), Store(tmp_path / "out")
    plant(study, store, {"gla": 0.05})
    call("run-study", file, "--out", tmp_path / "out")
    call("bundle", "small", "--out", tmp_path / "out", "-o", tmp_path / "small.bundle")
    found = texts(tmp_path / "small.bundle")
    assert "a.txt" in found and "b*.txt" in found
    assert not any(word in found for word in ("jane", "doe/", "texts", "Some words", str(tmp_path)))
    first = json.loads(unpack(tmp_path / "small.bundle")[1]["tiny/runs.json"])[0]
    assert first["config"]["data"]["files"] == ["a.txt", "b*.txt"]
    assert re.fullmatch("[0-9a-f]{32}", first["result"]["data"]["revision"])
    call("rejudge", tmp_path / "small.bundle")


@pytest.mark.slow
def test_several_scales(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = test_scales.run_at(tmp_path, test_scales.at({"b": 0.1, "c": 0.1}, "tiny", "160m"))
    capsys.readouterr()
    call("bundle", "small", "--out", tmp_path / "out", "-o", tmp_path / "small.bundle")
    shutil.rmtree(tmp_path / "out")
    call("rejudge", tmp_path / "small.bundle")
    printed = capsys.readouterr().out
    assert printed.count("come out as they are stored") == 2 and printed.index("at 160m") < printed.index("at tiny,")
    stored = json.loads(unpack(tmp_path / "small.bundle")[1]["160m/results.json"])
    assert stored["every_scale"] == kept["every_scale"] and len(kept["every_scale"]) == 2


@pytest.mark.slow
def test_chosen_rates_and_those_taken_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, store = test_tuning.make(tmp_path), Store(tmp_path / "out")
    test_tuning.planted(study, store)
    call("run-study", tmp_path / "small.yaml", "--seeds", "0-2", "--out", tmp_path / "out")
    results = tmp_path / "out/small/results.json"
    text = test_tuning.HEAD + f"rates_from: {results}\n"
    taking = expand(read_study(str(small.write_study(tmp_path, text, "taking"))), seeds=(0, 1, 2))
    plant(taking, store, {})
    call("run-study", tmp_path / "taking.yaml", "--seeds", "0-2", "--out", tmp_path / "out")
    for name in ("small", "taking"):
        call("bundle", name, "--out", tmp_path / "out", "-o", tmp_path / f"{name}.bundle")
    shutil.rmtree(tmp_path / "out")
    capsys.readouterr()
    call("rejudge", tmp_path / "small.bundle", tmp_path / "taking.bundle")
    printed = capsys.readouterr().out
    assert printed.count("come out as they are stored") == 2
    assert "Each cell is compared at its best learning rate of 0.001, 0.003, 0.01" in printed
    assert "Settings are those chosen in small/results.json" in printed
    assert not any(str(tmp_path) in texts(tmp_path / f"{name}.bundle") for name in ("small", "taking"))


@pytest.mark.slow
def test_a_decay_of_ones_own_is_not_needed_again(tmp_path: Path) -> None:
    file = test_own_decay.write(tmp_path, tmp_path)
    code = """
import sys
from tests.study.planted import plant
from decaystudy.cli import main
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
plant(expand(read_study("factors.yaml")), Store("out"), {})
assert main(["run-study", "factors.yaml", "--out", "out"]) == 0
assert main(["bundle", "factors", "--out", "out"]) == 0
"""
    root = str(Path(__file__).parents[2])
    made = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    (tmp_path / "elsewhere").mkdir()
    said = test_own_decay.decaystudy("rejudge", str(tmp_path / "factors.bundle"), cwd=tmp_path / "elsewhere")
    assert said.returncode == 0 and "mine-whole" in said.stdout and file.exists(), said.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("bundle",), "required"),
        (("bundle", "smal"), "no study 'smal' has been run in"),
        (("bundle", "small", "-o", "away/small.bundle"), "the folder away does not exist"),
        (("bundle", "small", "-o", "out"), "out is a folder: name a file"),
        (("bundle", "small", "-o", "file/small.yaml"), "file/small.yaml is there and is no bundle"),
        (("rejudge",), "required"),
        (("rejudge", "nothing.bundle"), "nothing.bundle does not exist"),
        (("rejudge", "out"), "out is a folder"),
        (("rejudge", "file/small.yaml"), "file/small.yaml is no bundle"),
    ],
)
def test_wrong_calls_are_refused_in_a_sentence(
    words: tuple[str, ...],
    complaint: str,
    ended: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ended)
    call(*words, *(["--out", "out"] if words[0] == "bundle" and len(words) > 1 else []), expect=2)
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1
    assert (ended / "file/small.yaml").read_text() == STUDY and not list(ended.glob("**/*.bundle"))


def test_a_run_in_progress_is_in_it_as_such(ended: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Store(ended / "out").find(study_of(ended).runs()[-1])
    assert isinstance(folder, RunFolder)
    with folder.locked():
        call("bundle", "small", "--out", ended / "out", "-o", ended / "small.bundle")
    assert "7 finished, 1 planned, 1 running" in capsys.readouterr().out
    call("rejudge", ended / "small.bundle")


def test_runs_that_were_copied_without_weights_keep_their_answers(ended: Path) -> None:
    one, other = ended / "one.bundle", ended / "other.bundle"
    call("bundle", "small", "--out", ended / "out", "-o", one)
    for weights in (ended / "out/store").glob("*/*.safetensors"):
        weights.unlink()
    call("bundle", "small", "--out", ended / "out", "-o", other)
    assert one.read_bytes() == other.read_bytes()


def test_curves_are_in_it(ended: Path) -> None:
    run = study_of(ended).runs()[0]
    folder = Store(ended / "out").find(run)
    assert folder is not None
    test_curves.write(folder.path, "", range(0, 500))
    call("bundle", "small", "--out", ended / "out", "-o", ended / "small.bundle")
    curves = read_bundle(ended / "small.bundle").curves
    assert [key for key, found in curves.items() if found] == [run.hash]
    kept = read_curves(folder.path)
    assert curves[run.hash].keys() == kept.keys()
    for name, curve in curves[run.hash].items():
        assert np.array_equal(curve.steps, kept[name].steps) and np.array_equal(curve.values, kept[name].values)
    assert len((ended / "small.bundle").read_bytes()) < 40_000


@pytest.mark.slow
def test_the_report_is_written_anew(bundled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, before = bundled.parent / "again", bundled.parent / "away/small"
    call("rejudge", bundled, "--write", folder)
    made = folder / "small"
    assert str(made / "report.html") in capsys.readouterr().err

    def text(file: Path) -> str:
        return re.sub("FileNotFoundError: .*", "", file.read_text())

    assert text(made / "results.md") == text(before / "results.md")
    assert (made / "report.tex").read_text() == (before / "report.tex").read_text()
    for figure in (before / "figures").glob("*.svg"):
        assert (made / "figures" / figure.name).read_bytes() == figure.read_bytes()
    answer = re.compile(r'<p id="answer">.*?</p>', re.S)
    pages = [answer.findall((place / "report.html").read_text()) for place in (made, before)]
    assert pages[0] == pages[1] and len(pages[0]) == 1
    call("rejudge", bundled, bundled, "--write", bundled.parent / "both", expect=2)
    assert "are both of small" in capsys.readouterr().err
    call("rejudge", bundled, "--write", bundled.parent / "away", expect=2)
    assert "has the results of the study's own runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("manifest", "study"),
    [({"study": "../../evil"}, {"name": "../../evil"}), ({"scales": ["../.."]}, {}), ({}, {"name": "../../evil"})],
)
def test_a_bundle_writes_nowhere_else(
    manifest: dict[str, Any], study: dict[str, Any], bundled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about, members = unpack(bundled)
    about |= manifest
    held = json.loads(members["tiny/study.json"]) | study
    scale = about["scales"][0]
    members |= {f"{scale}/{name}.json": members[f"tiny/{name}.json"] for name in ("runs", "results")}
    members[f"{scale}/study.json"] = json.dumps(held).encode()
    bundled.write_bytes(pack(members, {key: value for key, value in about.items() if key not in ("format", "members")}))
    before = {path for path in bundled.parent.rglob("*")}
    call("rejudge", bundled, "--write", bundled.parent / "a/b/c", expect=2)
    assert capsys.readouterr().err.count("\n") == 1 and {path for path in bundled.parent.rglob("*")} == before


def test_a_bundle_that_does_not_fit_together(bundled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about, members = unpack(bundled)
    study = json.loads(members["tiny/study.json"])
    study["cells"][0]["name"] = "another"
    members["tiny/study.json"] = json.dumps(study).encode()
    bundled.write_bytes(pack(members, {key: value for key, value in about.items() if key not in ("format", "members")}))
    call("rejudge", bundled, expect=2)
    said = capsys.readouterr().err
    assert "the bundle of small doesn't fit together (" in said and said.count("\n") == 1


def test_what_is_no_file_is_not_read(ended: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(ended / "pipe")
    call("rejudge", ended / "pipe", expect=2)
    call("rejudge", "/dev/zero", expect=2)
    call("bundle", "small", "--out", ended / "out", "-o", ended / "pipe", expect=2)
    assert capsys.readouterr().err.count("\n") == 3


def test_the_python_of_the_docs(
    bundled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs/share-a-study.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    monkeypatch.chdir(bundled.parent)
    bundled.rename(bundled.parent / "sharing.bundle")
    exec(code, {})
    printed = capsys.readouterr().out
    assert printed.startswith("At tiny, ") and printed.count("-seed") == 7
