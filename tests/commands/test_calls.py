"""Calls as they are typed: verbs, flags and values in odd places are taken, or refused with what to write instead."""

from pathlib import Path

import pytest

from decaystudy.cli import VERBS, main
from decaystudy.commands.explaining import valueless


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    assert main(list(words)) == code
    text = capsys.readouterr().err
    assert text.count("\n") == (code == 2), text
    return text


@pytest.mark.parametrize("verb", ["list", "compare", "fit"])
def test_help_of_a_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", verb]) == 0
    asked = capsys.readouterr().out
    assert main([verb, "--help"]) == 0
    assert asked == capsys.readouterr().out and asked.startswith(f"usage: decaystudy {verb}")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("help fitt", "unknown verb 'fitt': did you mean 'fit'?"),
        ("--out x fit", "'--out' stands before the verb: write decaystudy VERB --out"),
        ("fit --lr 1e-3", "unknown setting --lr: did you mean --recipe.learning_rate?"),
        ("fit --recipe.lr 1e-3", "unknown setting --recipe.lr: did you mean --recipe.learning_rate?"),
        ("run-study sharing --slurm.gres-flags x", "setting --slurm.gres-flags: write --slurm.extra gres-flags=…"),
        ("run-study sharing --slurm.exclusive", "unknown setting --slurm.exclusive: write --slurm.extra exclusive;"),
        ("run-study sharing --slurm.mem=64GB", "unknown setting --slurm.mem: set --slurm.memory;"),
        ("run-study sharing --slurm.array 3", "--jobs says how many of them run at once"),
        ("run-study sharing --slurm.partitio x", "did you mean --slurm.partition?"),
        ("fit --layers 3", "did you mean --model.layers?"),
        ("fit -- --out x", "unexpected argument '--'"),
        ("list --help=3", "takes no value"),
        ("bundle", "give NAME_OR_FILE (a study that was run)"),
        ("compare a", "give B (another one)"),
        ("generate a --prompt ---", "what begins with a minus is written --prompt=---"),
        ("generate a --prompt", "--prompt expects one argument; see"),
        ("fit --out a --trainer.max_steps", "--trainer.max_steps expects one argument; see"),
        ("fit --trainer.max_steps --out a", "--trainer.max_steps expects one argument; see"),
        ("fit --recipe.betas 0.9,0.95", "give a list of 2 numbers, such as [0.9, 0.999]"),
        ("fit --model {layer:1}", "model is '{layer:1}': give a YAML file of its settings, or each by name"),
    ],
)
def test_what_to_write_instead(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert says in said(capsys, *words.split())


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("--model.norm_eps", "-1e-5", "model.norm_eps is -1e-05: give a number above 0"),
        ("--recipe.learning_rate", "-1E-3", "recipe.learning_rate is -0.001"),
        ("--recipe.weight_decay", "-.5", "recipe.weight_decay is -0.5"),
        ("--recipe.learning_rate", "-inf", "recipe.learning_rate is '-inf'"),
        ("--trainer.max_time", "-00:00:00:05", "trainer.max_time is '-00:00:00:05'"),
        ("--trainer.gradient_clip_val", "-1e-3", "trainer.gradient_clip_val is -0.001"),
    ],
)
def test_values_that_begin_with_a_minus(flag: str, value: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert says in said(capsys, "fit", "--print_config", flag, value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fit", "--out", ""], "--out is empty: name a folder"),
        (["fit", "--config="], "--config is empty: name a file"),
        (["run-study", "sharing", "--dry-run", "--out", ""], "--out is empty"),
        (["run-study", "", "--dry-run"], "NAME_OR_FILE is empty: name a study"),
        (["run-study", "sharing", "--dry-run", "--rates-from="], "--rates-from is empty"),
        (["export", "a", ""], "is empty: name a folder"),
        (["generate", ""], "RUN is empty"),
        (["decays", "a", ""], "RUN is empty"),
        (["compare", "", "b"], "A is empty"),
        (["rejudge", "a", ""], "FILE is empty"),
        (["bundle", "sharing", "-o", ""], "-o is empty"),
        (["clean", "--out", ""], "--out is empty"),
    ],
)
def test_places_without_a_name(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in said(capsys, *words)
    assert not list(tmp_path.iterdir())


def test_a_file_of_one_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.yaml").write_text("layers: 1\ndecay: gla\n", encoding="utf-8")
    assert main(["fit", "--print_config", "--model", "model.yaml", "--model.decay", "simple"]) == 0
    settings = capsys.readouterr().out
    assert "\n  layers: 1\n" in settings and "\n  decay: simple\n" in settings
    for text, says in {
        "layers: 1\nlayers: 2\n": "model.yaml:2: 'layers' stands here twice",
        "layer: 1\n": "unknown setting --model.layer: did you mean --model.layers?",
        "layers: x\n": "model.layers is 'x': give a whole number",
        "model: {layers: 1}\n": "unknown setting --model.model: did you mean --model?",
        "- 1\n": "model.yaml holds no settings",
    }.items():
        Path("model.yaml").write_text(text, encoding="utf-8")
        assert says in said(capsys, "fit", "--print_config", "--model=model.yaml"), text


def test_a_config_of_more_than_a_verb_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Verbs of data take a run's config.yaml; a study refuses what it sets itself."""
    assert main(["fit", "--print_config", "--data.source", "recall", "--seed", "7"]) == 0
    config = tmp_path / "config.yaml"
    config.write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["data-stats", "--config", str(config), "--tokens", "1k"]) == 0
    assert "recall" in capsys.readouterr().out
    for verb in (["run-study", "sharing", "--dry-run"], ["probe", "sharing"]):
        assert "a study sets seed for each cell itself" in said(capsys, *verb, "--config", str(config))


def test_every_verb_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        assert main(["help", verb]) == 0
        assert capsys.readouterr().out.startswith(f"usage: decaystudy {verb}")


@pytest.mark.parametrize("name", ["bpe", "words"])
def test_a_tokenizer_without_its_size(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"--data.tokenizer '{name}' needs a size, such as {name}:2048" in said(
        capsys, "fit", "--data.tokenizer", name
    )


def test_a_folder_that_holds_no_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("notes", encoding="utf-8")
    text = said(capsys, "data-stats", "--data.tokenizer", str(tmp_path))
    assert f"the folder {tmp_path} holds no tokenizer: name one with a tokenizer.json" in text


@pytest.mark.parametrize("text", ["", "\n \n\n"])
def test_a_file_without_a_word(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "empty.txt"
    file.write_text(text, encoding="utf-8")
    words = ["data-stats", "--data.source", "files", "--data.files", str(file), "--data.tokenizer", "bpe:300"]
    assert "holds no words: give files with text in them" in said(capsys, *words)


@pytest.mark.parametrize("given", [[], {}, ["--trainer.max_steps"], ["fit", "--trainer.max_steps", "--out"]])
def test_the_setting_that_lacks_its_value_is_looked_for_among_any_words(given: list[str] | dict[str, object]) -> None:
    assert valueless("--trainer", given) == ("--trainer.max_steps" if given else "--trainer")
