"""What weights tell of their model: the same however it is spelled, and never taken from what others write."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from decaystudy.errors import UserError
from decaystudy.model.config import ModelConfig
from decaystudy.runs.architecture import check_architecture
from decaystudy.runs.weights import CHECKSUM, checksum, read_weights, write_weights

TENSORS = {"w": torch.arange(6.0)}


def by_others(path: Path, metadata: dict[str, str]) -> None:
    """A file as another program writes it, or this package did before."""
    save_file(TENSORS, path, metadata={"format": "pt", **metadata})


def opened(path: Path, **settings: object) -> None:
    """Open the weights as those of a model of scale tiny with these settings."""
    model = dataclasses.asdict(ModelConfig.preset("tiny", **settings))
    check_architecture(read_weights(path).architecture, model, path, path.with_name("config.yaml"))


SAME = {
    "rank": ({"decay_rank": None}, {"decay_rank": 64}),
    "option": ({"decay": "simple"}, {"decay": "simple", "decay_options": {"p": 0.99}}),
    "null option": ({"decay_options": {}}, {"decay_options": {"start": None}}),
    "softmax": ({"mixer": "softmax"}, {"mixer": "softmax", "position": "rope"}),
    "numbers": ({"rope_base": 10000, "dplr": True, "beta_max": 2}, {"rope_base": 1e4, "dplr": True, "beta_max": 2.0}),
    "backend": ({"backend": "recurrent"}, {"backend": "chunked"}),
}


@pytest.mark.parametrize("old", [False, True], ids=["new file", "old file"])
@pytest.mark.parametrize("pair", SAME)
def test_the_same_model_in_two_spellings(pair: str, old: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for trained, given in (SAME[pair], SAME[pair][::-1]):
        model = ModelConfig.preset("tiny", **trained)
        if old:
            raw = {name: value for name, value in dataclasses.asdict(model).items() if name != "backend"}
            by_others(path, {CHECKSUM: checksum(TENSORS), "architecture": json.dumps(raw)})
        else:
            write_weights(path, TENSORS, model)
        opened(path, **trained)
        opened(path, **given)
        with pytest.raises(UserError, match=r"config.yaml says norm_eps 0.1, and the weights .* with 1e-05: restore"):
            opened(path, **given, norm_eps=0.1)


def test_what_differs_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_weights(path, TENSORS, ModelConfig.preset("tiny", decay="simple", decay_options={"p": 0.95}))
    with pytest.raises(UserError, match=r"says decay_options.p 0.99, and .* were trained with 0.95"):
        opened(path, decay="simple")
    with pytest.raises(UserError, match=r"says decay 'mamba2', and .* were trained with 'simple'"):
        opened(path)
    with pytest.raises(UserError, match=r"says decay_rank 8, and .* were trained with 64"):
        opened(path, decay="simple", decay_options={"p": 0.95}, decay_rank=8)


NOTHING = {
    "a name": {"architecture": "llama"},
    "a name in JSON": {"architecture": '"llama"'},
    "a list": {"architecture": "[1]"},
    "null": {"architecture": "null"},
    "too deep": {"architecture": "[" * 100_000},
    "settings of theirs": {"architecture": '{"norm_eps": 3, "layers": "many"}'},
    "ours, harmed": {"decaystudy_architecture": '{"norm_eps": 3'},
    "ours, no object": {"decaystudy_architecture": "[3]"},
}


@pytest.mark.parametrize("what", NOTHING)
def test_metadata_of_others_tell_nothing(what: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    by_others(path, NOTHING[what])
    opened(path)


ODD = [{"decay_options": 3}, {"decay_options": {"gone": 1}}, {"decay_options": {"start": []}}, {"colour": 1}]


@pytest.mark.parametrize("record", [*ODD, {"mixer": []}, {"heads": 0}, {"d_model": "x"}])
def test_a_record_of_other_code_is_compared_as_it_stands(record: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    by_others(path, {CHECKSUM: checksum(TENSORS), "decaystudy_architecture": json.dumps({**record, "norm_eps": 0.1})})
    with pytest.raises(UserError, match=r"config.yaml says "):
        opened(path)
