"""λ while a run trains: curves, histograms, one chart of all layers, warnings; settings and final numbers; and what
TensorBoard's own readers make of the files."""

import csv
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, metadata

from decaystudy.cli import main
from decaystudy.runs.config import RunConfig
from decaystudy.runs.settings import notable_settings, settings_of
from decaystudy.training.callbacks.telemetry import counted, sample_tokens
from decaystudy.training.decay_statistics import BINS, histogram, spread
from tests.training import small

LAYERS = ["--model.layers", "2", "--recipe.telemetry_every", "3", "--model.decay", "simple"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("telemetry") / "run"
    assert small.fit(out, *LAYERS, "--model.decay_options.p", "0.9", "--seed", "3") == 0
    return out


def events_of(out: Path) -> EventAccumulator:
    events = EventAccumulator(str(out), size_guidance={"histograms": 0, "tensors": 0, "scalars": 0})
    events.Reload()
    return events


def steps(events: EventAccumulator, tag: str) -> list[int]:
    return [event.step for event in events.Scalars(tag)]


def test_decays_have_curves_from_step_0_on_and_each_step_once(finished: Path) -> None:
    events = events_of(finished)
    for layer in ("layer_00", "layer_01"):
        for group in ("validation_decay_median", "validation_decay_half_life"):
            assert steps(events, f"{group}/{layer}") == [0, 3, 6, 9, 12]
        assert [event.step for event in events.Histograms(f"validation_decay/{layer}")] == [0, 3, 6, 9, 12]
    assert events.Scalars("validation_decay_median/layer_00")[0].value == pytest.approx(0.9, abs=0.02)


def test_the_last_medians_are_those_of_decays_on_the_same_tokens(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = RunConfig.from_dict(yaml.safe_load((finished / "config.yaml").read_text()))
    capsys.readouterr()
    assert main(["decays", str(finished), "--tokens", str(sample_tokens(config)), "--json"]) == 0
    (layers,) = json.loads(capsys.readouterr().out).values()
    events = events_of(finished)
    last = [events.Scalars(f"validation_decay_median/layer_{n:02d}")[-1].value for n in range(2)]
    assert last == pytest.approx([row["median"] for row in layers], rel=1e-6)


def test_groups_sort_as_they_are_read_and_validation_has_the_final_numbers(finished: Path) -> None:
    tags = events_of(finished).Tags()["scalars"]
    groups = sorted({tag.partition("/")[0] for tag in tags})
    assert groups == ["train", "validation", "validation_decay_half_life", "validation_decay_median", "versus_tokens"]
    events, result = events_of(finished), json.loads((finished / "result.json").read_text())
    wanted = {"loss": "val_loss", "perplexity": "val_perplexity", "bits_per_byte": "val_bits_per_byte"}
    for tag, name in wanted.items():
        assert events.Scalars(f"validation/{tag}")[-1].value == pytest.approx(result[name], rel=1e-6)
    medians = [row["median"] for row in result["decay"]]
    assert events.Scalars("validation/decay_median")[-1].value == pytest.approx(np.median(medians), rel=1e-6)


def test_losses_are_also_drawn_over_tokens(finished: Path) -> None:
    events = events_of(finished)
    per_step = 8 * 64
    for tag in ("train", "validation"):
        over_steps, over_tokens = events.Scalars(f"{tag}/loss"), events.Scalars(f"versus_tokens/{tag}_loss")
        assert [e.step for e in over_tokens] == [e.step * per_step for e in over_steps] != []
        assert [e.value for e in over_tokens] == [e.value for e in over_steps]


def test_speed_and_memory_are_told(finished: Path) -> None:
    events = events_of(finished)
    assert 0.05 < events.Scalars("train/peak_memory_gib")[-1].value < 64
    rates, flops = events.Scalars("train/tokens_per_second"), events.Scalars("train/tflops_per_device")
    assert [e.step for e in rates] == [e.step for e in flops] and flops[-1].value > 0
    assert "train/mfu" not in events.Tags()["scalars"], "no peak is known of a CPU"


def test_all_layers_are_one_chart(finished: Path) -> None:
    events = events_of(finished)
    layout = layout_pb2.Layout()
    layout.ParseFromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    (category,) = layout.category
    titles = {chart.title: list(chart.multiline.tag) for chart in category.chart}
    assert titles == {
        "median λ of each layer": [r"validation_decay_median/layer_\d+"],
        "half-life of each layer, tokens": [r"validation_decay_half_life/layer_\d+"],
    }


def hparams_of(events: EventAccumulator, tag: str) -> bytes:
    content: bytes = events.SummaryMetadata(tag).plugin_data.content
    return content


def test_settings_and_what_runs_are_compared_by(finished: Path) -> None:
    events = events_of(finished)
    start = metadata.parse_session_start_info_plugin_data(hparams_of(events, metadata.SESSION_START_INFO_TAG))
    told = {name: value.string_value or value.number_value for name, value in start.hparams.items()}
    assert {"decay": "simple", "p": 0.9, "seed": 3, "layers": 2, "learning_rate": 1e-3, "scale": "tiny"}.items() <= (
        told.items()
    )
    assert "norm_eps" not in told and "logger" not in told, "defaults of the scale are left out"
    experiment = metadata.parse_experiment_plugin_data(hparams_of(events, metadata.EXPERIMENT_TAG))
    assert {info.name for info in experiment.hparam_infos} == set(told)
    assert [info.name.tag for info in experiment.metric_infos] == [
        "validation/loss",
        "validation/perplexity",
        "validation/bits_per_byte",
        "validation/decay_median",
    ]
    end = metadata.parse_session_end_info_plugin_data(hparams_of(events, metadata.SESSION_END_INFO_TAG))
    assert end.status == api_pb2.STATUS_SUCCESS


def test_a_table_of_one_row_for_those_who_read_csv(finished: Path) -> None:
    with (finished / "summary.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    result = json.loads((finished / "result.json").read_text())
    assert row["decay"] == "simple" and float(row["validation/loss"]) == result["val_loss"]
    with (finished / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row["validation_decay_median/layer_01"]] == ["0", "3", "6", "9", "12"]


def test_a_resumed_run_is_one_curve(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RuntimeError("the power is gone")

    settings = (*LAYERS, "--model.decay_options.p", "0.9", "--seed", "3")
    small.at_step(monkeypatch, 7, fails)
    with pytest.raises(RuntimeError, match="power"):
        small.fit(tmp_path / "run", *settings)
    monkeypatch.undo()
    assert small.fit(tmp_path / "run", *settings) == 0  # from step 4: step 6 comes again
    assert small.curves(tmp_path / "run") == small.curves(finished)
    once, again = events_of(finished), events_of(tmp_path / "run")
    for tag in once.Tags()["histograms"]:
        assert [e.step for e in again.Histograms(tag)] == [e.step for e in once.Histograms(tag)]
    assert len(list((tmp_path / "run").glob("*.settings"))) == 1
    tensors = once.Tags()["tensors"]
    assert again.Tags()["tensors"] == tensors and all(len(again.Tensors(tag)) == 1 for tag in tensors)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("--model.decay", "simple", "--model.decay_options.p", "0.999"), "dilution"),
        (("--model.decay", "mamba2-no-delta"), "short window"),
    ],
)
def test_warnings(settings: tuple[str, ...], says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "decaystudy"):
        assert small.fit(tmp_path, "--trainer.max_steps", 4, "--recipe.telemetry_every", 2, *settings) == 0
    (line,) = [record.getMessage() for record in caplog.records if says in record.getMessage()]
    assert line.startswith("warning at step 0, layer 0: median λ "), "told once, not at every look"
    (told,) = events_of(tmp_path).Tensors("warnings/text_summary")
    assert told.step == 0 and says in told.tensor_proto.string_val[0].decode()


def test_what_was_asked_for_is_no_reason_to_warn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "decaystudy"):
        assert small.fit(tmp_path, "--trainer.max_steps", 2, "--model.decay", "none") == 0
    assert not [record for record in caplog.records if "dilution" in record.getMessage()]
    events = events_of(tmp_path)
    assert "warnings/text_summary" not in events.Tags()["tensors"]
    assert "validation_decay_half_life/layer_00" not in events.Tags()["scalars"], "it never forgets"
    (first, last) = events.Histograms("validation_decay/layer_00")
    assert first.histogram_value.max <= 1.005 and first.histogram_value.num == last.histogram_value.num > 0


