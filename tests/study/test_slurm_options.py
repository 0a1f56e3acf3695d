"""What --slurm.extra and --slurm.time take, and what they refuse with a sentence."""

import json
import re
from pathlib import Path

import pytest

from decaystudy.cli import main
from decaystudy.errors import UserError
from decaystudy.study.execution import slurm
from decaystudy.study.execution.launcher import ExecutionOptions
from decaystudy.study.execution.slurm_options import SlurmOptions, join_extra, minutes, parse_extra
from tests.study import small


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (None, {}),
        ("qos=high", {"qos": "high"}),
        ("--qos=high", {"qos": "high"}),
        ("exclude=node01,node02,exclusive", {"exclude": "node01,node02", "exclusive": True}),
        ("exclude=node[01-04,07],nodelist=a,b", {"exclude": "node[01-04,07]", "nodelist": "a,b"}),
        ("mail-type=END,FAIL,qos=high", {"mail-type": "END,FAIL", "qos": "high"}),
        ("--mail-type=END,FAIL,--mail-user=me@lab.org", {"mail-type": "END,FAIL", "mail-user": "me@lab.org"}),
        ("mail_type=END", {"mail-type": "END"}),
        ("exclusive", {"exclusive": True}),
        ("exclusive=user,contiguous", {"exclusive": "user", "contiguous": True}),
        ("constraint=a100|h100", {"constraint": "a100|h100"}),
        ("constraint=[a100&nvlink]", {"constraint": "[a100&nvlink]"}),
        ("gres=gpu:a100:8,nvme:1,reservation=paper", {"gres": "gpu:a100:8,nvme:1", "reservation": "paper"}),
        ("comment=a=b, begin=now+1hour", {"comment": "a=b", "begin": "now+1hour"}),
        ("dependency=afterok:12:13,after:14", {"dependency": "afterok:12:13,after:14"}),
        ("nice,hold", {"nice": True, "hold": True}),
        ("nice=100", {"nice": "100"}),
        ("export=ALL,MY_KEY=1,OTHER=2,qos=low", {"export": "ALL,MY_KEY=1,OTHER=2", "qos": "low"}),
        ("acctg-freq=task=30,network=10,network=any", {"acctg-freq": "task=30,network=10,network=any"}),
        ("gpu-freq=medium,memory=high,verbose,hold", {"gpu-freq": "medium,memory=high,verbose", "hold": True}),
        ("licenses=matlab:1,idl:2", {"licenses": "matlab:1,idl:2"}),
    ],
)
def test_spellings(text: str | None, options: dict[str, str | bool]) -> None:
    assert parse_extra(text) == options


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gos=high", "no option 'gos': did you mean qos"),
        ("qos=high,exlude=node01", "no option 'exlude': did you mean exclude"),
        ("high", "no option 'high'"),
        ("--dry-run", "no option '--dry-run'"),
        ("-q high", "no option '-q high'"),
        ("zzzzzz=1", "see man sbatch"),
        ("qos", "qos needs a value: write qos="),
        ("qos=", "qos has no value after its ="),
        ("contiguous=yes", "contiguous takes no value"),
        ("exclusive,node02", "exclusive takes no value, so 'node02' belongs to nothing"),
        ("qos=high,", "nothing between two commas"),
        ("", "nothing between two commas"),
        ("qos=high,,hold", "nothing between two commas"),
        ("qos=high,qos=low", "qos stands there twice"),
        ("partition=a100", "set --slurm.partition"),
        ("account=lab", "set --slurm.account"),
        ("time=60", "set --slurm.time"),
        ("nodes=2", "set --slurm.nodes"),
        ("--gpus-per-node=8", "set --slurm.gpus_per_node"),
        ("cpus_per_task=8", "set --slurm.cpus_per_task"),
        ("mem=64G", "set --slurm.memory"),
        ("ntasks-per-node=8", "set --devices"),
        ("array=0-3", "--jobs says how many"),
        ("job-name=mine", "named by what they do"),
        ("output=x,error=y", "RUN/log.txt"),
        ("requeue", "always requeued"),
        ("no-requeue", "always requeued"),
        ("signal=USR1", "warned 90 seconds ahead"),
        ("wrap=ls", "how sbatch is called"),
    ],
)
def test_refusals(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        SlurmOptions(extra=text)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("30", 30),
        ("30:00", 30),
        ("30:01", 31),
        ("24:00:00", 1440),
        ("2-0", 2880),
        ("1-12", 2160),
        ("1-12:30", 2190),
        ("1-00:00:01", 1441),
    ],
)
def test_time_limits(limit: str, expected: int) -> None:
    assert minutes(limit) == expected


@pytest.mark.parametrize("limit", ["", "0", "soon", "UNLIMITED", "1:2:3:4", "-5", "1.5", "00:00:00", "24h"])
def test_no_time_limits(limit: str) -> None:
    with pytest.raises(UserError, match=r"--slurm\.time is .*24:00:00"):
        SlurmOptions(time=limit)


@pytest.mark.parametrize("setting", [{"nodes": 0}, {"gpus_per_node": -1}, {"cpus_per_task": 0}])
def test_numbers(setting: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"--slurm\.\w+ is -?\d: give at least"):
        SlurmOptions(**setting)  # type: ignore[arg-type]


