"""Every command that the README and the documentation show is one that works, as far as each can be checked.

All are parsed by the parsers that they are meant for. Those of ``fit`` and ``run-study`` are also built and planned,
with the example packages of the pages. The pages about adding a part, and "Start here", are run for real.
"""

import importlib
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonargparse
import pytest

from decaystudy.cli import VERBS, main
from tests.docs.commands import COMMANDS, ROOT, Command, arguments, program, shown

PLACEHOLDERS = ("path/to/", "my/", "runs/parameterization", "NAME", ".Mine")
"""In words that name what only the reader has."""
MAKEFILE = (ROOT / "Makefile").read_text()
PACKAGE = tomllib.loads((ROOT / "pyproject.toml").read_text())


class Parsed(BaseException):
    """The arguments were accepted; nothing else is to be done."""


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verbs end when they have parsed their arguments."""
    parse = jsonargparse.ArgumentParser.parse_args

    def parse_and_stop(self: jsonargparse.ArgumentParser, *words: Any, **settings: Any) -> None:
        parse(self, *words, **settings)
        raise Parsed

    monkeypatch.setattr(jsonargparse.ArgumentParser, "parse_args", parse_and_stop)


def accepts(words: list[str]) -> bool:
    """Whether a verb takes these words."""
    if words[0] in ("--help", "--version") or "--help" in words:
        return words[0] in (*VERBS, "--help", "--version")
    module = importlib.import_module(f"decaystudy.commands.{words[0].replace('-', '_')}")
    with pytest.raises(Parsed):
        module.run(words[1:])
    return True


def test_commands_are_found() -> None:
    pages = {command.page for command in COMMANDS}
    assert {"README.md", "start.md", "scale-out.md", "evaluate.md", "add-a-logger.md"} <= pages and len(COMMANDS) > 100


@pytest.mark.parametrize("command", [one for one in COMMANDS if arguments(one) is not None], ids=str)
@pytest.mark.usefixtures("parse_only")
def test_verbs_take_their_arguments(command: Command) -> None:
    words = arguments(command)
    assert words and words[0] in ("--help", *VERBS, "VERB")
    if words[0] != "VERB":
        assert accepts([word for word in words if word != "…"])


@pytest.mark.parametrize("command", [one for one in COMMANDS if arguments(one) is None], ids=str)
def test_other_programs(command: Command) -> None:
    words = list(command.words)
    name = program(words)
    if name == "make":
        targets = [word for word in words[1:] if "=" not in word]
        assert all(re.search(rf"^{re.escape(target)}:", MAKEFILE, re.M) for target in targets)
    elif "pip" in words:
        extras = {extra for word in words for found in re.findall(r"\[([\w,]+)\]", word) for extra in found.split(",")}
        assert extras <= set(PACKAGE["project"]["optional-dependencies"])
        assert "install" in words
    elif words[:3] == ["python3", "-m", "venv"]:
        assert len(words) == 4
    elif name == "tensorboard":
        assert words[1] == "--logdir" and len(words) == 3
    elif name == "pytest":
        assert words[1:3] == ["-m", "gpu"]
    elif name in ("python", "python3") and words[1] == "-c":
        compile(words[2], str(command), "exec")  # it is run by a slow test
    elif name in ("python", "python3"):
        assert (ROOT / words[1]).is_file() or words[1] == "-m"
    elif name == "[":
        assert words == ["[", "$?", "-eq", "75", "]", "&&", "scontrol", "requeue", "$SLURM_JOB_ID"]
    else:
        assert name == "lm_eval", f"no test checks {command}"  # its parser takes seconds to import: a slow test


@pytest.mark.slow
@pytest.mark.parametrize("command", [one for one in COMMANDS if program(one.words) == "lm_eval"], ids=str)
def test_lm_eval_takes_its_arguments(command: Command) -> None:
    from lm_eval._cli import HarnessCLI

    given = HarnessCLI()._parser.parse_args(["run", *command.words[1:]])
    assert given.model == "hf" and given.tasks


@pytest.mark.slow
@pytest.mark.parametrize("command", [one for one in COMMANDS if one.words[1:2] == ("-c",)], ids=str)
def test_lines_of_python_run(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(command.words[2], str(command), "exec"), {})
    assert Path(capsys.readouterr().out.strip()).is_dir()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the example packages and studies of all pages and of the README, and texts."""
    (tmp_path / "texts").mkdir()
    for number in range(100):
        words = " ".join(f"{number * step % 997}" for step in range(1, 200))
        (tmp_path / "texts" / f"{number}.txt").write_text(words)
    own = (ROOT / "README.md", ROOT / "studies/README.md", ROOT / "docs/own-text.md")
    for page in (*own, *sorted((ROOT / "docs").glob("add-a-*.md"))):
        for block in re.findall(r"```(?:python|yaml)\n(# [\w/]+\.(?:py|yaml).*?)```", page.read_text(), re.S):
            file = tmp_path / block.split()[1].rstrip(",")
            file.parent.mkdir(exist_ok=True)
            with file.open("a") as opened:
                opened.write(block)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "mypackage"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def built(command: Command) -> list[str] | None:
    """The words by which a command of ``fit`` or ``run-study`` stops before it trains; None for all others."""
    words = arguments(command)
    if not words or command.inline or any(mark in word for word in words for mark in PLACEHOLDERS):
        return None
    if words[0] == "run-study" and not {"--attach", "--cancel"} & set(words):
        return [*words, *(() if "--dry-run" in words else ("--dry-run",))]
    return [*words, "--print_config"] if words[0] == "fit" else None


@pytest.mark.slow
@pytest.mark.parametrize("command", [one for one in COMMANDS if built(one)], ids=str)
def test_runs_are_built_and_studies_planned(
    command: Command, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = built(command)
    for package in ("wandb", "trackio"):
        if any(package in word for word in command.words):
            pytest.importorskip(package)
    assert words is not None and main(words) == 0, capsys.readouterr().err
    assert capsys.readouterr().out


SMALL = ["--data.sequence_length", "32", "--recipe.global_batch_size", "2", "--trainer.max_steps", "2"]
SMALL += ["--recipe.warmup_steps", "1", "--data.validation_tokens", "500"]


@pytest.mark.slow
@pytest.mark.long
def test_start_here_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.chdir(tmp_path)
    done = []
    for command in shown(ROOT / "docs" / "start.md"):
        words = arguments(command)
        if words is None or command.inline or words[0] == "tensorboard":  # which serves until it is stopped
            continue
        small = SMALL if words[0] in ("fit", "run-study") else []
        seeds = ["--seeds", "0", "--data.sequence_length", "128"] if words[0] == "run-study" else []
        assert main([*words, *small, *seeds]) == 0, (shlex.join(words), capfd.readouterr().err[-3000:])
        done.append(words[0])
    assert done[:2] == ["list", "fit"] and {"decays", "generate", "run-study", "status", "report", "rejudge"} <= set(
        done
    )
    assert (tmp_path / "runs" / "sharing" / "report.html").is_file()
