"""The command line: fast to start, and one sentence for every mistake."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from decaystudy.cli import GROUPS, VERBS, main
from decaystudy.runs.config import RunConfig
from decaystudy.scales import SCALES

# Prints what a call has imported, after the call.
SPY = (
    "import sys; from decaystudy.cli import main; code = main(sys.argv[1:]); "
    "names = ['torch', 'lightning', 'transformers', 'datasets', 'pandas', 'matplotlib']; "
    "names += ['numpy', 'tokenizers'] if sys.argv[1:] == ['fit', '--help'] else []; "
    "heavy = [name for name in names if name in sys.modules]; "
    "print('HEAVY', heavy); sys.exit(code)"
)


def call(*arguments, **settings):
    return subprocess.run(
        [sys.executable, "-c", SPY, *arguments], capture_output=True, text=True, timeout=60, **settings
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["list"],
        ["fit", "--help"],
        ["fit", "--print_config"],
        ["run-study", "--help"],
        ["run-study", "sharing", "--dry-run"],
        ["run-study", "sharing", "granularity", "--scale", "160m", "--dry-run", "--gpu", "a100-80gb", "--json"],
        ["run-study", "parameterization", "--scale", "1.45b", "--seeds", "0,1", "--dry-run"],
        ["fit", "--model.decay", "mamba3"],
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(arguments, tmp_path):
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode in (0, 2), done.stderr
    assert done.stdout.strip().endswith("HEAVY []"), done.stdout[-200:]
    assert not list(tmp_path.iterdir()), "a plan writes nothing"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb):
    done = call(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"usage: decaystudy {verb}" in done.stdout


def test_verbs_are_grouped_and_each_is_there_once(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert list(GROUPS) == ["train", "look", "data", "share"]
    assert sum(len(verbs) for verbs in GROUPS.values()) == len(VERBS)
    for verb, line in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(line)}$", said, re.M)


def shown_defaults(arguments, capsys):
    """The default that the help shows for each setting that has one."""
    assert main([*arguments, "--help"]) == 0
    entries = re.split(r"\n  (?=--)", capsys.readouterr().out)
    shown = {entry.split()[0]: re.search(r"default: ([^()]+)\)", " ".join(entry.split())) for entry in entries}
    return {name: match[1] for name, match in shown.items() if match}


@pytest.mark.parametrize("scale", SCALES)
def test_help_shows_the_defaults_of_the_scale(scale, capsys):
    shown = shown_defaults(["fit", f"--scale={scale}"] if scale != "tiny" else ["fit"], capsys)
    chosen = SCALES[scale]
    assert shown["--scale"] == scale
    assert shown["--model.layers"] == str(chosen.model["layers"])
    assert shown["--data.source"] == chosen.data["source"]
    assert float(shown["--recipe.learning_rate"]) == chosen.recipe["learning_rate"]
    assert f"max_steps {chosen.trainer['max_steps']}, precision {chosen.trainer['precision']}" in shown["--trainer"]
    assert shown["--recipe.weight_decay"] == "0.1", "what a scale leaves alone is shown too"
    assert shown_defaults(["run-study", "--scale", scale], capsys)["--data.source"] == chosen.data["source"]
    assert shown_defaults(["prepare-data", "--scale", scale], capsys)["--data.source"] == chosen.data["source"]


@pytest.mark.parametrize("verb", VERBS)
def test_no_help_calls_an_optional_argument_required(verb, capsys):
    assert main([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert "required" not in said and "Union" not in said


def test_a_study_takes_a_configuration_file(tmp_path, capsys):
    (tmp_path / "c.yaml").write_text("trainer: {max_steps: 9}\nlogger: csv\n")
    words = ["run-study", "dplr", "--config", str(tmp_path / "c.yaml"), "--dry-run", "--json", "--out", str(tmp_path)]
    assert main(words) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert {run["tokens"] for run in runs} == {9 * RunConfig.build("tiny").tokens_per_step}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fitt"], "did you mean 'fit'"),
        (["fit", "--model.decy", "gla"], "did you mean --model.decay"),
        (["fit", "--model.decay", "mamba3"], "did you mean 'mamba2'"),
        (["fit", "--scale", "tinny"], "did you mean 'tiny'"),
        (["fit", "--model.layers", "many"], "a whole number"),
        (["fit", "--model.sharing", "maybe"], "true or false or released or tied"),
        (["fit", "--model.granularity", "scaler"], "did you mean 'scalar'"),
        (["fit", "--model.decay_options.q", "1"], "no option 'q'"),
        (["fit", "--trainer.max_step", "1"], "did you mean 'trainer.max_steps'"),
        (["fit", "--trainer.max_steps", "x"], "max_steps"),
        (["fit", "--trainer.max_epochs", "2"], "no epochs"),
        (["fit", "--data.source", "python-doc"], "did you mean 'python-docs'"),
        (["fit", "--recipe.learning_rat", "1"], "did you mean --recipe.learning_rate"),
        (["fit", "--seed", "x"], "seed is 'x'"),
        (["fit", "gla"], "unexpected argument 'gla'"),
        (["fit", "--config", "absent.yaml"], "cannot read"),
        (["fit", "--out", "/proc/nowhere/run"], "choose another --out"),
        (["fit", "--model.decay", "tnl"], "granularity to scalar"),
        (["fit", "--model.position", "rope"], "scalar or paired"),
        (["fit", "--strategy", "fsdp2", "--trainer.max_steps", "1", "--out", "{tmp}/s"], "did you mean 'fsdp'"),
        (["fit", "--trainer.precision", "17", "--trainer.max_steps", "1", "--out", "{tmp}/p"], "choose from 32-true"),
        (["fit", "--logger", "tensorbord"], "did you mean 'tensorboard'"),
        (["fit", "--trainer.logger", "csv"], "use --logger"),
        (["fit", "--scale", "tinny", "--help"], "did you mean 'tiny'"),
        (["run-study", "sharing", "--logger", "mine.Logger", "--dry-run"], "cannot import the logger"),
        (["run-study"], "name at least one study"),
        (["run-study", "sharin", "--dry-run"], "did you mean 'sharing'"),
        (["run-study", "sharing", "--scale", "tin", "--dry-run"], "did you mean 'tiny'"),
        (["run-study", "sharing", "--model.decay", "gla", "--dry-run"], "unknown setting --model.decay"),
        (["run-study", "sharing", "--seeds", "x", "--dry-run"], "seeds"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(arguments, says, capsys, tmp_path):
    assert main([word.replace("{tmp}", str(tmp_path)) for word in arguments]) == 2
    said = capsys.readouterr().err
    assert says in said and said.startswith("decaystudy: ") and said.strip().count("\n") == 0, said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: {decay: gla, granularty: scalar}", "did you mean 'granularity'"),
        ("modle: {decay: gla}", "did you mean 'model'"),
        ("model: {layers: many}", "a whole number"),
        ("model: [1, 2]", "section model"),
        ("model: {decay: gla", "not valid YAML"),
        ("- 1", "holds no settings"),
    ],
)
def test_mistakes_in_files(text, says, capsys, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    assert main(["fit", "--config", str(tmp_path / "c.yaml")]) == 2
    said = capsys.readouterr().err
    assert says in said and said.strip().count("\n") == 0, said


def printed(arguments, capsys):
    assert main(["fit", "--print_config", *arguments]) == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_the_later_setting_wins(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(
        "model: {decay: gla, decay_options: {temperature: inside}}\nseed: 4\ntrainer: {max_steps: 9}\n"
    )
    (tmp_path / "b.yaml").write_text("seed: 5\n")
    files = ["--config", str(tmp_path / "a.yaml"), "--config", str(tmp_path / "b.yaml")]
    got = printed([*files, "--model.decay_options.start", "0.8"], capsys)
    assert got["seed"] == 5 and got["trainer"]["max_steps"] == 9 and got["trainer"]["gradient_clip_val"] == 1.0
    assert got["model"]["decay_options"] == {"temperature": "inside", "start": 0.8} and got["model"]["d_model"] == 128
    assert printed(["--config", files[1], files[3], "--seed", "7"], capsys)["seed"] == 7
    assert printed(["--config", files[1], files[3]], capsys)["seed"] == 5
    assert printed([*files, "--model.decay", "hgrn2"], capsys)["model"]["decay_options"] == {}
    assert printed([*files, "--scale", "160m"], capsys)["model"]["d_model"] == 768
    (tmp_path / "c.yaml").write_text("scale: 410m\n")
    assert printed(["--config", str(tmp_path / "c.yaml")], capsys)["model"]["d_model"] == 1024


def test_a_printed_configuration_is_read_again(tmp_path, capsys):
    assert main(["fit", "--print_config", "--scale", "1.45b", "--model.sharing", "tied", "--trainer.devices", "8"]) == 0
    (tmp_path / "c.yaml").write_text(capsys.readouterr().out)
    again = printed(["--config", str(tmp_path / "c.yaml")], capsys)
    assert again == yaml.safe_load((tmp_path / "c.yaml").read_text())


def test_from_a_checkout():
    from pathlib import Path

    root = Path(__file__).parents[2]
    for start in ([str(root / "cli.py")], ["-m", "decaystudy"]):
        done = subprocess.run([sys.executable, *start, "--version"], capture_output=True, text=True, cwd=root)
        assert done.returncode == 0 and done.stdout.startswith("decaystudy 0.")
