"""YAML from strangers: read like a person reads it, or refused in a sentence, quickly and in little memory."""

import itertools
import math
import resource
import time

import pytest

from decaystudy.cli import main
from decaystudy.errors import UserError
from decaystudy.yaml_document import MOST_BYTES, load, scalar


def chain(first, link):
    """Parts of which each holds the one before, as ``link`` says: a to g."""
    rest = (f"{one}: &{one} {link(before)}\n" for before, one in itertools.pairwise("abcdefg"))
    return f"a: &a {first}\n" + "".join(rest)


BAD = {
    "an alias of itself": ("model: &a {decay_options: *a}", "holds itself"),
    "a list of itself": ("a: &a [*a]", "holds itself"),
    "an alias bomb": (chain("[1, 1, 1]", lambda a: f"[{', '.join([f'*{a}'] * 10)}]"), "aliases followed"),
    "a bomb of mappings": (
        chain("{x: 1, y: 2}", lambda a: f"{{{', '.join(f'{k}: *{a}' for k in 'pqrstuvw')}}}"),
        "aliases followed",
    ),
    "timestamp": ("trainer: {max_time: !!timestamp soon}", "tag"),
    "bool": ("model: {dplr: !!bool maybe}", "tag"),
    "int": ("seed: !!int ''", "tag"),
    "float": ("seed: !!float x", "tag"),
    "python": ("seed: !!python/object/apply:os.system [ls]", "tag"),
    "tagged mapping": ("model: !!set {a}", "tag"),
    "own tag": ("model: !mine {a: 1}", "tag"),
    "digits": (f"seed: {'9' * 5000}", "5,000 digits"),
    "digits of a fraction": (f"recipe: {{learning_rate: {'9' * 5000}.5}}", "learning_rate"),
    "levels": (f"model: {'[' * 3000}{']' * 3000}", "levels deep"),
    "levels of mappings": (f"model: {'{a: ' * 3000}1{'}' * 3000}", "levels deep"),
    "levels of blocks": ("\n".join("  " * i + "a:" for i in range(400)), "levels deep"),
    "levels behind aliases": (chain("[[[[[[1]]]]]]", lambda a: f"[[[[[[*{a}]]]]]]"), "levels deep"),
    "a key twice": ("seed: 1\nmodel: {layers: 2, layers: 3}", "'layers' stands here twice"),
    "a section twice": ("model: {layers: 2}\nmodel: {layers: 3}", ":2: 'model' stands here twice"),
    "NUL": ('data: {files: "a\\0b"}', "NUL"),
    "NUL in a key": ('"mo\\0del": 1', "NUL"),
    "a bare NUL": ("seed: a\0b", "U+0000"),
    "half a pair": ('data: {files: "\\ud800"}', "surrogate"),
    "a character that leads terminals": ('data: {files: "\\e[31mred"}', "control character (U+001B)"),
    "a bell in a key": ('"mo\\adel": 1', "control character (U+0007)"),
    "a bomb of merges": (chain("{x: 1}", lambda a: f"{{<<: [{', '.join([f'*{a}'] * 10)}]}}"), "aliases followed"),
    "a merge of a number": ("model: {<<: 3}", "<< takes a mapping"),
    "a merge of itself": ("model: &a {<<: *a}", "holds itself"),
    "a list as a key": ("[1, 2]: 3", "a key must be a word"),
    "two documents": ("seed: 1\n---\nseed: 2", "not valid YAML"),
    "not closed": ("model: {decay: gla", "not valid YAML"),
    "an unknown alias": ("seed: *a", "not valid YAML"),
    "too large": ("# " + "x" * MOST_BYTES, "larger than"),
    "a tab": ("model:\n\tlayers: 2", "not valid YAML"),
}


def said_of(text, tmp_path, verb, capsys):
    file = tmp_path / "c.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    words = ["fit", "--config", str(file), "--print_config"] if verb == "fit" else ["run-study", str(file), "--dry-run"]
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert main(words) == 2
    assert time.process_time() - began < 5 and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000
    said = capsys.readouterr().err
    assert said.startswith("decaystudy: ") and said.count("\n") == 1 and len(said) < 400, said
    return said


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("verb", ["fit", "run-study"])
def test_a_file_of_nonsense_is_one_sentence(name, verb, tmp_path, capsys):
    text, says = BAD[name]
    said = said_of(text, tmp_path, verb, capsys)
    if name != "digits of a fraction" or verb == "fit":
        assert says in said, said


@pytest.mark.parametrize("content", [b"seed: \xff\xfe1", "seed: 1".encode("utf-16"), b"a: \xe9"])
def test_other_encodings(content, tmp_path, capsys):
    assert "not UTF-8 text at byte" in said_of(content, tmp_path, "fit", capsys)


def test_what_people_write_is_read(tmp_path):
    file = tmp_path / "c.yaml"
    text = "\ufeffa: &x {lr: 1e-3, t: 12:30:00, d: 2026-01-01, n: no, z: 010, f: .5}\nb: *x\n"
    file.write_text(text + "c: [1_000, .inf, null, ~, '1']\n", encoding="utf-8")
    values = load(file).values
    assert values["b"] == {"lr": 0.001, "t": "12:30:00", "d": "2026-01-01", "n": "no", "z": 10, "f": 0.5}
    assert values["c"] == [1000, math.inf, None, None, "1"]


def test_keys_are_taken_over_where_they_are_not_written(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(
        "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: *a, y: 5}\nd: {y: 6, <<: [*a, *b]}\ne: {'<<': 7}\n"
    )
    values = load(file).values
    assert values["c"] == {"x": 1, "y": 5} and values["d"] == {"x": 1, "y": 6, "z": 4} and values["e"] == {"<<": 7}
    study = tmp_path / "q.yaml"
    study.write_text(
        "title: t\nscale: tiny\naxis: decay\nseeds: [0]\nbaseline: a\n"
        "cells:\n  - &a {name: a, decay: mamba2, layers: 1}\n  - {<<: *a, name: b, decay: gla}\n"
    )
    assert main(["run-study", str(study), "--dry-run", "--out", str(tmp_path / "out")]) == 0


def test_paths_that_cannot_be_opened(tmp_path):
    for path in (tmp_path, tmp_path / "none.yaml", tmp_path / "a\0b"):
        with pytest.raises(UserError, match="cannot read"):
            load(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("{a, b}", "{a, b}"), ("a:", "a:"), ("{minutes: 1}", {"minutes": 1}), ("00:10:00", "00:10:00")],
)
def test_a_flag_is_read_like_a_file(text, value):
    assert scalar(text) == value


@pytest.mark.parametrize("word", ["!!int", "&a [*a]", "[" * 3000, "[" * 100_000, "9" * 5000, "*x", "{", "a: b: c"])
@pytest.mark.parametrize("flag", ["--trainer.max_steps", "--seed", "--model.decay_options.p", "--recipe.betas"])
def test_flags_of_nonsense_are_one_sentence(word, flag, capsys):
    assert main(["fit", f"{flag}={word}", "--print_config"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("decaystudy: ") and said.count("\n") == 1 and len(said) < 400, said