def test_softmax_attention_has_none(tmp_path: Path) -> None:
    assert small.fit(tmp_path, "--trainer.max_steps", 2, "--model.mixer", "softmax") == 0
    tags = events_of(tmp_path).Tags()
    assert tags["histograms"] == [] and not [tag for tag in tags["scalars"] if "decay" in tag]


# -- parts ---------------------------------------------------------------------------------------------------------


def test_how_often_and_how_much_a_run_looks() -> None:
    def of(scale: str, **recipe: Any) -> tuple[int, int]:
        data = {"source": "python-docs", "tokenizer": "bpe:8192"}
        config = RunConfig.build(scale, data=data, recipe=recipe)
        return config.telemetry_every, sample_tokens(config)

    assert of("tiny") == (10, 256)
    assert of("160m") == (100, 4096)  # two sequences
    assert of("1.45b") == (100, 2048)  # as many values as memory is kept for
    assert of("tiny", telemetry_every=3) == (3, 256)
    run, other = RunConfig.build("tiny"), RunConfig.build("tiny", recipe={"telemetry_every": 3})
    assert run.identity_hash() == other.identity_hash()


def test_it_is_refused_where_it_means_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--recipe.telemetry_every", "0"]) == 2
    assert "recipe.telemetry_every is 0" in capsys.readouterr().err
    assert main(["decays", "nowhere", "--tokens", "0"]) == 2
    assert "--tokens is 0" in capsys.readouterr().err


