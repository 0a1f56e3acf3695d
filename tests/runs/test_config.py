"""What a run is, and what makes two runs the same."""

import pytest

from decaystudy.errors import UserError
from decaystudy.runs.config import RunConfig, scale_defaults
from decaystudy.scales import SCALES
from decaystudy.training.schedule import wsd


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
        {"model": {"decay_rank": 64, "beta_max": 1, "norm_eps": 1e-05}},
        {"trainer": {"precision": 32}},
        {"trainer": {"precision": "32", "gradient_clip_val": 1, "gradient_clip_algorithm": "norm"}},
        {"data": {"tokenizer": "bpe:2048", "validation_fraction": 0.03, "split": "train"}},
        {"recipe": {"betas": [0.9, 0.999], "weight_decay": 0.1}},
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
        {"recipe": {"learning_rate": 2e-3}},
        {"recipe": {"global_batch_size": 16}},
        {"trainer": {"max_steps": 7}},
        {"trainer": {"gradient_clip_val": 0.5}},
        {"trainer": {"precision": "bf16-mixed"}},
        {"model": {"decay_rank": 32}},
        {"model": {"decay_rank": "full"}},
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


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_is_a_run(scale):
    config = RunConfig.from_dict(scale_defaults(scale))
    assert config.scale == scale and config.tokens == config.max_steps * config.tokens_per_step
    if scale in ("160m", "410m", "1.45b"):
        assert config.tokens == 20_000 * 256 * 2048


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 30, 1001])
def test_the_warm_up_is_a_share_of_a_run_of_any_length(scale, steps):
    config = RunConfig.build(scale, trainer={"max_steps": steps})
    own = SCALES[scale]
    share = own.recipe["warmup_steps"] / own.trainer["max_steps"]
    assert abs(config.recipe.warmup_steps - max(1, share * steps)) <= 0.5
    recipe = config.recipe
    shape = {"decay_fraction": recipe.decay_fraction, "final_fraction": recipe.final_fraction}
    rates = [wsd(step, steps, warmup=config.recipe.warmup_steps, **shape) for step in range(steps)]
    assert max(rates) == 1.0, "the peak is reached"
    assert config.to_dict()["recipe"]["warmup_steps"] == config.recipe.warmup_steps, "config.yaml states the steps"


@pytest.mark.parametrize("scale", SCALES)
def test_the_warm_up_at_a_scales_own_length_is_its_own(scale):
    own = RunConfig.build(scale)
    assert own.recipe.warmup_steps == SCALES[scale].recipe["warmup_steps"]
    written = RunConfig.build(scale, recipe={"warmup_steps": own.recipe.warmup_steps})
    assert written.identity() == own.identity()


def test_a_written_warm_up_is_obeyed_or_refused():
    assert RunConfig.build("tiny", recipe={"warmup_steps": 20}, trainer={"max_steps": 20}).recipe.warmup_steps == 20
    assert RunConfig.build("tiny", recipe={"warmup_steps": 0}).recipe.warmup_steps == 0
    with pytest.raises(UserError, match="warmup_steps 21 is longer than the run of 20 steps"):
        RunConfig.build("tiny", recipe={"warmup_steps": 21}, trainer={"max_steps": 20})
    # An earlier run whose warm-up is longer than itself can still be read.
    values = RunConfig.build("tiny").to_dict()
    values["trainer"]["max_steps"] = 3
    assert RunConfig.from_dict(values).recipe.warmup_steps == values["recipe"]["warmup_steps"]


NOT_NUMBERS = ["nan", "inf", "-inf"]


@pytest.mark.parametrize("value", [*map(float, NOT_NUMBERS), 10**400, -1e300, "much", None, True, [1]])
@pytest.mark.parametrize(
    "setting",
    [
        ("recipe", "learning_rate"),
        ("recipe", "weight_decay"),
        ("recipe", "epsilon"),
        ("recipe", "decay_fraction"),
        ("recipe", "final_fraction"),
        ("recipe", "betas"),
        ("recipe", "global_batch_size"),
        ("recipe", "checkpoint_every"),
        ("model", "norm_eps"),
        ("model", "rope_base"),
        ("model", "layers"),
        ("data", "sequence_length"),
        ("data", "validation_tokens"),
        ("data", "num_workers"),
        ("trainer", "max_steps"),
        (None, "seed"),
    ],
)
def test_numbers_are_finite_and_in_range(setting, value):
    section, name = setting
    changes = {section: {name: value}} if section else {name: value}
    with pytest.raises(UserError) as error:
        RunConfig.build("tiny", **changes)
    said = str(error.value)
    assert name in said and "give " in said and "\n" not in said and len(said) < 200, said


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"trainer": {"precision": "bf16"}}, {"trainer": {"precision": "bf16-mixed"}}),
        ({"trainer": {"gradient_clip_val": 0}}, {"trainer": {"gradient_clip_val": None}}),
        ({"recipe": {"weight_decay": 1}}, {"recipe": {"weight_decay": 1.0}}),
        (
            {"data": {"source": "fineweb-edu", "tokenizer": "gpt2"}},
            {"data": {"source": "fineweb-edu", "config": "sample-10BT", "tokenizer": "openai-community/gpt2"}},
        ),
        ({"model": {"decay": "simple"}}, {"model": {"decay": "simple", "decay_options": {"p": 0.99}}}),
        (
            {"model": {"decay": "constant", "decay_options": {"c": 1}}},
            {"model": {"decay": "constant", "decay_options": {"c": 1.0}}},
        ),
    ],
)
def test_spellings_of_one_run(one, other):
    assert RunConfig.build("tiny", **one).identity_hash() == RunConfig.build("tiny", **other).identity_hash()


def test_a_version_counts(monkeypatch):
    before = RunConfig.build("tiny").identity_hash()
    for name in ("MODEL", "RECIPE", "DATA"):
        with monkeypatch.context() as raised:
            raised.setattr(f"decaystudy.versions.{name}", 99)
            assert RunConfig.build("tiny").identity_hash() != before
