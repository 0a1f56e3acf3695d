"""A folder in which TensorBoard shows runs side by side: names, settings, numbers, texts, and what is added later."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, metadata

from decaystudy.runs import events
from decaystudy.runs.board import ABSENT, ShownRun, differing, has_curves, write_board
from decaystudy.runs.config import RunConfig
from decaystudy.runs.evaluation import Evaluation, EvaluationFolder, TaskResult
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.result import LayerDecay, RunResult
from decaystudy.runs.state import RunState


def begun(folder: Path, *, own_settings: bool = True, curves: bool = True, **changes: Any) -> RunFolder:
    """A run's folder with its configuration and two points of a curve."""
    folder.mkdir(parents=True)
    config = RunConfig.build("tiny", **changes)
    (folder / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
    if curves:
        for step, loss in ((5, 4.0), (10, 3.0)):
            events.append_events(folder / "events.out.tfevents.1.host", [events.scalar("validation/loss", loss)], step)
    if own_settings and curves:
        about = [events.compared_by([{"mine": 1}], {}), events.run_begun({"mine": 1})]
        events.append_events(folder / "events.out.tfevents.1.host.settings", about)
    return RunFolder(folder)


def ended(folder: RunFolder, loss: float = 3.0) -> None:
    layers = tuple(LayerDecay(n, m, m, m, m) for n, m in enumerate((0.8, 0.9)))
    folder.write_result(RunResult(RunState.FINISHED, step=10, val_loss=loss, val_perplexity=20.0, decay=layers))


def three(folder: Path) -> list[ShownRun]:
    options = {"p": 0.9}
    return [
        ShownRun("a-seed0", begun(folder / "store" / "a-1"), {"cell": "a", "seed": "0"}),
        ShownRun(
            "b-seed0",
            begun(folder / "store" / "b-2", model={"decay": "simple", "decay_options": options}),
            {"cell": "b", "seed": "0"},
        ),
        ShownRun(
            "c-seed1",
            begun(folder / "store" / "c-3", seed=1, model={"decay": "simple"}, recipe={"weight_decay": 0.0}),
            {"cell": "c", "seed": "1"},
        ),
    ]


def read(place: Path) -> EventAccumulator:
    found = EventAccumulator(str(place), size_guidance={"tensors": 0, "scalars": 0})
    found.Reload()
    return found


def settings_of(place: Path) -> dict[str, Any]:
    content = read(place).SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    start = metadata.parse_session_start_info_plugin_data(content)
    return {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in start.hparams.items()}


def experiment_of(place: Path) -> api_pb2.Experiment:
    return metadata.parse_experiment_plugin_data(
        read(place).SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    )


def texts_of(place: Path, tag: str) -> list[tuple[int, str]]:
    return [(e.step, e.tensor_proto.string_val[0].decode()) for e in read(place).Tensors(tag)]


def test_runs_have_their_names_and_all_their_curves(tmp_path: Path) -> None:
    runs = three(tmp_path)
    write_board(tmp_path / "board", "study", runs, {})
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "board"))
    multiplexer.Reload()
    assert set(multiplexer.Runs()) == {"a-seed0", "b-seed0", "c-seed1", "study"}
    points = multiplexer.Scalars("b-seed0", "validation/loss")
    assert [(e.step, e.value) for e in points] == [(5, 4.0), (10, 3.0)]


def test_every_setting_that_varies_is_shown_and_no_other(tmp_path: Path) -> None:
    runs = three(tmp_path)
    write_board(tmp_path / "board", "study", runs, {})
    assert settings_of(tmp_path / "board" / "a-seed0") == {
        "cell": "a",
        "seed": "0",
        "decay": "mamba2",
        "p": ABSENT,
        "weight_decay": pytest.approx(0.1),
    }
    assert settings_of(tmp_path / "board" / "c-seed1")["p"] == "0.99", "an option that is left out has its default"
    experiment = experiment_of(tmp_path / "board" / "study")
    kinds = {
        info.name: (info.type, [v.string_value or v.number_value for v in info.domain_discrete.values])
        for info in experiment.hparam_infos
    }
    assert kinds["weight_decay"] == (api_pb2.DATA_TYPE_FLOAT64, [0.0, 0.1])
    assert kinds["p"] == (api_pb2.DATA_TYPE_STRING, ["0.9", "0.99", ABSENT])
    assert [info.name.tag for info in experiment.metric_infos] == list(events.METRICS)


