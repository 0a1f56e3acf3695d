"""A bundle is judged again without its runs: the same tables and verdicts, or the field that differs."""

import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.sharing.archive import MANIFEST, unpack
from decaystudy.study.sharing.differences import differences
from decaystudy.versions import STATISTICS
from tests.study import small, test_own_decay, test_scales, test_tuning
from tests.study.bundled import call, texts, written_anew
from tests.study.planted import plant


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
    assert f"judged by method 0 then and {STATISTICS} now: 1 verdicts and 1 other fields differ" in said
    assert "tiny: comparisons[gla − mamba2].verdict is equivalent in the file and worse judged again" in said

    for name in ("method", "schema"):
        written_anew(bundled, lambda about, results, name=name: about.update({"method": STATISTICS, name: 99}))  # type: ignore[misc]
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
