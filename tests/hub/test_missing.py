"""Weights that are in no file are found out, and nothing else is."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from decaystudy.cli import main
from decaystudy.errors import UserError
from decaystudy.hub import DecayStudyForCausalLM
from decaystudy.hub.from_run import load_hub_folder
from decaystudy.model import DecayTransformer, ModelConfig
from tests.evaluation.conftest import datasets_cache, run  # noqa: F401

SMALL = {"d_model": 32, "heads": 2, "glu_width": 48, "vocab_size": 100, "layers": 2}


@pytest.fixture(scope="module")
def exported(tmp_path_factory, run):  # noqa: F811
    folder = tmp_path_factory.mktemp("export") / "model"
    assert main(["export", str(run), str(folder)]) == 0
    return folder


def without(folder, gone):
    """Write the weights again but for one, as another program would."""
    weights = load_file(folder / "model.safetensors")
    del weights[gone]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_weights_that_are_missing_are_never_drawn_at_random(exported, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    weights = load_file(folder / "model.safetensors")
    gone = sorted(weights)[0]
    save_file({k: v for k, v in weights.items() if k != gone}, folder / "model.safetensors", metadata={"format": "pt"})
    for words in (["generate", str(folder)], ["evaluate", str(folder), "--tasks", "offline", "--limit", "1"]):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert f"cannot open the model in {folder}: its weights lack {gone}: restore it" in said and "Trace" not in said
    with pytest.raises(UserError, match=f"its weights lack {gone}"):
        AutoModelForCausalLM.from_pretrained(folder)
    model, facts = AutoModelForCausalLM.from_pretrained(exported, output_loading_info=True)
    assert not facts["missing_keys"] and model.config.model_type == "decaystudy"


def test_a_constant_of_a_decay_is_needed(tmp_path):
    model = DecayTransformer(ModelConfig.preset("tiny", decay="gla", decay_options={"start": 0.9}, **SMALL))
    (gone, *_) = [f"model.{name}" for name, _ in model.named_buffers()]
    DecayStudyForCausalLM.around(model).save_pretrained(tmp_path)
    AutoModelForCausalLM.from_pretrained(tmp_path)
    without(tmp_path, gone)
    with pytest.raises(UserError, match=f"its weights lack {gone}.*export the run again"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


def test_a_fetched_model_is_fetched_again(exported, tmp_path, monkeypatch):
    """As it lies in the cache of a hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    place = tmp_path / "models--someone--model"
    snapshot = shutil.copytree(exported, place / "snapshots" / ("0" * 40))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)
    options = {"cache_dir": tmp_path, "local_files_only": True}
    AutoModelForCausalLM.from_pretrained("someone/model", **options)
    without(snapshot, "model.norm.weight")
    with pytest.raises(UserError, match=r"its weights lack model.norm.weight: fetch it again") as refused:
        AutoModelForCausalLM.from_pretrained("someone/model", **options)
    assert "export" not in str(refused.value)


class NotedConfig(LlamaConfig):
    model_type = "noted-llama"


class Noted(LlamaForCausalLM):
    """A model of others that keeps a constant among its weights."""

    config_class = NotedConfig

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("note", torch.zeros(3))


def test_models_of_others(exported, tmp_path):
    AutoConfig.register(NotedConfig.model_type, NotedConfig, exist_ok=True)
    AutoModelForCausalLM.register(NotedConfig, Noted, exist_ok=True)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = NotedConfig(**sizes, num_key_value_heads=2, vocab_size=2048, tie_word_embeddings=True)
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors", "*.py"))
    Noted(config).save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    without(tmp_path, "note")
    model, _ = load_hub_folder(tmp_path)
    assert model.config.model_type == "noted-llama"
    without(tmp_path, "model.norm.weight")
    with pytest.raises(UserError, match=r"its weights lack model.norm.weight: fetch it again, or choose") as refused:
        load_hub_folder(tmp_path)
    assert "export" not in str(refused.value)