def test_all_layers_are_one_chart(tmp_path: Path) -> None:
    write_board(tmp_path / "board", "study", three(tmp_path), {})
    layout = layout_pb2.Layout()
    (config,) = read(tmp_path / "board" / "study").Tensors("custom_scalars__config__")
    layout.ParseFromString(config.tensor_proto.string_val[0])
    assert [chart.title for chart in layout.category[0].chart] == list(events.LAYERS)


def test_what_comes_later_is_added(tmp_path: Path) -> None:
    runs, board = three(tmp_path), tmp_path / "board"
    write_board(board, "study", runs, {"question": "Why?"})
    files = {path for path in board.rglob("events*") if not path.is_symlink()}
    ended(runs[0].folder)
    with (runs[0].folder.path / "events.out.tfevents.2.host").open("wb"):
        pass
    for _ in range(2):
        write_board(board, "study", runs, {"question": "Why?", "answer": "Because."})
    assert {path for path in board.rglob("events*") if not path.is_symlink()} == files, "appended, not written anew"
    assert (board / "a-seed0" / "events.out.tfevents.2.host").is_symlink()
    end = read(board / "a-seed0").SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content
    assert metadata.parse_session_end_info_plugin_data(end).status == api_pb2.STATUS_SUCCESS
    assert texts_of(board / "study", "question") == [(0, "Why?")]
    assert texts_of(board / "study", "answer") == [(1, "Because.")]
    assert len(read(board / "a-seed0").Tensors(metadata.SESSION_END_INFO_TAG)) == 1


def test_tasks_are_among_what_runs_are_compared_by(tmp_path: Path) -> None:
    runs, board = three(tmp_path), tmp_path / "board"
    ended(runs[0].folder)
    runs[0].folder.weights.write_bytes(b"weights")
    place = EvaluationFolder(runs[0].folder.path)
    found: Evaluation = place.start()
    task = TaskResult(10, metrics={"acc": 0.5, "acc_stderr": 0.1, "acc_norm": 0.75})
    place.write(type(found)(**{**found.__dict__, "tasks": {"piqa": task, "hellaswag": task}}))
    write_board(board, "study", runs, {})
    tags = {info.name.tag: info.display_name for info in experiment_of(board / "study").metric_infos}
    assert tags["validation_task/piqa_acc"] == "piqa acc" and tags["validation_task/hellaswag_acc_norm"]
    scalars = read(board / "a-seed0")
    assert [(e.step, e.value) for e in scalars.Scalars("validation_task/hellaswag_acc_norm")] == [(10, 0.75)]
    assert len(scalars.Scalars("validation/loss")) == 2, "its own curve has the final loss"


def test_a_run_without_those_curves_has_its_final_numbers(tmp_path: Path) -> None:
    runs = [*three(tmp_path), ShownRun("old-seed0", begun(tmp_path / "store" / "old-4", own_settings=False))]
    ended(runs[-1].folder, loss=2.5)
    write_board(tmp_path / "board", "study", runs, {})
    found = read(tmp_path / "board" / "old-seed0")
    assert found.Scalars("validation/loss")[-1].value == 2.5
    assert found.Scalars("validation/decay_median")[-1].value == pytest.approx(0.85)


def test_a_run_that_is_gone_is_shown_no_more_and_a_lost_record_is_made_again(tmp_path: Path) -> None:
    runs, board = three(tmp_path), tmp_path / "board"
    write_board(board, "study", runs, {"answer": "One."})
    (board / "board.json").write_text('{"a-seed0": 3')
    write_board(board, "study", runs, {"answer": "Two."})
    assert texts_of(board / "study", "answer") == [(0, "Two.")]
    write_board(board, "study", runs[:2], {"answer": "Two."})
    assert not (board / "c-seed1").exists() and (board / "b-seed0").is_dir()
    assert json.loads((board / "board.json").read_text()).keys() == {"a-seed0", "b-seed0", "study"}


def test_a_lone_run_shows_what_is_notable_and_settings_of_nobody_else(tmp_path: Path) -> None:
    lone = ShownRun("mine", begun(tmp_path / "run", recipe={"weight_decay": 0.0}))
    (shown,) = differing([lone]).values()
    assert shown["weight_decay"] == 0 and shown["decay"] == "mamba2" and "norm_eps" not in shown
    assert has_curves(lone) and not has_curves(ShownRun("bare", begun(tmp_path / "bare", curves=False)))
    held = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    held["model"]["decay"] = "gone.package.Decay"
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(held))
    assert differing([lone])["mine"]["decay"] == "gone.package.Decay"
