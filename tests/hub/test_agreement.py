"""config.json and the weights beside it are of one model, unless the caller asks for another one."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from decaystudy.cli import main
from decaystudy.errors import UserError
from decaystudy.hub import DecayStudyConfig, DecayStudyForCausalLM
from tests.evaluation.conftest import copied, datasets_cache, run  # noqa: F401


@pytest.fixture(scope="module")
def exported(tmp_path_factory, run):  # noqa: F811
    folder = tmp_path_factory.mktemp("export") / "model"
    assert main(["export", str(run), str(folder)]) == 0
    return folder


@pytest.fixture
def model(exported, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(exported, tmp_path / "model")


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config["architecture"].update(changes)
    (folder / "config.json").write_text(json.dumps(config))


def test_weights_are_never_read_as_those_of_another_model(exported, run, tmp_path, capsys):  # noqa: F811
    """Where the shapes are the same, nothing else would tell."""
    for source, name, old, new in (
        (exported, "config.json", '"norm_eps": 1e-05', '"norm_eps": 0.1'),
        (run, "config.yaml", "norm_eps: 1.0e-05", "norm_eps: 0.1"),
    ):
        folder = tmp_path / name
        shutil.copytree(source, folder)
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
        assert main(["generate", str(folder)]) == 2
        said = capsys.readouterr().err
        assert f"{folder / name} says norm_eps 0.1, and the weights in {folder}/model.safetensors were trained" in said
        (folder / name).write_text(text.replace('"backend": "auto"', '"backend": "chunked"'))
        assert main(["generate", str(folder), "--tokens", "1"]) == 0, "whatever computes it"
    with pytest.raises(UserError, match=r"says norm_eps"):
        (tmp_path / "config.json" / "config.json").write_text(
            (exported / "config.json").read_text().replace('"norm_eps": 1e-05', '"norm_eps": 0.1')
        )
        AutoModelForCausalLM.from_pretrained(tmp_path / "config.json")


@pytest.mark.parametrize("settings", ["decay_rank: 16", "decay_options: {start: null}"])
def test_a_run_whose_settings_are_spelled_otherwise(settings, copied, tmp_path):  # noqa: F811
    """Of a head's size, and an option's default: the same model, and the same run."""
    name = settings.partition(":")[0]
    lines = (copied / "config.yaml").read_text().splitlines()
    (before,) = (line for line in lines if line.strip().startswith(f"{name}:"))
    changed = before[: before.index(name)] + settings
    (copied / "config.yaml").write_text("\n".join(changed if line == before else line for line in lines) + "\n")
    assert main(["generate", str(copied), "--tokens", "1"]) == 0
    assert main(["export", str(copied), str(tmp_path / "model")]) == 0
    edit(tmp_path / "model", decay_rank=None, decay_options={})
    AutoModelForCausalLM.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize("opener", [AutoModelForCausalLM, DecayStudyForCausalLM])
def test_another_architecture_on_purpose(opener, model):
    config = AutoConfig.from_pretrained(model)
    config.architecture["norm_eps"] = 0.1
    other = opener.from_pretrained(model, config=config)
    assert other.model.config.norm_eps == 0.1
    whole = dict(config.architecture)
    assert opener.from_pretrained(model, architecture=whole).model.config.norm_eps == 0.1
    harmless = opener.from_pretrained(model, config=DecayStudyConfig.from_pretrained(model, training_length=5))
    assert harmless.config.training_length == 5 and harmless.model.config.norm_eps == 1e-5
    assert torch.equal(harmless.model.head.weight, other.model.head.weight)


@pytest.mark.parametrize("opener", [AutoModelForCausalLM, DecayStudyForCausalLM])
def test_an_edited_config_is_seen_beside_what_the_caller_asks_for(opener, model):
    edit(model, norm_eps=0.1)
    read = AutoConfig.from_pretrained(model, training_length=5)
    named = [{"config": str(model)}, {"config": model / "config.json"}] if opener is DecayStudyForCausalLM else []
    for more in ({"training_length": 5}, {"config": read}, {"ignore_mismatched_sizes": True}, *named):
        with pytest.raises(UserError, match=r"config.json says norm_eps 0.1, and the weights in .* with 1e-05"):
            opener.from_pretrained(model, **more)
    edit(model, norm_eps=1e-5, d_model=64)
    with pytest.raises(UserError, match=r"config.json says d_model 64"):
        opener.from_pretrained(model)


@pytest.mark.parametrize("opener", [AutoModelForCausalLM, DecayStudyForCausalLM])
@pytest.mark.parametrize("edited", [False, True])
def test_other_sizes_on_purpose(opener, edited, model):
    """Weights of another size get start values, and not memory as it was found."""
    trained = opener.from_pretrained(model)
    if edited:
        edit(model, vocab_size=100)
    config = AutoConfig.from_pretrained(model)
    config.architecture["vocab_size"] = 100
    more = {} if edited else {"config": config}
    other = opener.from_pretrained(model, ignore_mismatched_sizes=True, **more)
    fresh = DecayStudyForCausalLM(config)
    assert len(other.model.head.weight) == 128
    assert torch.equal(other.model.head.weight, fresh.model.head.weight)
    assert torch.equal(other.model.layers[1].channel_mixer.w1.weight, trained.model.layers[1].channel_mixer.w1.weight)


def test_metadata_of_other_programs_are_none_of_ours(model, copied):  # noqa: F811
    for folder in (model, copied):
        file = folder / "model.safetensors"
        save_file(load_file(file), file, metadata={"format": "pt", "architecture": "llama"})
        assert main(["generate", str(folder), "--tokens", "1"]) == 0
