"""Weights with a checksum: what is changed on the disk is never used."""

import random

import pytest
import torch
from safetensors.torch import load_file, save_file

from decaystudy.errors import UserError
from decaystudy.runs.weights import read_weights, write_weights


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(30, 40, generator=generator),
        "b": torch.randn(7, generator=generator).to(torch.bfloat16),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
    }


def test_they_come_back_readable_for_others(tensors, tmp_path):
    path = tmp_path / "model.safetensors"
    write_weights(path, {"a": tensors["a.weight"].T})
    write_weights(path, tensors)
    assert [other.name for other in tmp_path.iterdir()] == [path.name]
    (tmp_path / "neighbour").write_text("")
    assert path.stat().st_mode == (tmp_path / "neighbour").stat().st_mode
    for got in (read_weights(path).tensors, load_file(path)):
        assert got.keys() == tensors.keys()
        assert all(torch.equal(got[name], tensors[name]) and got[name].dtype == tensors[name].dtype for name in got)


def test_no_changed_bit_goes_unseen(tensors, tmp_path):
    path, rng = tmp_path / "model.safetensors", random.Random(0)
    write_weights(path, tensors)
    content = path.read_bytes()
    refused = 0
    for _ in range(200):
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            got = read_weights(path).tensors
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
        else:  # in a name of the metadata
            assert got.keys() == tensors.keys() and all(torch.equal(got[name], tensors[name]) for name in got)
    assert refused > 150
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cannot be read"):
        read_weights(path)


def test_weights_of_other_programs_have_no_checksum(tensors, tmp_path):
    save_file(tensors, tmp_path / "theirs.safetensors")
    assert torch.equal(read_weights(tmp_path / "theirs.safetensors").tensors["b"], tensors["b"])
