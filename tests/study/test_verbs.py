"""run-study on finished runs, report, status, clean and probe, as Python functions."""

import dataclasses
import html.parser
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from decaystudy.cli import main
from decaystudy.errors import UserError
from decaystudy.study.clean import clean
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.launcher import ExecutionOptions
from decaystudy.study.execution.slurm_options import SlurmOptions
from decaystudy.study.execution.store import Store
from decaystudy.study.planning import hardware
from decaystudy.study.planning.hardware import Probe, choose_speed, shape_key, summarise_probe, write_probe
from decaystudy.study.planning.plan import plan_study
from decaystudy.study.reporting.report import report
from decaystudy.study.run import StudyRequest, cancel_jobs, run_study, show_plan
from decaystudy.study.status import status
from tests.study import small
from tests.study.planted import plant


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A study whose runs have all finished, called once; its folder."""
    file = small.write_study(tmp_path / "file", small.STUDY.replace("A small study", "A small & <odd> study_1"))
    plant(expand(read_study(str(file))), Store(tmp_path / "out"), {"gla": 0.05})
    assert run_study(StudyRequest([str(file)], out=str(tmp_path / "out"))) == 0
    return tmp_path


def test_a_finished_study_trains_nothing(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = finished / "out"
    before = {path: path.stat().st_mtime_ns for path in (out / "store").rglob("*")}
    capsys.readouterr()
    assert run_study(StudyRequest([str(finished / "file" / "small.yaml")], out=str(out))) == 0
    printed = capsys.readouterr()
    assert "started" not in printed.err
    for words in ("one seed", "Held-out unigram entropy: 5.0000", "– not judged (one seed)", "decaystudy tensorboard"):
        assert words in printed.out
    assert {path: path.stat().st_mtime_ns for path in (out / "store").rglob("*")} == before


def test_a_study_ends_with_its_report_and_figures_unless_they_are_turned_off(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, file = finished / "out" / "small", finished / "file" / "small.yaml"
    assert (folder / "report.html").is_file() and "<svg" in (folder / "report.html").read_text()
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {f"{name}.{ending}" for name in ("decays", "loss_by_decay") for ending in ("svg", "pdf")}
    assert (folder / "figures" / "decays.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "figures" / "decays.svg").read_text().startswith("<svg")
    (folder / "figures" / "losses.svg").write_text("of seeds that are no longer asked for")
    (folder / "report.html").unlink()
    capsys.readouterr()
    assert main(["run-study", str(file), "--out", str(finished / "out"), "--report", "false"]) == 0
    assert "decaystudy report makes report.html" in capsys.readouterr().out
    assert not (folder / "report.html").exists()
    assert main(["run-study", str(file), "--out", str(finished / "out")]) == 0
    assert str(folder / "report.html") in capsys.readouterr().out and (folder / "report.html").exists()
    assert {path.name for path in (folder / "figures").iterdir()} == names


class Tags(html.parser.HTMLParser):
    """Checks that tags are closed in order, and notes what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "p"):
            self.open.append(tag)
        if tag in ("link", "img", "iframe") or (tag == "script" and "src" in dict(attrs)):
            self.loads.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "br", "p"):
            assert self.open.pop() == tag


def test_report_is_one_whole_page(finished: Path) -> None:
    assert report(out=str(finished / "out")) == 0
    folder = finished / "out" / "small"
    page = (folder / "report.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert not tags.open and not tags.loads
    assert "A small &amp; &lt;odd&gt; study_1" in page and "<odd>" not in page
    assert page.count("<svg") == 2, "with one seed there are no intervals to draw"
    results = json.loads((folder / "results.json").read_text())
    for run in results["runs"]:
        assert run["id"] in page
    for claim in results["claims"]:
        assert claim["text"] in page
    assert (folder / "results.md").read_text().startswith("# A small & \\<odd> study_1\n")
    tex = (folder / "report.tex").read_text()
    assert r"A small \& $<$odd$>$ study\_1" in tex
    assert tex.count(r"\begin{tabular}") == 2


def test_what_runs_print_is_escaped(finished: Path) -> None:
    """Words of users and of logs, in every place of the page where they stand."""
    out = finished / "out"
    hostile = "<script>alert('&')</script>"
    folder = next((out / "store").glob("gla-*"))
    (folder / "result.json").unlink()
    (folder / "status.json").write_text(json.dumps({"state": "failed", "step": 7, "message": hostile, "host": hostile}))
    (folder / "log.txt").write_text(f"one line\n{hostile}\n")
    assert report(out=str(out)) == 0
    page = (out / "small" / "report.html").read_text()
    assert page.count("<script") == 1 and page.count("&lt;script&gt;") == 3  # message, log and host
    tags = Tags()
    tags.feed(page)
    assert not tags.open and not tags.loads
    assert "gla seed 0</b> failed at step 7: &lt;script&gt;" in page and "one line" in page
    text = (out / "small" / "results.md").read_text()
    assert "gla seed 0 failed at step 7: \\<script>alert('&')\\</script>" in text and text.count("\\<script") == 1
    assert not re.search(r"(?<!\\)<script", text)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX")
def test_tex_compiles(finished: Path, tmp_path: Path) -> None:
    report(out=str(finished / "out"))
    table = finished / "out" / "small" / "report.tex"
    main = tmp_path / "main.tex"
    main.write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}\input{{{table}}}\end{{document}}"
    )
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", main.name], cwd=tmp_path, check=True)


