"""The recall tasks ask what they say: at that distance, among so many pairs, with chance where they put it."""

import json

import pytest

from decaystudy.cli import main
from decaystudy.data.cache.corpus import Corpus
from decaystudy.data.config import DataConfig
from decaystudy.data.sources.recall import ASK
from decaystudy.errors import UserError
from decaystudy.evaluation.evaluate import evaluate
from decaystudy.evaluation.tasks import recall
from decaystudy.evaluation.tasks.catalog import GROUPS
from decaystudy.evaluation.tasks.chance import RECALL_CHOICES, chance
from tests.evaluation.conftest import fit
from tests.study.small import STUDY


@pytest.fixture(scope="module")
def questions():
    return recall.questions()


@pytest.fixture(scope="module")
def remembering(tmp_path_factory):
    """A run on recall, too short to remember anything."""
    settings = ["--data.source", "recall", "--data.sequence_length", "64"]
    return fit(tmp_path_factory.mktemp("recall") / "run", *settings)


def test_every_task_has_its_questions(questions):
    assert set(questions) == set(recall.TASKS) == set(GROUPS["recall"])
    assert all(len(rows) == recall.QUESTIONS for rows in questions.values())


@pytest.mark.parametrize("distance", [1, 2, 4, 128, 192])
def test_a_needle_lies_at_its_distance(questions, distance):
    tokenizer = Corpus.open(DataConfig(source="recall", sequence_length=64)).tokenizer
    for row in questions[f"recall_needle_{distance}"][::16]:
        ids = tokenizer.encode(row["context"])
        answer = tokenizer.encode(row["choices"][row["label"]])
        assert len(answer) == 1 and ids.count(answer[0]) == 1
        # The answer is predicted from the last token, ``distance`` steps of decay after the value was read.
        assert len(ids) - 1 - ids.index(answer[0]) == distance
        assert ids[-1] == tokenizer.encode(ASK)[0]
        assert len(ids) == recall.tokens_read(f"recall_needle_{distance}")
        assert len(set(row["choices"])) == RECALL_CHOICES


@pytest.mark.parametrize("distance", [1, 16, 128])
def test_the_later_of_two_is_asked_for(questions, distance):
    for row in questions[f"recall_latest_{distance}"]:
        words = row["context"].split()
        first, second = (at for at, word in enumerate(words) if word in row["choices"])
        assert words[second] == row["choices"][row["label"]] and len(set(row["choices"])) == 2
        assert second - first == recall.LEAD and len(words) - 1 - second == distance and words[-1] == ASK
        assert len(words) == recall.tokens_read(f"recall_latest_{distance}")


@pytest.mark.parametrize("count", [2, 4, 8, 16])
def test_pairs_are_asked_once_each(questions, count):
    lengths = set()
    for row in questions[f"recall_pairs_{count}"]:
        words = row["context"].split()
        stated = dict(zip(words[: 2 * count : 2], words[1 : 2 * count : 2], strict=True))
        assert len(stated) == len(set(stated.values())) == count
        asked = words[2 * count :]
        assert len(set(asked[::2])) == len(asked[::2])
        assert [stated[key] for key in asked[:-1:2]] == asked[1::2]
        assert row["choices"][row["label"]] == stated[asked[-1]]
        assert set(row["choices"]) <= set(stated.values()) and len(set(row["choices"])) == min(count, RECALL_CHOICES)
        lengths.add(len(words))
    assert max(lengths) <= recall.tokens_read(f"recall_pairs_{count}") and len(lengths) == count


@pytest.mark.parametrize("task", ["recall_needle_8", "recall_latest_4", "recall_pairs_4", "recall_pairs_16"])
def test_guessing_is_at_chance(questions, task):
    rows = questions[task]
    error = (chance(task) * (1 - chance(task)) / len(rows)) ** 0.5
    for label in range(2):
        assert abs(sum(row["label"] == label for row in rows) / len(rows) - chance(task)) < 4 * error
    favourite = sum(row["choices"][row["label"]] == "bo" for row in rows) / len(rows)
    assert favourite < 0.15  # a model that always says the same gains nothing


def test_the_tasks_run_on_a_run(remembering, capsys):
    assert main(["evaluate", str(remembering), "--tasks", "recall_needle_1,recall_pairs_2", "--lengths", "false"]) == 0
    row = json.loads((remembering / "evaluation.json").read_text())["tasks"]["recall_pairs_2"]
    assert row["samples"] == recall.QUESTIONS and 0.3 < row["acc"] < 0.7
    assert "recall_needle_1 acc" in capsys.readouterr().out


