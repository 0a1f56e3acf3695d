"""Files of TensorBoard's events, written without torch: texts, scalars, settings of runs, and the layout of charts."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as layouts
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.text import metadata as texts
from tensorboard.summary.writer.record_writer import RecordWriter

from decaystudy.runs.settings import Value

SETTINGS = ".settings"
"""Ends the names of files that say which run it is and not how it went."""
METRICS = {
    "validation/loss": "validation loss",
    "validation/perplexity": "perplexity",
    "validation/bits_per_byte": "bits per byte",
    "validation/decay_median": "median λ",
}
"""Curves by whose last values runs are compared, with the names that they are shown by."""
LAYERS = {
    "median λ of each layer": r"validation_decay_median/layer_\d+",
    "half-life of each layer, tokens": r"validation_decay_half_life/layer_\d+",
}
"""Charts of all layers, and the curves in each."""


def file_name(ending: str = "") -> str:
    """A name for a new file of events, as TensorBoard finds them."""
    return f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}{ending}"


def append_events(path: Path, values: Iterable[Summary.Value], step: int = 0) -> None:
    """Append to a file of events, which is begun if it isn't there."""
    new = not path.exists()
    with path.open("ab") as file:
        writer = RecordWriter(file)
        if new:
            writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        for value in values:
            writer.write(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])).SerializeToString())


def scalar(tag: str, number: float) -> Summary.Value:
    """One point of a curve."""
    return Summary.Value(tag=tag, simple_value=number)


def text(tag: str, markdown: str) -> Summary.Value:
    """A text in Markdown."""
    return Summary.Value(tag=tag, tensor=_string(markdown.encode()), metadata=texts.create_summary_metadata("", ""))


def layer_charts() -> Summary.Value:
    """One chart for the medians of all layers, and one for their half-lives."""
    charts = [
        layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=[curves]))
        for title, curves in LAYERS.items()
    ]
    layout = layout_pb2.Layout(category=[layout_pb2.Category(title="decay", chart=charts)])
    return Summary.Value(
        tag=layouts.CONFIG_SUMMARY_TAG,
        tensor=_string(layout.SerializeToString()),
        metadata=layouts.create_summary_metadata(),
    )


def compared_by(settings: Sequence[Mapping[str, Value]], metrics: Mapping[str, str]) -> Summary.Value:
    """What runs are compared by: settings, with all the values that they have, and metrics by tag with their names."""
    names = list(dict.fromkeys(name for one in settings for name in one))
    infos = [_setting(name, [one[name] for one in settings if name in one]) for name in names]
    shown = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name, dataset_type=api_pb2.DATASET_VALIDATION)
        for tag, name in metrics.items()
    ]
    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=shown, time_created_secs=time.time())
    return _hparams(hparams.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=experiment))


def run_begun(settings: Mapping[str, Value]) -> Summary.Value:
    """The settings of the run in whose folder it lies."""
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
    for name, value in settings.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, (int, float)):
            start.hparams[name].number_value = value
        else:
            start.hparams[name].string_value = value
    return _hparams(hparams.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=start))


def run_ended(*, well: bool) -> Summary.Value:
    """That the run has ended. TensorBoard believes the first of these, so there is one at the very end only."""
    status = api_pb2.STATUS_SUCCESS if well else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    return _hparams(hparams.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end))


def _setting(name: str, values: Sequence[Value]) -> api_pb2.HParamInfo:
    info = api_pb2.HParamInfo(name=name, display_name=name, differs=len(set(values)) > 1)
    if all(isinstance(value, bool) for value in values):
        info.type = api_pb2.DATA_TYPE_BOOL
    elif all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        info.type = api_pb2.DATA_TYPE_FLOAT64
    else:
        info.type = api_pb2.DATA_TYPE_STRING
    distinct = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    info.domain_discrete.extend(distinct)
    return info


def _hparams(tag: str, data: plugin_data_pb2.HParamsPluginData) -> Summary.Value:
    return Summary.Value(tag=tag, tensor=hparams.NULL_TENSOR, metadata=hparams.create_summary_metadata(data))


def _string(content: bytes) -> TensorProto:
    return TensorProto(dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=[content])