def test_the_same_results_give_the_same_report(finished: Path) -> None:
    out = str(finished / "out")
    report(out=out)
    first = (finished / "out" / "small" / "report.html").read_text()
    report(out=out)
    assert (finished / "out" / "small" / "report.html").read_text() == first


def test_report_without_the_study_file(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (finished / "file" / "small.yaml").unlink()
    assert report(["small"], out=str(finished / "out")) == 0
    assert "does not exist" in capsys.readouterr().out
    with pytest.raises(UserError, match="did you mean 'small'"):
        report(["smal"], out=str(finished / "out"))
    with pytest.raises(UserError, match="no study has been run"):
        report(out=str(finished / "elsewhere"))


def test_status(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = finished / "out"
    folder = next((out / "store").glob("gla-*"))
    (folder / "result.json").unlink()
    (folder / "status.json").write_text(
        json.dumps(
            {
                "state": "running",
                "host": os.uname().nodename,
                "pid": 1,
                "heartbeat": time.time(),
                "step": 20,
                "loss": 3.2,
            }
        )
    )
    capsys.readouterr()
    assert status(["small"], out=str(out), watch=False) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "✔ finished" in lines["mamba2-seed0"]
    # Its process is gone, which the lock tells at once.
    assert "✘ killed" in lines["gla-seed0"] and "20/40" in lines["gla-seed0"]
    assert "2 finished, 1 killed" in lines["3"]


def test_status_of_a_run_on_another_host(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = next((finished / "out" / "store").glob("gla-*"))
    (folder / "result.json").unlink()
    doing = {"state": "running", "host": "elsewhere", "pid": 1, "step": 20, "loss": 3.2, "seconds_left": 75.0}
    for heartbeat, state in ((time.time(), "▸ running"), (time.time() - 3600, "✘ killed")):
        (folder / "status.json").write_text(json.dumps({**doing, "heartbeat": heartbeat}))
        capsys.readouterr()
        status(out=str(finished / "out"), watch=False)
        assert state in capsys.readouterr().out


def test_clean_removes_what_no_study_needs(finished: Path) -> None:
    out = finished / "out"
    text = small.STUDY[: small.STUDY.index("claims:")].replace("mamba2, gla, hgrn2", "mamba2, lightnet")
    other = small.write_study(finished / "other", text, "other")
    plant(expand(read_study(str(other))), Store(out), {})
    run_study(StudyRequest([str(other)], out=str(out)))
    assert len(list((out / "store").glob("*-seed0-*"))) == 4
    assert clean(out=str(out), yes=True) == 0
    assert len(list((out / "store").glob("*-seed0-*"))) == 4
    shutil.rmtree(out / "other")
    with pytest.raises(UserError, match="--yes"):
        clean(out=str(out))
    assert clean(out=str(out), yes=True) == 0
    assert {path.name.split("-")[0] for path in (out / "store").glob("*-seed0-*")} == {"mamba2", "gla", "hgrn2"}
    # A cell that was removed can be made anew.
    study = expand(read_study(str(other)))
    store = Store(out)
    assert [store.find(run) is not None for run in study.runs()] == [True, False]
    assert store.claim(study.runs()[1]).config.exists()


def test_clean_keeps_what_is_being_trained(finished: Path) -> None:
    out = finished / "out"
    shutil.rmtree(out / "small")
    held = Store(out).folders()[0]
    with held.locked():
        assert clean(out=str(out), yes=True) == 0
        assert [path for path in (out / "store").glob("*-seed0-*")] == [held.path]


def test_a_probe_gives_the_hours_and_a_named_gpu_overrides_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hardware, "local_gpus", lambda: ())
    study = expand(read_study("sharing"))
    configs = {shape_key(cell.config): cell.config for cell in study.cells}
    assert len(configs) == 8
    assumed = choose_speed("tiny", gpu=None, devices=1, jobs=2, on_cpu=True)
    assert "assumed" in assumed.source
    known = list(configs)[:3]
    probe = Probe(
        token_seconds=dict.fromkeys(known, 1e-4),
        sequence_seconds=dict.fromkeys(known, 0.01),
        fixed_seconds=3.0,
        source="python-docs",
        validation_sequences=70,
    )
    summarise_probe(probe, configs)
    write_probe(probe, "tiny", jobs=2, gpu=False)
    speed = choose_speed("tiny", gpu=None, devices=1, jobs=2, on_cpu=True)
    assert "measured on this machine" in speed.source
    for key, config in configs.items():
        validations = -(-config.max_steps // config.recipe.validate_every)
        expected = 3.0 + config.tokens * 1e-4 + validations * 70 * 0.01
        assert speed.seconds(config) == pytest.approx(expected, rel=1e-9 if key in known else 0.1)
    assert choose_speed("tiny", gpu=None, devices=1, jobs=1, on_cpu=True).probe is None
    named = choose_speed("tiny", gpu="H100", devices=1, jobs=2, on_cpu=True)
    assert named.probe is None and "H100" in named.source
    with pytest.raises(UserError, match="did you mean 'a100-80gb'"):
        choose_speed("tiny", gpu="a100-80", devices=1, jobs=2, on_cpu=True)
    plan = plan_study(study, Store(tmp_path / "out"), speed, 2)
    assert plan.runs[0].hours == pytest.approx(speed.seconds(study.cells[0].config) / 3600)
    assert plan.runs[0].gpu_hours == 0


def test_finished_runs_give_the_hours_of_those_to_come(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(finished / "out")
    study = expand(read_study(str(finished / "file" / "small.yaml")))
    took = {"mamba2": 8.0, "gla": 4.0}
    for run in study.runs():
        folder = store.find(run)
        assert folder is not None
        result = folder.read_result()
        assert result is not None
        seconds = took.get(run.cell)  # of hgrn2 nothing is known
        folder.write_result(dataclasses.replace(result, device="cpu", seconds=1.0, process_seconds=seconds))
    call = ["run-study", str(study.spec.file), "--out", str(finished / "out"), "--seeds", "5", "--dry-run", "--json"]
    assert main(call) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["hours_from"] == "what 2 finished runs of this length took here on cpu"
    hours = {run["cell"]: run["hours"] for run in plan["runs"]}
    assert hours["mamba2"] * 3600 == pytest.approx(8) and hours["gla"] * 3600 == pytest.approx(4)
    assert 4 < hours["hgrn2"] * 3600 < 9, "as its operations are to the others'"
    assert main([*call, "--gpu", "h100"]) == 0
    assert "assumed" in json.loads(capsys.readouterr().out)["hours_from"]
    assert main([*call, "--trainer.max_steps", "7"]) == 0
    assert "finished" not in json.loads(capsys.readouterr().out)["hours_from"], "of another length"


def test_a_plan_says_what_is_there_and_what_remains(finished: Path) -> None:
    store = Store(finished / "out")
    study = expand(read_study(str(finished / "file" / "small.yaml")))
    gla = next(run for run in study.runs() if run.cell == "gla")
    folder = store.find(gla)
    assert folder is not None
    folder.result.unlink()
    folder.write_status("killed", step=12)
    (folder.checkpoints / "step=10.ckpt").touch()
    speed = choose_speed("tiny", gpu="a100-80gb", devices=1, jobs=1, on_cpu=False)
    plan = plan_study(study, store, speed, 1)
    assert [run.status for run in plan.runs] == ["finished", "killed", "finished"]
    assert [cell.status for cell in plan.cells] == ["finished", "killed", "finished"]
    assert [cell.done for cell in plan.cells] == [1.0, 0.25, 1.0]
    assert plan.total.runs == 1
    assert plan.total.hours == pytest.approx(plan.runs[1].hours * 0.75)
    assert plan.total.whole.hours == pytest.approx(sum(run.hours for run in plan.runs))


def test_a_plan_says_what_it_could_resolve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = small.write_study(tmp_path / "file", small.STUDY.replace("above: 0}", "above: 0.02}")), tmp_path / "out"

    def said(*seeds: int) -> str:
        assert show_plan(StudyRequest([str(file)], out=str(out), seeds=",".join(map(str, seeds)))) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("resolution: ")]
        return line

    assumed = said(0)
    assert "one seed resolves nothing" in assumed and "assuming a seed sd of 0.03" in assumed
    assert "the claims ask 0.02, which takes about" in assumed
    before = said(0, 1, 2)
    plant(expand(read_study(str(file)), seeds=(0, 1, 2)), Store(out), {}, seed_noise=0.002)
    after = said(0, 1, 2)
    assert "by 9 finished runs" in after and "assuming" not in after
    small_now, large = (float(line.split("±")[1].split()[0]) for line in (after, before))
    assert small_now < 0.02 < large


def test_a_plan_says_which_claims_it_could_not_resolve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims = """claims:
  - {id: any, says: y, difference: [gla, mamba2], above: 0}
  - {id: more, says: y, difference: [gla, mamba2], above: matters}
  - {id: same, says: y, difference: [gla, mamba2], within: matters}
  - {id: knows, says: y, accuracy: {cell: gla, minus: mamba2}, above: 0}
  - {id: slow, says: y, decay: {cell: gla}, above: 0.5}
"""
    file = small.write_study(tmp_path / "file", small.STUDY[: small.STUDY.index("claims:")] + claims)
    out = tmp_path / "out"

    def said(seeds: str, **more: Any) -> str:
        assert show_plan(StudyRequest([str(file)], out=str(out), seeds=seeds, **more)) == 0
        return capsys.readouterr().out

    one = said("0")
    assert "(5 of 5):\n  any, more, same, knows, slow: one seed judges nothing" in one
    two = said("0,1")
    assert "any, more, same, slow: two seeds of fewer than five cells bound nothing" in two
    assert "knows: the cells are not evaluated: add --evaluate" in two
    three = said("0-2", evaluate=True)
    assert "can't resolve (3 of 5)" in three and "slow" not in three and "knows" not in three
    assert re.search(r"  any: 3 seeds find only true differences of 0\.\d+ or more; one of 0.02 takes about \d+", three)
    assert re.search(r"  more: 3 seeds find only true differences of 0\.\d+ or more; one of 0.04 takes", three)
    assert re.search(r"  same: 3 seeds tell equality within ±0\.\d+; within ±0.02 takes about \d+ seeds", three)
    plant(expand(read_study(str(file)), seeds=(0, 1, 2)), Store(out), {}, seed_noise=0.001, rest=0.0, document_noise=0)
    assert "can't resolve" not in said("0-2", evaluate=True)
    assert show_plan(StudyRequest([str(file)], out=str(out), seeds="0-2"), as_json=True) == 0
    planned = {claim["id"]: claim for claim in json.loads(capsys.readouterr().out)["claims"]}
    assert planned["same"]["resolved"] and planned["same"]["seeds"] in (2, 3) and planned["slow"]["seeds"] is None


def test_unwritable_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another --out"):
        run_study(StudyRequest(["dplr"], out=str(tmp_path / "file" / "runs")))


@pytest.mark.parametrize(
    ("request_", "options", "words"),
    [
        ({}, {"launcher": "slrum"}, "did you mean 'slurm'"),
        ({}, {"jobs": 0}, "--jobs is 0"),
        ({}, {"devices": 0}, "--devices is 0"),
        ({}, {"gpu": "a200"}, "unknown GPU"),
        ({}, {"slurm": SlurmOptions(partition="a100")}, "need --launcher slurm"),
        ({"scale": "tyni"}, {}, "did you mean 'tiny'"),
        ({"sweep": "wd=1"}, {}, "--sweep"),
        ({"seeds": "x"}, {}, "seeds"),
        ({"overrides": {"trainer": {"devices": 2}}}, {}, "leave it out and give --devices"),
    ],
)
def test_mistakes_in_the_call(request_: dict[str, Any], options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        show_plan(StudyRequest(["sharing"], **request_), ExecutionOptions(**options))


def test_a_local_study_has_no_jobs_to_attach_to_or_cancel() -> None:
    with pytest.raises(UserError, match="--attach is for jobs on a cluster"):
        run_study(StudyRequest(["sharing"]), attach=True)
    with pytest.raises(UserError, match="--cancel is for jobs on a cluster"):
        cancel_jobs(StudyRequest(["sharing"]))
