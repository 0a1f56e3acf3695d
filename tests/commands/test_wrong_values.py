"""Values of the wrong kind, at every setting of every verb: one sentence, in words, with what was written."""

import re

import pytest

from decaystudy.cli import VERBS, main
from decaystudy.formatting import shortened

# Words of Python and of jsonargparse, which say nothing to the user.
JARGON = re.compile(
    r"NoneType|<class|\b(dict|tuple|str|int|float|bool|list) (object|instance)"
    r"|give (tuple|dict|str|int|float|bool|list)\b"
    r"|Traceback|\bTrue\b|\bFalse\b|\bNone\b|Namespace|Literal|Union|jsonargparse|Parser key|type hint|another type"
)
FEW = ["x", "{a: {b: [1, null]}}", "9" * 5000]
MANY = [*FEW, "", "1.5", "-1", "true", "null", "[1]", "{a: 1}", "- a", "[[[", "1e400"]
LARGE = ("fit", "run-study", "probe")
GIVEN = {"run-study": ["sharing", "--dry-run"], "fit": ["--print_config"], "export": ["a", "b"]}
RUNS = ("evaluate", "decays", "ablate", "generate")


def options(verb, capsys):
    assert main([verb, "--help"]) == 0
    found = set(re.findall(r"^  (--[\w.\-]+)", capsys.readouterr().out, re.M))
    return sorted(found - {"--help", "--print_config"})


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in LARGE])
def test_every_setting_of_a_verb(verb, capsys, tmp_path, monkeypatch):
    try_settings(verb, FEW, capsys, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("verb", VERBS)
def test_many_values_at_every_setting_of_every_verb(verb, capsys, tmp_path, monkeypatch):
    try_settings(verb, MANY, capsys, tmp_path, monkeypatch)


def try_settings(verb, values, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for option in options(verb, capsys):
        for value in values:
            words = [verb, *GIVEN.get(verb, ["absent"] if verb in RUNS else []), f"{option}={value}"]
            if verb not in GIVEN:  # whatever is taken ends in a mistake, so that nothing is begun
                words.append("--no-such-flag")
            code = main(words)
            said = capsys.readouterr().err
            assert code in (0, 2), (words, said)
            if code == 2:
                shown = said.replace(value, "VALUE") if value else said
                assert said.startswith("decaystudy: ") and said.strip().count("\n") == 0, (words, said)
                assert not JARGON.search(shown) and len(said) < 2000, (words, said)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("fit --recipe.betas x", "recipe.betas is 'x': give a list of 2 numbers"),
        ("fit --recipe.betas [1]", "recipe.betas is '[1]': give a list of 2 numbers"),
        ("fit --data.num_workers true", "data.num_workers is 'true': give a whole number"),
        ("fit --model.decay_options null", "model.decay_options is 'null': give name: value pairs"),
        ("fit --model.decay_rank true", "model.decay_rank is 'true': give a whole number or full or null"),
        ("fit --seed 1e3", "seed is '1e3': give a whole number"),
        ("fit --data x", "data is 'x': give a YAML file of its settings, or each by name"),
        ("evaluate a --limit=true", "limit is 'true': give a whole number or null"),
        ("generate a --temperature=null", "temperature is 'null': give a number"),
        ("generate a --seed 1.5", "seed is '1.5': give a whole number"),
        ("generate a --seed=-1", "--seed is -1: give a whole number of at least 0"),
        ("generate a --seed 9223372036854775808", "--seed is 9223372036854775808: give a whole number"),
        ("data-stats --tokens 9 --seed=-1", "seed is -1: give a whole number of at least 0"),
        ("prepare-data --seed 9223372036854775808", "seed is 9223372036854775808: give a whole number"),
        ("run-study sharing --dry-run --seeds 1.5", "seeds '1.5' are not seeds: give whole numbers"),
        ("run-study sharing --dry-run --tune lr --tuning-seeds 9223372036854775808", "seed is 9223372036854775808"),
        ("fit --data.tokenizer bpe:" + "9" * 5000, "needs a size from 257"),
        ("fit --data.tokenizer bpe:٣٠٠", "needs a size from 257"),
        ("run-study sharing --dry-run --seeds " + "9" * 5000, "are not seeds: give whole numbers"),
        ("run-study sharing --dry-run --slurm.time " + "9" * 5000, "give a time limit as minutes"),
        (f"fit --trainer.devices [{'9' * 5000}]", "trainer.devices"),
        ("fit --data.tokenizer " + "x" * 5000, "is too long for the name of a file"),
    ],
)
def test_what_was_written_and_what_is_taken(words, says, capsys):
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert says in said and said.strip().count("\n") == 0, said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed: 1.5", "seed is 1.5: give a whole number"),
        ("seed: true", "seed is true: give a whole number"),
        ("seed: -3", "seed is -3: give a whole number of at least 0"),
        ("recipe: {betas: {a: [1, null]}}", "recipe.betas is {a: [1, null]}: give a list of 2 numbers"),
        ("data: {files: 3.5}", "data.files is 3.5: give"),
        ("model: {layers: [true]}", "model.layers is [true]: give a whole number"),
    ],
)
def test_values_in_files_are_shown_as_they_are_written(text, says, capsys, tmp_path):
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    assert main(["fit", "--print_config", "--config", str(tmp_path / "c.yaml")]) == 2
    said = capsys.readouterr().err
    assert says in said and not JARGON.search(said), said


STUDY = "title: a\naxis: decay\nseeds: [0]\ngrid: {decay: [gla, simple]}\n"
CLAIM = STUDY + "claims:\n- {id: a, says: b, difference: [gla, simple], "


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (STUDY.replace("[0]", "true"), "seeds are true: give whole numbers"),
        (STUDY.replace("[0]", "{0: null}"), "seeds are {0: null}: give whole numbers"),
        (STUDY.replace("[gla, simple]", "[gla, null]"), "decay is null: give a word"),
        (STUDY.replace("axis: decay", "axis: {a: null}"), "axis is {a: null}: name a setting"),
        (STUDY + "evaluate: [true]\n", "evaluate is [true]: name tasks"),
        (STUDY + "reference: false\n", "reference is false: the only reference is softmax"),
        (CLAIM + "above: true}\n", "above is true: give a number"),
        (CLAIM + "above: 0, holds_for: true}\n", "holds_for is true: all"),
    ],
)
def test_values_in_studies_are_shown_as_they_are_written(text, says, capsys, tmp_path):
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    assert main(["run-study", str(tmp_path / "s.yaml"), "--dry-run", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert says in said and not JARGON.search(said) and said.count("\n") == 1, said


def test_what_is_too_long_is_cut_between_words():
    text = "the hub does not answer: it is asked three times, and each time the connection is closed before a word"
    assert shortened(text, 200) == text
    assert shortened(text, 60) == "the hub does not answer: it is asked three times …"
    assert shortened(text, 80) == "the hub does not answer: it is asked three times …"
    assert shortened("one two three four", 12) == "one two …"
    assert len(shortened("x" * 100, 20)) == 20
