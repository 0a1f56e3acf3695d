"""What the README shows works as it is shown."""

import re
from pathlib import Path

from decaystudy.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_its_study_file_plans(tmp_path, capsys):
    (tmp_path / "rates.yaml").write_text(block("yaml")[0])
    assert main(["run-study", str(tmp_path / "rates.yaml"), "--dry-run", "--out", str(tmp_path / "runs")]) == 0
    assert "18 of 18 runs" in capsys.readouterr().out


def test_its_decay_and_its_python(tmp_path, monkeypatch):
    decay, python = block("python")
    (tmp_path / "decays_of_the_readme.py").write_text(decay)
    monkeypatch.syspath_prepend(tmp_path)
    from decaystudy.decay import make_decay

    assert make_decay("decays_of_the_readme.Halved", {"factor": 0.25}).factor == 0.25
    import torch

    from decaystudy.model import DecayTransformer, ModelConfig

    halved = DecayTransformer(ModelConfig.preset("tiny", decay="decays_of_the_readme.Halved"))
    assert all((log_decay < 0).all() for log_decay in halved.log_decays(torch.arange(9)[None]))
    names = {}
    exec(python, names)
    assert names["more"].shape == (1, 1, 2048)


def test_its_commands_exist():
    from decaystudy.cli import VERBS

    verbs = set(re.findall(r"^ +decaystudy ([a-z-]+)", README, re.M))
    assert verbs and verbs <= set(VERBS)


def test_its_citation_is_of_this_version():
    import yaml

    from decaystudy import __version__

    citation = yaml.safe_load((Path(__file__).parents[1] / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["version"] == __version__
    assert citation["authors"] and citation["references"][0]["url"] in README
