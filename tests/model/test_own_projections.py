"""A decay with several projections or a β of its own is one class: built, counted, decoded and trained like any."""

import pytest
import torch
from torch.nn.functional import cross_entropy, logsigmoid
from torch.utils.flop_counter import FlopCounterMode

from decaystudy.errors import UserError
from decaystudy.model import DecayTransformer, ModelConfig
from decaystudy.model.count import forward_flops, parameter_count
from tests.model.combinations import label

TWO, BETA, FIXED = "tests.decay.own.TwoGates", "tests.decay.own.OwnBeta", "tests.decay.own.BetaOfOneLogit"
SMALL = {"d_model": 32, "heads": 2, "glu_width": 48, "vocab_size": 64, "layers": 3}
COMBINATIONS = [
    {"decay": TWO},
    {"decay": TWO, "granularity": "scalar"},
    {"decay": TWO, "granularity": "paired", "position": "rope"},
    {"decay": TWO, "sharing": True},
    {"decay": TWO, "sharing": "tied", "position": "tpe"},
    {"decay": TWO, "decay_rank": 5},
    {"decay": TWO, "decay_rank": "full", "sharing": False},
    {"decay": TWO, "dplr": True},
    {"decay": TWO, "decay_options": {"start": 0.9}},
    {"decay": BETA},
    {"decay": BETA, "dplr": True},
    {"decay": BETA, "dplr": True, "granularity": "scalar", "beta_max": 2.0, "position": "rope"},
    {"decay": FIXED, "dplr": True},
    {"decay": FIXED},
]
every_combination = pytest.mark.parametrize("combination", COMBINATIONS, ids=label)
TOKENS = torch.randint(64, (2, 14), generator=torch.Generator().manual_seed(0))


def make(combination):
    model = DecayTransformer(ModelConfig.preset("tiny", **{**SMALL, **combination}), seed=1).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".decay." in name:
                parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)).double()
    return model


@every_combination
def test_it_is_counted(combination):
    config = ModelConfig.preset("tiny", **{**SMALL, **combination}, backend="recurrent")
    model = DecayTransformer(config)
    assert parameter_count(config) == sum(parameter.numel() for parameter in model.parameters())
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.zeros(1, 8, dtype=torch.long))
    # Only matrix products are counted by torch; the operator's own are batched ones.
    counted = sum(n for op, n in counter.get_flop_counts()["Global"].items() if op is not torch.ops.aten.bmm)
    flops = forward_flops(config, 8)
    assert counted == 8 * (flops.projections + flops.decay + flops.head)


@every_combination
@torch.no_grad()
def test_decoding_and_documents(combination):
    model = make(combination)
    full = model(TOKENS)
    state, parts = None, []
    for piece in (TOKENS[:, :5], TOKENS[:, 5:6], TOKENS[:, 6:]):
        logits, state = model(piece, state=state, return_state=True)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), full, rtol=1e-9, atol=1e-9)
    resets = torch.zeros(2, 14, dtype=torch.bool)
    resets[:, [0, 5, 6]] = True
    alone = [model(TOKENS[:, a:b]) for a, b in ((0, 5), (5, 6), (6, 14))]
    torch.testing.assert_close(model(TOKENS, resets=resets), torch.cat(alone, 1), rtol=1e-9, atol=1e-9)