def test_extra_on_the_command_line() -> None:
    """With or without an equals sign, with dashes, and more than once."""
    assert join_extra(["a", "--slurm.extra", "--qos=high", "--jobs", "2"]) == [
        *("a", "--jobs", "2"),
        "--slurm.extra=--qos=high",
    ]
    assert join_extra(["--slurm.extra=qos=high", "--slurm.extra", "hold"]) == ["--slurm.extra=qos=high,hold"]
    assert join_extra(["a", "--jobs", "2"]) == ["a", "--jobs", "2"]
    assert join_extra(["a", "--slurm.extra"]) == ["a", "--slurm.extra"]


def test_a_dry_run_without_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It shows what would be submitted, warns of a time limit that is too short, and writes nothing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    call = ["run-study", str(small.write_study(tmp_path / "file")), "--out", str(tmp_path / "out"), "--dry-run"]
    call += ["--launcher", "slurm", "--devices", "2", "--slurm.nodes", "2", "--slurm.partition", "a100", "--evaluate"]
    call += ["--slurm.extra", "--qos=high,exclude=node01,node02", "--slurm.time", "2-00:00:00", "--jobs", "2"]
    call += ["--data.sequence_length", "128"]
    text = small.STUDY.replace("  sequence_length: 64\n", "")
    small.write_study(tmp_path / "file", text)
    assert main([*call, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    training, evaluation = plan["slurm"]["arrays"]
    assert plan["slurm"]["jobs"] == 6 and plan["devices"] == 4 and plan["jobs"] == 2
    assert training["kind"] == "train" and training["runs"] == ["mamba2-seed0", "gla-seed0", "hgrn2-seed0"]
    assert (training["nodes"], training["gpus_per_node"], training["tasks_per_node"]) == (2, 2, 2)
    assert (evaluation["nodes"], evaluation["gpus_per_node"], evaluation["tasks_per_node"]) == (1, 1, 1)
    assert training["cpus_per_task"] == 1 and training["time_limit_hours"] == 48
    assert training["planned_hours"] == pytest.approx(max(cell["hours"] for cell in plan["runs"]))
    assert plan["slurm"]["warnings"] == []
    script = training["script"].splitlines()
    for line in ("--array=0-2%2", "--partition=a100", "--nodes=2", "--ntasks-per-node=2", "--gpus-per-node=2"):
        assert f"#SBATCH {line}" in script
    for line in ("--time=2880", "--qos=high", "--exclude=node01,node02", "--requeue", "--signal=USR2@90"):
        assert f"#SBATCH {line}" in script
    assert any(line.startswith("srun ") and "--cpus-per-task=1" in line for line in script)
    long = [*call, "--trainer.max_steps", "1000000000"]
    assert main(long) == 0
    said = capsys.readouterr().out
    assert "more than the time limit of 2.0 d" in said and "3 × train" in said and "#SBATCH --array=0-2%2" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("says", "asked"),
    [("fatal: Could not establish a configuration source", 1), ("error: Unable to contact slurm controller", 3)],
)
def test_a_controller_that_is_busy_is_asked_again_and_one_that_is_not_set_up_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, asked: int
) -> None:
    monkeypatch.setattr(slurm, "ASK_AGAIN_SECONDS", 0.0)
    command = tmp_path / "squeue"
    command.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/calls\necho 'squeue: {says}' >&2\nexit 1\n")
    command.chmod(0o755)
    with pytest.raises(UserError, match=says):
        slurm.ask(str(command))
    assert (tmp_path / "calls").read_text().count("asked") == asked


def test_jobs_of_a_cluster_share_no_gpu() -> None:
    with pytest.raises(UserError, match="--runs-per-gpu 2 with --launcher slurm: each job has GPUs of its own; leave"):
        slurm.SlurmLauncher(ExecutionOptions(launcher="slurm", runs_per_gpu=2))
    slurm.SlurmLauncher(ExecutionOptions(launcher="slurm", runs_per_gpu=1))


@pytest.mark.parametrize("name", ["partition", "account", "extra"])
def test_no_setting_breaks_a_line_of_the_script(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What follows a line break would be run as a command of the job."""
    call = ["run-study", str(small.write_study(tmp_path)), "--out", str(tmp_path / "out"), "--dry-run", "--launcher"]
    assert main([*call, "slurm", f"--slurm.{name}", "qos=high\ntouch owned"]) == 2
    said = capsys.readouterr().err
    assert f"--slurm.{name} is 'qos=high\\ntouch owned'" in said and "with a line break in it: a line" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\tb", "a tab"),
        ("a\u00a0b", "U+00A0 (no-break space)"),
        ("a\u202eb", "U+202E (right-to-left override)"),
        ("a\x07b", "U+0007 (a control character)"),
    ],
)
def test_a_setting_with_what_nobody_sees_says_what_it_is(text: str, says: str) -> None:
    """As copied from a page of the web: a no-break space."""
    with pytest.raises(UserError, match=re.escape(f"with {says} in it: a line of sbatch options takes visible")):
        SlurmOptions(account=text)
    assert SlurmOptions(extra="comment=größer").extra == "comment=größer"
