"""The Hugging Face form: full forward, cached decoding and batched generation agree for every decay and position."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from decaystudy.hub import DecayStudyConfig, DecayStudyForCausalLM
from decaystudy.model import DecayTransformer, ModelConfig
from tests.model.combinations import label, valid_combinations

# A vocabulary that is padded: 100 tokens in 128 rows.
SMALL = {"d_model": 32, "heads": 2, "glu_width": 48, "vocab_size": 100, "layers": 2}
COMBINATIONS = [*valid_combinations(), {"mixer": "softmax"}]


def make(combination, seed=1, **facts):
    model = DecayTransformer(ModelConfig.preset("tiny", **{**combination, **SMALL}), seed=seed).double()
    with torch.no_grad():
        model.head.weight[100:] = 50.0  # padding that would win every draw, if it took part
    return DecayStudyForCausalLM.around(model, pad_token_id=0, **facts)


def rows_of(*lengths):
    """Rows of these lengths, padded on the left with rubbish, and their mask."""
    tokens = torch.randint(1, 100, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros_like(tokens)
    for row, length in enumerate(lengths):
        mask[row, max(lengths) - length :] = 1
    return tokens, mask


@torch.no_grad()
def greedy(model, row, count):
    """How one row alone continues: a full forward pass for each token, no cache."""
    for _ in range(count):
        row = torch.cat((row, model(row, use_cache=False).logits[:, -1:].argmax(-1)), dim=1)
    return row


@pytest.mark.parametrize("combination", COMBINATIONS, ids=label)
def test_generation_equals_the_full_forward(combination):
    model = make(combination)
    tokens, mask = rows_of(9, 4, 1)
    made = model.generate(tokens, attention_mask=mask, max_new_tokens=7, do_sample=False, output_logits=True,
                          return_dict_in_generate=True)  # fmt: skip
    assert made.sequences.shape == (3, 16) and made.sequences.max() < 100
    for row, length in enumerate((9, 4, 1)):
        alone = tokens[row : row + 1, 9 - length :]
        assert made.sequences[row, 9 - length :].tolist() == greedy(model, alone, 7)[0].tolist()
        full = model(made.sequences[row : row + 1, 9 - length : -1]).logits[0, -7:]
        torch.testing.assert_close(torch.stack([step[row] for step in made.logits]), full.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("combination", [{}, {"decay": "lightnet", "position": "tpe"}, {"mixer": "softmax"}], ids=label)
def test_sampling_beams_and_several_sequences(combination):
    model = make(combination)
    tokens, mask = rows_of(6, 3)
    draws = [
        model.generate(tokens, attention_mask=mask, max_new_tokens=20, do_sample=True, top_k=0, use_cache=use)
        for use in (True, False)
        if torch.manual_seed(7)
    ]
    assert torch.equal(*draws) and draws[0].max() < 100
    beams = [
        model.generate(tokens, attention_mask=mask, max_new_tokens=8, num_beams=3, use_cache=use)
        for use in (True, False)
    ]
    assert torch.equal(*beams)
    several = model.generate(tokens, attention_mask=mask, max_new_tokens=4, do_sample=True, num_return_sequences=3)
    assert several.shape == (6, 10)


def test_padding_of_the_vocabulary_takes_no_part():
    model = make({})
    logits = model(torch.randint(100, (2, 5))).logits
    assert logits.shape == (2, 5, 100) and model.config.vocab_size == 100
    loss = model(torch.arange(10)[None], labels=torch.arange(10)[None]).loss
    own = model(torch.arange(10)[None]).logits.log_softmax(-1)
    assert loss.item() == pytest.approx(-sum(own[0, t, t + 1].item() for t in range(9)) / 9, rel=1e-6)


def test_documents_reset_the_state_in_cached_decoding_too():
    model = make({"decay": "lightnet"}, reset_after_eos=True, eos_token_id=3)
    tokens = torch.tensor([[9, 8, 3, 7, 6, 3, 5]])
    full = model(tokens).logits
    cache, parts = None, []
    for place in range(7):
        out = model(tokens[:, place : place + 1], past_key_values=cache)
        cache = out.past_key_values
        parts.append(out.logits)
    torch.testing.assert_close(torch.cat(parts, 1), full, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(full[:, 3:5], model(tokens[:, 3:5]).logits, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("combination", [{}, {"decay": "hgrn2"}, {"decay": "simple", "position": "tpe"}], ids=label)
def test_saved_and_reloaded(combination, tmp_path):
    model = DecayStudyForCausalLM.around(
        DecayTransformer(ModelConfig.preset("tiny", **{**combination, **SMALL}), seed=2), training_length=77
    )
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(again, DecayStudyForCausalLM) and again.config.training_length == 77
    assert again.config.model_config() == model.config.model_config()
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    # In bfloat16 the parameters behind λ stay exact.
    low = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert low.model.head.weight.dtype == torch.bfloat16
    for name, value in low.state_dict().items():
        if ".extras." in name or name.startswith("model.decay"):
            assert value.dtype == torch.float32 and torch.equal(value, model.state_dict()[name]), name
    assert torch.isfinite(low(torch.arange(9)[None]).logits).all()


def test_a_new_model_has_its_own_start_values():
    config = DecayStudyConfig(architecture={**SMALL, "decay": "simple", "decay_options": {"p": 0.9}})
    model = AutoModelForCausalLM.from_config(config)
    own = DecayTransformer(config.model_config())
    for name, value in own.state_dict().items():
        assert torch.equal(value, model.model.state_dict()[name]), name


def test_a_config_of_another_version_is_refused_by_name():
    with pytest.raises(Exception, match="did you mean 'granularity'"):
        DecayStudyConfig(architecture={"granularty": "scalar"})