@every_combination
def test_every_weight_is_used(combination):
    model = make(combination)
    cross_entropy(model(TOKENS[:, :-1]).flatten(0, 1), TOKENS[:, 1:].flatten()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@torch.no_grad()
def test_each_logit_comes_from_its_own_weights():
    model = make({"decay": TWO})
    mixer = model.layers[0].token_mixer
    weights = dict(mixer.decay.named_parameters())
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == {
        "projection_f.down.weight": (16, 32),
        "projection_f.up.weight": (32, 16),
        "projection_temperature.down.weight": (3, 32),
        "projection_temperature.up.weight": (2, 3),
    }
    x = model.layers[0].token_norm(model.embedding(TOKENS))
    f, temperature = (
        x @ weights[f"projection_{name}.down.weight"].T @ weights[f"projection_{name}.up.weight"].T
        for name in ("f", "temperature")
    )
    expected = (f.sigmoid().log() * (1 + temperature.sigmoid()).repeat_interleave(16, -1)).unflatten(-1, (2, 16))
    torch.testing.assert_close(model.log_decays(TOKENS)[0], expected, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_a_shared_key_stands_in_for_the_first_logit():
    model = make({"decay": TWO, "sharing": True})
    mixer = model.layers[0].token_mixer
    assert not any("projection_f." in name for name, _ in mixer.named_parameters())
    x = model.layers[0].token_norm(model.embedding(TOKENS))
    t = mixer.decay.projection_temperature(x)
    expected = logsigmoid(mixer.k(x)) * (1 + t.sigmoid()).repeat_interleave(16, -1)
    torch.testing.assert_close(model.log_decays(TOKENS)[0].flatten(2), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("granularity", ["vector", "scalar"])
@torch.no_grad()
def test_a_matched_start_shifts_the_first_logit(granularity):
    changes = {"decay": TWO, "decay_options": {"start": 0.9}, "granularity": granularity, "d_model": 256}
    model = DecayTransformer(ModelConfig.preset("tiny", **{**SMALL, **changes}))
    tokens = torch.randint(64, (8, 64), generator=torch.Generator().manual_seed(3))
    for log_decay in model.log_decays(tokens):
        assert float(log_decay.double().exp().quantile(0.5)) == pytest.approx(0.9, abs=0.005)
    offset = model.layers[0].token_mixer.decay.extras.offset.item()
    assert 1.5 * float(logsigmoid(torch.tensor(offset))) == pytest.approx(float(torch.tensor(0.9).log()), abs=1e-6)


@pytest.mark.parametrize("beta_max", [1.0, 2.0])
@torch.no_grad()
def test_an_own_beta_takes_the_place_of_the_token_mixers(beta_max):
    """With floors of zero it is the default formula, so with the same weights the models are the same."""
    plain = make({"decay": "gla", "dplr": True, "beta_max": beta_max})
    own = make({"decay": BETA, "dplr": True, "beta_max": beta_max})
    assert own.layers[0].token_mixer.beta is None
    renamed = {
        name.replace(".token_mixer.beta.", ".token_mixer.decay.projection_b.").replace(
            ".decay.projection.", ".decay.projection_f."
        ): value
        for name, value in plain.state_dict().items()
    }
    missing, unexpected = own.load_state_dict(renamed, strict=False)
    assert not unexpected and all(name.endswith("extras.floor") for name in missing)
    for name in missing:
        own.get_parameter(name).zero_()
    torch.testing.assert_close(own(TOKENS), plain(TOKENS), rtol=1e-12, atol=1e-12)
    for name in missing:
        own.get_parameter(name).fill_(0.5)
    assert not torch.allclose(own(TOKENS), plain(TOKENS))


@torch.no_grad()
def test_a_fixed_beta_is_what_the_operator_gets(monkeypatch):
    from decaystudy.model import token_mixer

    seen = []
    operator = token_mixer.dplr_attention
    monkeypatch.setattr(
        token_mixer, "dplr_attention", lambda *given, **options: (seen.append(given[4]), operator(*given, **options))[1]
    )
    make({"decay": FIXED, "dplr": True, "beta_max": 2.0})(TOKENS)
    assert len(seen) == 3 and all(torch.equal(beta, torch.ones(2, 14, 2).double()) for beta in seen)


@torch.no_grad()
def test_what_has_no_start_value_starts_at_zero():
    with torch.device("meta"):
        model = DecayTransformer(ModelConfig.preset("tiny", **SMALL, decay=BETA, dplr=True))
    model.to_empty(device="cpu")
    for tensor in model.parameters():
        tensor.fill_(torch.nan)
    model.initialise()
    assert torch.equal(model.layers[1].token_mixer.decay.extras.floor, torch.zeros(2))
    assert all(torch.isfinite(tensor).all() for tensor in model.parameters())


def test_a_start_value_of_nothing_is_refused(monkeypatch):
    from tests.decay.own import OwnBeta

    start = {"flor": torch.zeros(2)}
    monkeypatch.setattr(OwnBeta, "initial_parameters", lambda self, context, generator: start)
    with pytest.raises(UserError, match="start value for 'flor'"):
        DecayTransformer(ModelConfig.preset("tiny", **SMALL, decay=BETA, dplr=True))


@torch.no_grad()
def test_names_in_checkpoints_stay():
    """What checkpoints and start values are found by; renaming any of these would lose both."""
    names = set(make({"decay": "mamba2", "dplr": True}).layers[0].token_mixer.state_dict())
    assert {"decay.extras.A_log", "decay.extras.delta", "decay.projection.down.weight", "beta.weight"} < names
    assert "decay.projection.weight" in make({"granularity": "scalar"}).layers[0].token_mixer.state_dict()
    assert "decay.extras.offset" in make({"decay_options": {"start": 0.9}}).layers[0].token_mixer.state_dict()
    assert "decay.bounds" in make({"decay": "hgrn2"}).state_dict()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decay_options": {"names": ("f", "f")}}, ["'f'", "no other has"]),
        ({"decay_options": {"names": ("f", "two words")}}, ["'two words'", "rename it"]),
        ({"decay_options": {"size": 0}}, ["size 0", "at least 1"]),
        ({"decay_options": {"rank": "fll"}}, ["rank 'fll'", "full, or None"]),
        ({"decay": "tests.decay.own.Contradictory"}, ["doesn't depend on the token", "data_dependent"]),
        ({"decay": "tests.decay.own.SharedSplit", "sharing": True}, ["'head', has size 2 and the key 32", "tied"]),
        ({"decay": "tests.decay.own.SharedSplit", "decay_rank": 4}, ["sets the rank of its projections itself"]),
    ],
)
def test_refusals(changes, words):
    with pytest.raises(UserError) as error:
        ModelConfig.preset("tiny", **{**SMALL, "decay": "tests.decay.own.Misdeclared", **changes})
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value), error.value


def test_a_wrong_shape_is_named():
    config = ModelConfig.preset("tiny", **SMALL, decay="tests.decay.own.Misdeclared", decay_options={"size": 8})
    with pytest.raises(UserError, match=r"own\.Misdeclared in .*own\.py gave log λ of shape \(2, 14, 8\).*must be 32"):
        DecayTransformer(config)(TOKENS)


def test_a_second_projection_leaves_the_rest_alone():
    """The token mixer's own parts are those of any decay: same names, same start values."""
    two = dict(DecayTransformer(ModelConfig.preset("tiny", **SMALL, decay=TWO), seed=4).named_parameters())
    one = dict(DecayTransformer(ModelConfig.preset("tiny", **SMALL, decay="gla"), seed=4).named_parameters())
    common = two.keys() & one.keys()
    assert {name for name in one if ".decay." not in name} == common
    assert all(torch.equal(two[name], one[name]) for name in common)