def test_a_question_longer_than_the_training_sequences_is_refused(remembering):
    with pytest.raises(UserError, match=r"be asked recall_needle_128: it reads 145 tokens at once, more than .* 64"):
        evaluate(remembering, "recall_needle_128")
    with pytest.raises(UserError, match="leave the task out"):
        evaluate(remembering, "recall")


def test_the_padding_of_the_vocabulary_has_no_probability_while_training_either(remembering):
    """51 words in 64 rows: the loss that training ends with is the one that evaluation finds."""
    found = evaluate(remembering, "recall_needle_1", limit=2)
    ended = json.loads((remembering / "result.json").read_text())
    assert found.validation.loss == pytest.approx(ended["val_loss"], rel=1e-6)


def test_questions_that_would_be_cut_are_refused_of_an_export_too(remembering, tmp_path):
    assert main(["export", str(remembering), str(tmp_path / "export")]) == 0
    with pytest.raises(UserError, match=r"it reads 145 tokens at once, more than the model.s 64"):
        evaluate(tmp_path / "export", "recall_needle_128")
    with pytest.raises(UserError, match=r"be asked offline_last_word: it has words that words:51 doesn.t know"):
        evaluate(tmp_path / "export", "offline_last_word")


def test_a_study_of_tasks_that_do_not_fit_is_refused_before_it_trains(tmp_path, capsys):
    command = ["run-study", "recall", "--data.sequence_length", "128", "--out", str(tmp_path / "runs")]
    assert main(command) == main([*command, "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert "the cell none can't be asked recall_needle_128: it reads 145 tokens at once, more than" in said
    assert "name other tasks under evaluate:" in said
    assert main(["run-study", "recall", "--data.tokenizer", "bpe:300", "--dry-run"]) == 2
    assert main(["run-study", "sharing", "--data.tokenizer", "words:300", "--evaluate", "--dry-run"]) == 2
    assert "it has words that words:300 doesn't know" in capsys.readouterr().err
    study = tmp_path / "typo.yaml"
    study.write_text(STUDY + "evaluate: offlin\n")
    assert main(["run-study", str(study), "--out", str(tmp_path / "runs")]) == 2
    assert "unknown task 'offlin': did you mean 'offline'?" in capsys.readouterr().err
    study.write_text(
        STUDY.replace("settings:\n", "settings:\n  data.tokenizer: words:51\n") + "evaluate: recall_needle_1\n"
    )
    assert main(["run-study", str(study), "--dry-run"]) == 2
    assert "not python-docs under words:51" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_recall_is_refused_of_a_model_that_spells_its_words(run, tmp_path):
    assert main(["export", str(run), str(tmp_path / "export")]) == 0
    with pytest.raises(UserError, match=r"it counts words, and 18 of them are read as \d+ tokens"):
        evaluate(tmp_path / "export", "recall_needle_1")


def test_tasks_of_other_words_are_refused(remembering, run):
    with pytest.raises(UserError, match=r"has words that words:51 doesn.t know"):
        evaluate(remembering, "offline")
    with pytest.raises(UserError, match="not python-docs under bpe:2048"):
        evaluate(run, "recall_needle_1")


def test_words_are_generated_apart(remembering, capsys):
    assert main(["generate", str(remembering), "--prompt", "ba ko", "--tokens", "3", "--temperature", "0"]) == 0
    words = capsys.readouterr().out.split()
    assert words[:2] == ["ba", "ko"] and all(len(word) <= 2 for word in words)


def test_words_that_are_not_known_show_in_what_is_generated(tmp_path, capsys):
    """With 40 words of the documentation, most tokens are the one for all others."""
    vague = fit(tmp_path / "run", "--data.tokenizer", "words:40", "--data.sequence_length", "64")
    capsys.readouterr()
    assert main(["generate", str(vague), "--prompt", "the sesame", "--tokens", "3", "--temperature", "0"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("the sesame <|unknown|>") and "<|endoftext|>" not in said
    assert main(["export", str(vague), str(tmp_path / "export")]) == 0
    capsys.readouterr()
    assert (
        main(["generate", str(tmp_path / "export"), "--prompt", "the sesame", "--tokens", "3", "--temperature", "0"])
        == 0
    )
    assert capsys.readouterr().out == said
