"""What users of transformers do with an exported model: it works, or is refused in a sentence."""

import json
import os
import stat

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, GenerationConfig, pipeline

import decaystudy.hub  # noqa: F401
from decaystudy.cli import main
from tests.evaluation.conftest import fit


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transformers")
    # 300 tokens in 320 rows.
    run = fit(folder / "run", "--trainer.max_steps", "4", "--data.tokenizer", "bpe:300", "--model.decay", "hgrn2")
    assert main(["export", str(run), str(folder / "model")]) == 0
    return folder / "model"


@pytest.fixture
def model(exported):
    return AutoModelForCausalLM.from_pretrained(exported)


@pytest.fixture
def tokenizer(exported):
    return AutoTokenizer.from_pretrained(exported)


@pytest.fixture
def inputs(tokenizer):
    return tokenizer(["Return", "Return the value of it"], return_tensors="pt", padding=True)


def test_only_the_caller_says_when_to_stop(exported, model, tokenizer, inputs):
    settings = GenerationConfig.from_pretrained(exported)
    assert settings.max_new_tokens is None
    for length in (30, 200):
        assert model.generate(**inputs, max_length=length, do_sample=False, eos_token_id=None).shape[1] == length
    # Longer than the training sequences of 128, without a word on how long.
    prompt = tokenizer("Return the value of it. " * 40, return_tensors="pt")
    assert prompt["input_ids"].shape[1] > 128
    more = model.generate(**prompt, do_sample=False, eos_token_id=None)
    assert more.shape[1] == prompt["input_ids"].shape[1] + 20
    made = pipeline("text-generation", model=str(exported))("Return the", max_new_tokens=100, do_sample=False)
    assert made[0]["generated_text"].startswith("Return the")


def test_hidden_states(model, inputs):
    out = model(**inputs, output_hidden_states=True)
    assert len(out.hidden_states) == 3 and {h.shape for h in out.hidden_states} == {(*inputs["input_ids"].shape, 32)}
    assert torch.equal(out.hidden_states[0], model.get_input_embeddings()(inputs["input_ids"]))
    assert torch.equal(model.get_output_embeddings()(out.hidden_states[-1])[..., :300], out.logits)
    assert model(**inputs).hidden_states is None
    made = model.generate(
        **inputs, max_new_tokens=3, do_sample=False, return_dict_in_generate=True, output_hidden_states=True
    )
    assert len(made.hidden_states) == 3 and len(made.hidden_states[0]) == 3
    model.config.output_hidden_states = True
    assert len(model(**inputs).hidden_states) == 3
    assert len(model(**inputs, return_dict=False)) == 3


@pytest.mark.parametrize(
    ("rows", "multiple", "mean", "tied"),
    [(300, None, True, False), (307, None, False, False), (340, None, True, False), (298, None, True, False),
     (307, 8, True, False), (None, 128, False, False), (310, None, True, True)],
)  # fmt: skip
def test_a_resized_vocabulary(rows, multiple, mean, tied, model, inputs, tmp_path):
    if tied:
        model.config.tie_word_embeddings = True
        model.tie_weights()
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    with torch.no_grad():
        before = model(**inputs).logits
    embedding = model.resize_token_embeddings(rows, pad_to_multiple_of=multiple, mean_resizing=mean)
    wanted = rows or 300
    wanted = wanted if multiple is None else -(-wanted // multiple) * multiple
    assert embedding is model.get_input_embeddings() and len(embedding.weight) == wanted
    assert len(model.get_output_embeddings().weight) == wanted == model.config.vocab_size
    assert tied == (model.get_output_embeddings().weight is embedding.weight)
    with torch.no_grad():
        after = model(**inputs).logits
    assert after.shape[-1] == wanted
    torch.testing.assert_close(after[..., :290], before[..., :290], rtol=1e-5, atol=1e-5)
    if wanted > 300:
        new = torch.cat((embedding.weight[300:], model.get_output_embeddings().weight[300:])).flatten()
        assert 0 < new.std() < 0.1
        text = torch.tensor([[5, wanted - 1, 300]])
        model(text, labels=text).loss.backward()
        assert embedding.weight.grad[300:].abs().sum() > 0
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)
    assert again.config.model_config().vocab_size == wanted and len(again.get_input_embeddings().weight) == wanted
    assert tied == (again.get_output_embeddings().weight is again.get_input_embeddings().weight)


