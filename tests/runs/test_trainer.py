"""Lightning's Trainer settings: each obeyed within its range, or refused with a reason."""

import inspect
import math

import pytest

from decaystudy.errors import UserError
from decaystudy.runs.config import RunConfig
from decaystudy.runs.trainer import DECISIVE, OBEYED, REFUSED


def test_the_tables_hold_every_setting_of_the_installed_trainer():
    import lightning.pytorch as L

    real = set(inspect.signature(L.Trainer.__init__).parameters) - {"self"}
    assert not set(OBEYED) & set(REFUSED)
    assert real <= {*OBEYED, *REFUSED}, real - {*OBEYED, *REFUSED}
    assert set(DECISIVE) <= set(OBEYED)


ODD = [[], {}, {"a": 1}, "word", "", 0, -5, 0.5, 1e400, math.nan, 10**30, [None], [0, 0], [-1], "1,1", "0:0:0", True]
GOOD = {
    "accelerator": ["auto", "cpu", "gpu"],
    "devices": [1, 2, "2", "auto", -1, "-1", [0], [0, 1], "0,1", (0, 3)],
    "num_nodes": [1, 4],
    "precision": ["32-true", 32, "32", "64-true", "bf16-mixed", "bf16"],
    "max_steps": [1, 10**6],
    "max_time": ["00:00:10:00", "1:00:00:00", {"minutes": 5}, {"hours": 1, "minutes": 0.5}],
    "num_sanity_val_steps": [-1, 0, 2],
    "log_every_n_steps": [1, 50],
    "accumulate_grad_batches": [1, 8],
    "gradient_clip_val": [0, 0.0, 1, 0.5],
    "gradient_clip_algorithm": ["norm", "value"],
    "deterministic": [True, False, "warn"],
    "profiler": ["simple", "advanced"],
}
FLAGS = [name for name in OBEYED if name not in GOOD]


@pytest.mark.parametrize("name", OBEYED)
def test_a_setting_is_taken_in_its_range_and_refused_beyond(name):
    good = GOOD.get(name, [True, False])
    for value in good:
        assert RunConfig.build("tiny", trainer={name: value}).trainer[name] == value
    if name != "max_steps":
        RunConfig.build("tiny", trainer={name: None})
    for value in ODD:
        if any(value == fine and type(value) is type(fine) for fine in good):
            continue
        if (name, value) in [("gradient_clip_val", 0.5)]:
            continue
        with pytest.raises(UserError) as error:
            RunConfig.build("tiny", trainer={name: value})
        said = str(error.value)
        assert said.startswith(("trainer.", "unknown ")) and name in said and "\n" not in said and len(said) < 400, said


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("value", [0, 1, 3, 0.5, 1.0, None, "x"])
def test_other_settings_are_refused_in_any_form(name, value):
    with pytest.raises(UserError, match=rf"trainer\.{name} cannot be set: \w+"):
        RunConfig.build("tiny", trainer={name: value})


@pytest.mark.parametrize(
    "value", ["00:00:00:00", "9999:00:00:00", {"seconds": 0}, {"weeks": 600}, 10, "1:00", {}, {"minute": 3}, []]
)
def test_a_time_limit_is_above_zero_and_at_most_ten_years(value):
    with pytest.raises(UserError, match=r"such as 00:01:30:00, or them by name, .* at most ten years"):
        RunConfig.build("tiny", trainer={"max_time": value})


@pytest.mark.parametrize("name", ["xla", "ddp_notebook", "deepspeed", "dpp", "", 3, None])
def test_strategies_are_those_that_are_tested(name):
    with pytest.raises(UserError, match="auto, ddp, fsdp"):
        RunConfig.build("tiny", strategy=name)
