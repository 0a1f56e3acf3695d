"""Which models can be asked for, and how the others are refused."""

import pytest

from decaystudy.errors import UserError
from decaystudy.model import ModelConfig
from tests.model.combinations import all_combinations, should_be_valid


def test_every_combination_is_accepted_or_refused_in_one_sentence():
    accepted = 0
    for combination in all_combinations():
        valid = should_be_valid(**combination)
        if valid:
            ModelConfig.preset("tiny", **combination)
            accepted += 1
        else:
            with pytest.raises(UserError) as error:
                ModelConfig.preset("tiny", **combination)
            assert "\n" not in str(error.value) and len(str(error.value)) > 30, combination
    assert accepted > 200


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"position": "rope"}, "scalar or paired"),
        ({"granularity": "vectr"}, "did you mean 'vector'"),
        ({"position": "roPE2"}, "did you mean 'rope'"),
        ({"mixer": "softmx"}, "did you mean 'softmax'"),
        ({"sharing": "relased"}, "did you mean 'released'"),
        ({"decay": "tnl", "granularity": "scalar", "layers": 1}, "at least 2 layers"),
        ({"mixer": "softmax", "decay": "gla"}, "no decay"),
        ({"mixer": "softmax", "dplr": True}, "no decay"),
        ({"mixer": "softmax", "position": "tpe"}, "RoPE"),
        ({"heads": 3}, "split over"),
        ({"heads": 0}, "at least 1"),
        ({"decay_rank": 0}, "decay_rank"),
        ({"decay_rank": 4, "sharing": True}, "no meaning"),
        ({"decay_rank": 4, "granularity": "scalar"}, "no meaning"),
        ({"decay_rank": 4, "decay": "constant"}, "no meaning"),
        ({"beta_max": 2.0}, "without model.dplr"),
        ({"beta_max": 1.5, "dplr": True}, "1 or 2"),
        ({"backend": "cuda"}, "choose from"),
        ({"d_model": 6, "heads": 2, "granularity": "paired"}, "even"),
        ({"d_model": 6, "heads": 2, "granularity": "scalar", "position": "rope"}, "even"),
    ],
)
def test_refusals(changes, says):
    with pytest.raises(UserError) as error:
        ModelConfig.preset("tiny", **changes)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_unknown_scale():
    with pytest.raises(UserError, match="did you mean '160m'"):
        ModelConfig.preset("160")