def test_embeddings_that_are_replaced(model, inputs):
    assert model.resize_token_embeddings() is model.get_input_embeddings()
    embedding, head = torch.nn.Embedding(320, 32), torch.nn.Linear(32, 320, bias=False)
    model.set_input_embeddings(embedding)
    model.set_output_embeddings(head)
    assert model.get_input_embeddings() is embedding and model.get_output_embeddings() is head
    assert torch.equal(model(**inputs, output_hidden_states=True).hidden_states[0], embedding(inputs["input_ids"]))


@pytest.mark.parametrize("cache", [DynamicCache(), ((torch.zeros(1, 2, 3, 4),) * 2,)], ids=["dynamic", "tuple"])
def test_a_cache_of_keys_and_values_is_refused(cache, model, inputs):
    with pytest.raises(ValueError, match="this model keeps a state in place of keys and values: pass what"):
        model(**inputs, past_key_values=cache)
    with pytest.raises(ValueError, match=r"keeps a state in place|Passing a tuple .* is not supported"):
        model.generate(**inputs, past_key_values=cache)


def test_what_the_model_cannot_give_or_take(model, inputs):
    with pytest.raises(ValueError, match="no attention weights"):
        model(**inputs, output_attentions=True)
    with pytest.raises(ValueError, match="takes input_ids"):
        model(inputs_embeds=torch.zeros(1, 3, 32))
    with pytest.raises(ValueError, match="counts its positions itself"):
        model(
            inputs["input_ids"], position_ids=torch.tensor([[0, 1, 0]]).repeat(2, 5)[:, : inputs["input_ids"].shape[1]]
        )
    positions = (inputs["attention_mask"].cumsum(-1) - 1).masked_fill(inputs["attention_mask"] == 0, 1)
    assert torch.equal(model(**inputs, position_ids=positions).logits, model(**inputs).logits)


def gradients(model, inputs):
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    out = model(**inputs, labels=labels)
    out.loss.backward()
    return out, {name: value.grad for name, value in model.named_parameters()}


def test_activation_checkpointing_gives_the_same_gradients(exported, inputs):
    found = []
    for checkpointing in (False, True):
        model = AutoModelForCausalLM.from_pretrained(exported).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert model.is_gradient_checkpointing
        calls = []
        model.model.layers[0].register_forward_pre_hook(lambda *args, calls=calls: calls.append(1))
        out, grads = gradients(model, inputs)
        assert len(calls) == (2 if checkpointing else 1) and (out.past_key_values is None) == checkpointing
        found.append(grads)
    assert found[0].keys() == found[1].keys() and all(grad is not None for grad in found[0].values())
    for name, grad in found[0].items():
        torch.testing.assert_close(found[1][name], grad, rtol=1e-5, atol=1e-7)
    model.eval()
    assert model(**inputs).past_key_values is not None
    model.gradient_checkpointing_disable()
    model.train().gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(ValueError, match="use_reentrant"):
        model(**inputs)


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_saved_files_have_the_mode_of_new_files(umask, exported, model, tokenizer, tmp_path):
    before = os.umask(umask)
    try:
        model.save_pretrained(tmp_path / "whole")
        model.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
        tokenizer.save_pretrained(tmp_path / "whole")
        assert main(["export", str(exported.parent / "run"), str(tmp_path / "export")]) == 0
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert len([path for path in modes if path.suffix == ".safetensors"]) > 3
    assert set(modes.values()) == {0o666 & ~umask}, modes


def test_other_types_and_ways_to_generate(exported, inputs):
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        model = AutoModelForCausalLM.from_pretrained(exported, dtype=dtype)
        assert model.dtype == dtype and torch.isfinite(model(**inputs).logits).all()
        for how in ({"num_beams": 3}, {"do_sample": True, "top_k": 5}, {"use_cache": False}):
            assert model.generate(**inputs, max_new_tokens=4, **how).shape[0] == 2


def test_an_export_of_before_is_read(exported, inputs, tmp_path):
    for path in exported.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config["max_position_embeddings"] = config.pop("training_length")
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert again.config.training_length == 128 and not hasattr(again.config, "max_position_embeddings")
