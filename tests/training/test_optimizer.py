"""What is weight-decayed and what is not."""

import pytest
import torch

from decaystudy.model import DecayTransformer, ModelConfig
from decaystudy.runs.recipe import RecipeConfig
from decaystudy.training.optimizer import make_optimizer, parameter_groups


@pytest.mark.parametrize(
    ("changes", "undecayed"),
    [
        ({}, {"A_log", "delta"}),
        ({"decay": "hgrn2"}, {"bounds"}),
        ({"decay": "tnl-l", "granularity": "scalar"}, {"theta"}),
        ({"decay": "tnl-l", "granularity": "scalar", "decay_options": {"released": True}}, {"log_decay"}),
        ({"decay": "simple", "position": "tpe"}, {"delta", "q", "k", "theta"}),
        ({"mixer": "softmax"}, set()),
    ],
)
def test_groups(changes, undecayed):
    model = DecayTransformer(ModelConfig.preset("tiny", **changes))
    with_decay, without = parameter_groups(model)
    names = {id(p): name for name, p in model.named_parameters()}
    assert len(with_decay) + len(without) == len(names)
    for parameter in with_decay:
        assert parameter.dim() == 2 and names[id(parameter)].endswith(".weight"), names[id(parameter)]
    left = {names[id(p)] for p in without if "norm" not in names[id(p)]}
    assert {name.rpartition(".")[2] for name in left} == undecayed


def test_weight_decay_leaves_decays_alone():
    model = DecayTransformer(ModelConfig.preset("tiny"))
    recipe = RecipeConfig(learning_rate=0.1, weight_decay=0.5)
    optimizer = make_optimizer(model, recipe)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        shrunk = not torch.equal(parameter, before[name])
        assert shrunk == (parameter.dim() == 2 and "extras" not in name), name
