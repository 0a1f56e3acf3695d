"""What a run is, and what makes two runs the same."""

import inspect

import pytest

from decaystudy.errors import UserError
from decaystudy.runs.config import REFUSED_TRAINER_SETTINGS, TRAINER_SETTINGS, RunConfig, scale_defaults


def test_round_trip():
    config = RunConfig.build("tiny", model={"decay": "simple", "decay_options": {"p": 0.9}}, seed=3)
    again = RunConfig.from_dict(config.to_dict())
    assert again == config and again.identity_hash() == config.identity_hash()


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {"micro_batch_size": 2}},
        {"recipe": {"checkpoint_every": 7, "validate_every": 9}},
        {"trainer": {"devices": 2, "log_every_n_steps": 3, "enable_progress_bar": False}},
        {"strategy": "ddp"},
        {"logger": ["csv", "mypackage.loggers.Mine"]},
        {"threads": 2},
        {"data": {"num_workers": 2}},
        {"model": {"backend": "recurrent"}},
        {"model": {"decay_options": {"start": None}}},
    ],
)
def test_what_cannot_change_a_result_does_not_count(changes):
    assert RunConfig.build("tiny", **changes).identity_hash() == RunConfig.build("tiny").identity_hash()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"model": {"decay": "gla"}},
        {"model": {"decay_options": {"start": 0.9}}},
        {"data": {"sequence_length": 128}},
        {"data": {"reset_state_at_documents": True}},
        {"data": {"tokenizer": "bpe:1024"}},
        {"recipe": {"learning_rate": 1e-3}},
        {"recipe": {"global_batch_size": 16}},
        {"trainer": {"max_steps": 7}},
        {"trainer": {"gradient_clip_val": 0.5}},
        {"trainer": {"precision": "bf16-mixed"}},
    ],
)
def test_what_can_does(changes):
    assert RunConfig.build("tiny", **changes).identity_hash() != RunConfig.build("tiny").identity_hash()


def test_another_decay_forgets_the_options_of_the_first():
    from decaystudy.runs.config import merge

    base = {"model": {"decay": "simple", "decay_options": {"p": 0.9}}}
    assert merge(base, {"model": {"decay": "gla"}})["model"] == {"decay": "gla"}
    assert merge(base, {"model": {"decay_options": {"start": 0.8}}})["model"]["decay_options"] == {
        "p": 0.9,
        "start": 0.8,
    }


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"trainer": {"max_stepz": 3}}, "did you mean 'trainer.max_steps'"),
        ({"trainer": {"max_epochs": 3}}, "no epochs"),
        ({"trainer": {"strategy": "ddp"}}, "--strategy"),
        ({"trainer": {"max_steps": 0}}, "at least 1"),
        ({"recipe": {"learning_rat": 3}}, "did you mean 'learning_rate'"),
        ({"recipe": {"global_batch_size": 0}}, "at least 1"),
        ({"recipe": {"betas": (0.9, 1.0)}}, "betas"),
        ({"data": {"source": "python-doc"}}, "did you mean 'python-docs'"),
        ({"seed": -1}, "at least 0"),
        ({"threads": 0}, "at least 1"),
        ({"modle": {}}, "did you mean 'model'"),
    ],
)
def test_refusals(changes, says):
    with pytest.raises(UserError) as error:
        RunConfig.build("tiny", **changes)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_trainer_settings_are_those_of_the_installed_lightning():
    import lightning.pytorch as L

    real = set(inspect.signature(L.Trainer.__init__).parameters) - {"self"}
    ours = set(TRAINER_SETTINGS) | set(REFUSED_TRAINER_SETTINGS)
    assert not set(TRAINER_SETTINGS) & set(REFUSED_TRAINER_SETTINGS)
    assert real <= ours, real - ours


@pytest.mark.parametrize("scale", ["tiny", "small", "160m", "410m", "1.45b"])
def test_every_scale_is_a_run(scale):
    config = RunConfig.from_dict(scale_defaults(scale))
    assert config.scale == scale and config.tokens == config.max_steps * config.tokens_per_step
    if scale in ("160m", "410m", "1.45b"):
        assert config.tokens == 20_000 * 256 * 2048