def test_histograms_are_finite_and_of_some_width() -> None:
    one = histogram(torch.tensor([0.5, 0.75, 1.0, float("nan")], dtype=torch.float64))
    assert one.counts.sum() == 3 and len(one.counts) == BINS and (one.edges[0], one.edges[-1]) == (0.5, 1.0)
    assert one.total == 2.25 and one.squares == 0.25 + 0.5625 + 1
    same = histogram(torch.ones(10, dtype=torch.float64))
    assert same.counts.sum() == 10 and same.edges[0] < 1 < same.edges[-1] < 1.01
    assert histogram(torch.full((3,), float("nan"), dtype=torch.float64)).counts.sum() == 0


def test_samples_are_spread_over_the_text() -> None:
    blocks = np.arange(20).reshape(10, 2)
    assert spread(blocks, 6)[:, 0].tolist() == [0, 8, 16] and len(spread(blocks, 1)) == 1
    assert len(spread(blocks, 1000)) == 10


def test_layers_are_counted() -> None:
    assert counted([3]) == "layer 3" and counted([0, 4, 5, 6, 7]) == "layers 0, 4 to 7"
    assert counted([1, 2]) == "layers 1, 2"


def test_settings_have_short_names() -> None:
    config = RunConfig.build("tiny", model={"decay": "simple", "decay_options": {"p": 0.9}})
    assert notable_settings(config) == {
        "decay": "simple",
        "granularity": "vector",
        "sharing": False,
        "position": "none",
        "scale": "tiny",
        "learning_rate": 1e-3,
        "seed": 0,
        "p": 0.9,
    }
    every = settings_of(config)
    assert every["data.source"] == "python-docs" and every["max_steps"] == 90 and every["warmup_steps"] == 10
