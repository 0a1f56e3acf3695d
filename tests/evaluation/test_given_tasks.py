"""Task files of the user's own, as lm-eval reads them: by path, by folder, alike under lm-eval's command line."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from decaystudy.cli import main

CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": ["yes", "no"],
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc"}],
}
WRITE = {
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{answer}}",
    "metric_list": [{"metric": "exact_match"}],
    "generation_kwargs": {"until": ["nowhere to be found"], "max_gen_toks": 400, "do_sample": False},
}


def write(folder, name, form, **changes):
    """A task file and its questions."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"question": f"Is {i} even?", "answer": i % 2} for i in range(8)]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(folder / f"{name}.jsonl")}}}
    content = {"task": name, **data, "test_split": "test", **form, **changes}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


def evaluated(folder, *more, expect=0):
    return main(["evaluate", str(folder), "--lengths", "false", *map(str, more)]) == expect


def test_a_file_is_evaluated_and_found_again_until_it_changes(copied, tmp_path, capsys):
    path = write(tmp_path / "mine", "parity", CHOICE)
    assert evaluated(copied, "--tasks", f"{path},offline_last_word", "--limit", "5")
    said = capsys.readouterr()
    assert "parity acc" in said.out and "offline_last_word acc" in said.out
    answers = json.loads((copied / "evaluation.json").read_text())["tasks"]["parity"]
    assert answers["samples"] == 5 and 0 <= answers["acc"] <= 1
    assert evaluated(copied, "--tasks", path, "--limit", "5")
    assert "has been evaluated already" in capsys.readouterr().err
    write(tmp_path / "mine", "parity", CHOICE, doc_to_choice=["no", "yes"])
    assert evaluated(copied, "--tasks", path, "--limit", "5")
    assert "parity: acc" in capsys.readouterr().err
    lines = (tmp_path / "mine" / "parity.jsonl").read_text().splitlines()
    (tmp_path / "mine" / "parity.jsonl").write_text("\n".join(lines[::-1]) + "\n")
    assert evaluated(copied, "--tasks", path, "--limit", "5")
    assert "parity: acc" in capsys.readouterr().err


def test_a_folder_has_tasks_groups_and_tags(copied, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine" / "deep", "parity", CHOICE, tag="numbers")
    write(tmp_path / "mine", "oddity", CHOICE, tag=["numbers"])
    (tmp_path / "mine" / "both.yaml").write_text("group: both\ntask: [parity, oddity]\n")
    (tmp_path / "mine" / "notes.yaml").write_text("- not: a task\n")
    for name in ("parity", "both", "numbers"):
        assert evaluated(copied, "--tasks", name, "--include-path", "mine", "--limit", "2")
        table = capsys.readouterr().out
        assert "parity acc" in table and ("oddity acc" in table) == (name != "parity")
    assert main(["prepare-tasks", "--tasks", "both", "--include-path", "mine"]) == 0
    assert "parity: 8 questions" in capsys.readouterr().out


def test_files_that_build_on_others(copied, tmp_path, capsys):
    base = write(tmp_path / "mine", "base", CHOICE, task=None)
    base.rename(tmp_path / "mine" / "_base_yaml")
    (tmp_path / "mine" / "utils.py").write_text("def text(row):\n    return row['question'].upper()\n")
    top = tmp_path / "mine" / "top.yaml"
    top.write_text("include: _base_yaml\ntask: built\ndoc_to_text: !function utils.text\n")
    assert evaluated(copied, "--tasks", top, "--limit", "2")
    assert "built acc" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read the task file {file}: no such file"),
        ("task: [unclosed", "line 1 is not valid YAML"),
        ("a word", "holds no settings such as task: NAME"),
        ("dataset_path: json\n", "its task is null, not a name"),
        ("task: 3\n", "its task is 3, not a name"),
        ("group: g\ntask: [a, b]\n", "is a group: give the files of its tasks"),
        ("task: piece\ninclude: absent.yaml\n", "cannot read the task file"),
        ("task: loop\ninclude: file.yaml\n", "includes itself"),
        ("task: offline_last_word\ndataset_path: json\n", "has the name of a task of this package"),
        ("task: bare\n", "it names no dataset_path"),
        ("task: t\ndataset_path: json\ndataset_kwargs: {data_files: absent.jsonl}\n", "{file} cannot be loaded"),
        ("task: t\ndataset_path: json\nnonsense_key: 3\n", "{file} cannot be loaded: lm-eval's tasks have no setting"),
        (b"task: \xff\n", "is not UTF-8 text at byte 6"),
    ],
)
def test_files_that_are_none(content, says, copied, tmp_path, capsys):
    file = tmp_path / "file.yaml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert evaluated(copied, "--tasks", file, expect=2)
    said = capsys.readouterr().err
    last = said.strip().splitlines()[-1]
    assert says.format(file=file) in last and last.startswith("decaystudy: ") and "Traceback" not in said, said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"doc_to_text": "{{question | nonsense}}"}, "nonsense"),
        ({"metric_list": [{"metric": "nonsense"}]}, ""),
        ({"output_type": "nonsense"}, ""),
        ({"test_split": "absent"}, ""),
        ({"doc_to_choice": "{{absent}}"}, ""),
    ],
)
def test_forms_that_make_no_sense(changes, says, copied, tmp_path, capsys):
    path = write(tmp_path, "odd", CHOICE, **changes)
    assert evaluated(copied, "--tasks", path, expect=2)
    said = capsys.readouterr().err
    last = said.strip().splitlines()[-1]
    assert last.startswith("decaystudy: ") and says in last and str(path) in last and "Traceback" not in said, said


