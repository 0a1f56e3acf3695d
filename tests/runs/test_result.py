"""result.json: what is read is what was written, and what is no result is refused."""

import json

import pytest

from decaystudy.errors import UserError
from decaystudy.runs.folder import RunFolder, state_of
from decaystudy.runs.result import LayerDecay, RunResult
from decaystudy.runs.state import RunState, states_text


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path)
    made.create()
    return made


def test_round_trip(folder):
    layers = (LayerDecay(0, 0.5, 0.4, 0.6, 0.51, half_life=1.0, near_zero=0.0, near_one=0.1), LayerDecay(1, 1, 1, 1, 1))
    result = RunResult(RunState.FINISHED, step=3, val_loss=2.5, decay=layers, versions={"torch": "2"}, data={"a": [1]})
    folder.write_result(result)
    assert folder.read_result() == result and state_of(folder) is RunState.FINISHED
    plain = json.loads(folder.result.read_text())
    assert plain["status"] == "finished" and plain["val_loss"] == 2.5 and "message" not in plain
    assert plain["decay"][0]["half_life"] == 1.0


def test_facts_of_a_newer_version_are_kept(folder):
    folder.result.write_text('{"status": "diverged", "last_finite": {"step": 3, "loss": 4.5}, "mood": "good"}')
    result = folder.read_result()
    assert result.status == "diverged" and result.last_finite == {"step": 3.0, "loss": 4.5}
    assert result.more == {"mood": "good"} and result.val_loss is None
    folder.write_result(result)
    assert json.loads(folder.result.read_text())["mood"] == "good"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"val_loss": 3.0}', "it lacks 'status'"),
        ('{"status": "done"}', "status is 'done', not planned or running"),
        ('{"status": "finished", "val_loss": "low"}', "val_loss is 'low', not a number"),
    ],
)
def test_what_is_no_result_is_refused_in_a_sentence(folder, content, says):
    folder.result.write_text(content)
    with pytest.raises(UserError) as error:
        folder.read_result()
    assert (
        says in str(error.value)
        and str(folder.result) in str(error.value)
        and "train the run again" in str(error.value)
    )


def test_half_a_result_is_none(folder):
    assert folder.read_result() is None
    folder.result.write_text('{"status": "fin')
    assert folder.read_result() is None


def test_states_are_words(folder):
    assert RunState.OUT_OF_MEMORY == "out-of-memory" and f"{RunState.KILLED}" == "killed"
    folder.write_status("killed", step=4)
    assert folder.state() is RunState.KILLED
    with pytest.raises(ValueError, match="resting"):
        folder.write_status("resting")
    folder.status.write_text('{"state": "resting"}')
    with pytest.raises(UserError, match="unknown state 'resting'"):
        folder.state()


def test_states_of_several_runs():
    assert states_text([RunState.FINISHED] * 3) == "finished"
    assert states_text([RunState.FINISHED, RunState.DIVERGED, RunState.FINISHED]) == "1 diverged, 2 finished"
