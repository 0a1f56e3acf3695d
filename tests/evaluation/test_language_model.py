"""lm-eval's model class with shared contexts against lm-eval's own, request by request."""

import random

import pytest
import torch
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedTokenizerFast

from decaystudy.errors import UserError
from decaystudy.evaluation.lm_eval import model as module
from decaystudy.evaluation.lm_eval.model import SharedContextLM, language_model
from decaystudy.hub import DecayStudyForCausalLM
from decaystudy.model import DecayTransformer, ModelConfig

SMALL = {"d_model": 32, "heads": 2, "glu_width": 48, "vocab_size": 100, "layers": 2}


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, models

    words = {f"w{i}": i for i in range(100)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w1")), eos_token="w0", pad_token="w0"
    )


def make(seed=1, reset=False, **changes):
    model = DecayTransformer(ModelConfig.preset("tiny", **{**SMALL, **changes}), seed=seed)
    made = DecayStudyForCausalLM.around(model, reset_after_eos=reset, eos_token_id=0)
    made.config.n_positions = 48  # a limit for lm-eval
    return made


def requests(count, seed=0):
    """Requests as lm-eval makes them: shared contexts, contexts too long for the model, long and short answers."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        context = [draw.randrange(100) for _ in range(draw.choice([1, 3, 20, 47, 60]))]
        for answer in range(draw.choice([1, 2, 4])):
            continuation = [draw.randrange(100) for _ in range(draw.choice([1, 1, 2, 7, 48]))]
            found.append(((f"{number}", f"{answer}"), context, continuation))
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"decay": "lightnet", "reset": True},
        {"decay": "hgrn2", "sharing": True},
        {"granularity": "scalar", "position": "rope"},
        {"position": "tpe"},
        {"dplr": True, "position": "lrpe"},
        {"mixer": "softmax"},
        {"mixer": "softmax", "reset": True},
    ],
    ids=str,
)
def test_shared_contexts_give_what_lm_eval_gives(tokenizer, changes, monkeypatch):
    monkeypatch.setattr("decaystudy.evaluation.perplexity.TOKENS_AT_ONCE", 200)  # several batches
    model = make(**changes)
    asked = requests(30)
    ours = language_model(model, tokenizer, "auto")
    assert isinstance(ours, SharedContextLM)
    plain = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=1, logits_cache=False)
    got, expected = ours._loglikelihood_tokens(asked), plain._loglikelihood_tokens(asked, disable_tqdm=True)
    torch.testing.assert_close(
        torch.tensor([value for value, _ in got]), torch.tensor([value for value, _ in expected]), rtol=1e-5, atol=1e-4
    )
    assert [greedy for _, greedy in got] == [greedy for _, greedy in expected]


def test_greedy_answers_are_known(tokenizer):
    """The model's own continuation is the greedy one, and no other is."""
    model = make(seed=3)
    context = [5, 6, 7, 8]
    best = model.generate(torch.tensor([context]), max_new_tokens=5, do_sample=False, eos_token_id=None)[0, 4:].tolist()
    other = [*best[:-1], (best[-1] + 1) % 100]
    lm = language_model(model, tokenizer, "auto")
    answers = lm._loglikelihood_tokens([(("a", "b"), context, best), (("a", "c"), context, other)])
    assert answers[0][1] is True and answers[1][1] is False and answers[0][0] > answers[1][0]


def test_a_context_is_read_once(tokenizer, monkeypatch):
    model = make()
    lengths = []
    hidden = DecayStudyForCausalLM.hidden
    monkeypatch.setattr(
        DecayStudyForCausalLM,
        "hidden",
        lambda self, ids, **given: lengths.append(ids.numel()) or hidden(self, ids, **given),
    )
    asked = [((f"{n}", ""), list(range(1, 41)), [n, n + 1, n + 2]) for n in range(4)]
    language_model(model, tokenizer, "auto")._loglikelihood_tokens(asked)
    assert lengths == [40, 4 * 2]


def test_rolling_over_documents(tokenizer):
    model = make()
    document = " ".join(f"w{(7 * i) % 100}" for i in range(130))  # several windows

    class Asked:
        args = (document,)

    got = language_model(model, tokenizer, "auto").loglikelihood_rolling([Asked(), Asked()], disable_tqdm=True)
    expected = language_model(model, tokenizer, "1").loglikelihood_rolling([Asked(), Asked()], disable_tqdm=True)
    assert got == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", ["0", "many", "-1"])
def test_batch_sizes_that_make_no_sense(tokenizer, size):
    with pytest.raises(UserError, match="batch-size"):
        language_model(make(), tokenizer, size)


def test_batches_are_bounded():
    lengths = [50, 40, 40, 3, 3, 3]
    batches = list(module.batched_items(range(6), lengths, vocabulary=2**26))
    assert [item for batch in batches for item in batch] == list(range(6))
    assert all(len(batch) == 1 for batch in batches)  # a vocabulary that leaves memory for two tokens