def test_folders_that_are_none(copied, tmp_path, capsys):
    assert evaluated(copied, "--tasks", "x", "--include-path", tmp_path / "absent", expect=2)
    assert "is no folder" in capsys.readouterr().err
    (tmp_path / "broken.yaml").write_text("task: broken_one\ndoc: [")
    assert evaluated(copied, "--tasks", "broken_one", "--include-path", tmp_path, expect=2)
    assert "broken.yaml, line 2 is not valid YAML" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.long
def test_answers_longer_than_training_sequences_are_those_of_lm_evals_command_line(copied, tmp_path, capsys):
    path = write(tmp_path / "mine", "writing", WRITE)
    assert main(["export", str(copied), str(tmp_path / "export")]) == 0
    for folder in (copied, tmp_path / "export"):
        for size in ("auto", "4"):
            (folder / "evaluation.json").unlink(missing_ok=True)
            assert evaluated(folder, "--tasks", path, "--batch-size", size), capsys.readouterr().err
    words = ["--model", "hf", "--include_path", str(tmp_path / "mine"), "--tasks", "writing", "--device", "cpu"]
    words += ["--model_args", f"pretrained={tmp_path / 'export'},trust_remote_code=True", "--log_samples"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", *words, "--output_path", str(tmp_path / "out"), "--batch_size", "4"],
        capture_output=True, text=True, timeout=300, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = (tmp_path / "out").rglob("results*.json")
    theirs = json.loads(file.read_text())["results"]["writing"]["exact_match,none"]
    assert json.loads((copied / "evaluation.json").read_text())["tasks"]["writing"]["exact_match"] == theirs
    (samples,) = (tmp_path / "out").rglob("samples*.jsonl")
    from decaystudy.evaluation.evaluate import open_model

    answers = [json.loads(line) for line in samples.read_text().splitlines()]
    run, model = open_model(copied, "4")
    assert run is not None and max(len(model.tok_encode(answer["resps"][0][0])) for answer in answers) > 128

    class Asked:
        def __init__(self, text):
            self.args = (text, dict(WRITE["generation_kwargs"]))

    own = model.generate_until([Asked(answer["arguments"]["gen_args_0"]["arg_0"]) for answer in answers], True)
    assert own == [answer["resps"][0][0] for answer in answers]
    long = {**WRITE["generation_kwargs"], "max_gen_toks": 2100}
    assert evaluated(copied, "--tasks", write(tmp_path, "longest", WRITE, generation_kwargs=long), "--limit", "1")
