"""Loss by position and length, distributions of λ, and counterfactual decays, against what is known of them."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from decaystudy.cli import main
from decaystudy.errors import UserError
from decaystudy.evaluation.decays.ablation import ablate
from decaystudy.evaluation.decays.distribution import decay_distribution, row
from decaystudy.evaluation.lengths import measure, position_bins
from decaystudy.evaluation.perplexity import held_out_blocks, token_losses, validation
from decaystudy.evaluation.tables import decays_table, lengths_table, positions_table
from decaystudy.model import DecayTransformer
from decaystudy.runs.loading import LoadedRun, load_run


@pytest.fixture(scope="module")
def loaded(run):
    return load_run(run)


def untrained(loaded: LoadedRun, seed=3, **changes) -> LoadedRun:
    """The run with another model, at its start values."""
    config = replace(loaded.config.model, decay_options={}, **{"decay": "mamba2", **changes})
    return replace(loaded, config=replace(loaded.config, model=config), model=DecayTransformer(config, seed=seed))


# -- lengths ------------------------------------------------------------------------------------------------------


def test_one_length_is_the_validation(loaded):
    lengths, positions = measure(loaded)
    first = lengths[0]
    assert first.perplexity == pytest.approx(validation(loaded).perplexity, rel=1e-9)
    assert [at.length for at in lengths] == [128, 256, 512, 1024]
    assert first.last_perplexity == first.perplexity
    # Positions up to the training length are those of the validation sequences, weighted by how many they are.
    rows = [part for part in positions if part.last < 128]
    assert rows[-1].last == 127 and positions[-1].last == 1023
    mean = sum(part.loss * (part.last - part.first + 1) for part in rows) / 128
    assert mean == pytest.approx(first.loss, rel=1e-9)
    assert "1024 (8 ×)" in lengths_table(lengths).text() and "512–1023" in positions_table(positions).text()


def test_a_text_too_short_for_a_length_leaves_it_out(loaded):
    short = replace(loaded, config=replace(loaded.config, data=replace(loaded.config.data, validation_tokens=600)))
    assert [at.multiple for at in measure(short)[0]] == [1, 2, 4]


def test_position_bins():
    assert position_bins(100) == [(0, 15), (16, 31), (32, 63), (64, 99)]
    assert position_bins(8) == [(0, 7)]


def test_token_losses_equal_a_plain_sum(loaded):
    blocks = held_out_blocks(loaded)[:3]
    tokens = torch.from_numpy(blocks.astype(np.int64))
    likelihood = loaded.model(tokens[:, :-1]).log_softmax(-1)
    plain = -likelihood.gather(2, tokens[:, 1:, None]).squeeze(2)
    assert np.allclose(token_losses(loaded.model, blocks), plain.detach().numpy(), atol=1e-5)


def test_a_reset_run_is_judged_with_resets(loaded):
    blocks = held_out_blocks(loaded)
    eos = loaded.tokenizer.eos_id
    plain, reset = token_losses(loaded.model, blocks), token_losses(loaded.model, blocks, reset_after=eos)
    first = int(np.flatnonzero(blocks[0] == eos)[0])
    assert np.allclose(plain[0, : first + 1], reset[0, : first + 1], atol=1e-6)
    assert not np.allclose(plain[0, first + 1 : first + 3], reset[0, first + 1 : first + 3], atol=1e-6)


# -- decays -------------------------------------------------------------------------------------------------------


def test_decays_that_are_set(loaded):
    run = untrained(loaded, decay="constant")
    (first, _) = decay_distribution(run)
    assert all(first[key] == pytest.approx(0.8, rel=1e-6) for key in ("q05", "q25", "median", "q75", "q95", "mean"))
    assert first["half_life"] == pytest.approx(math.log(0.5) / math.log(0.8), rel=1e-5)
    assert first["near_zero"] == first["near_one"] == 0 and [h["head"] for h in first["heads"]] == [0, 1]
    (first, _) = decay_distribution(untrained(loaded, decay="none"))
    assert first["median"] == 1 and first["half_life"] is None and first["near_one"] == 1


def test_heads_and_layers_against_the_models_own_decays(loaded, tmp_path):
    run = untrained(loaded, granularity="scalar")
    text = tmp_path / "text.txt"
    text.write_text("Return the number of items in the list. " * 9)
    ids = torch.tensor([run.tokenizer.encode(text.read_text())])
    log_decays = run.model.log_decays(ids[:, :128])
    found = decay_distribution(run, text)
    for layer, values in enumerate(log_decays):
        decays = values[0].double().exp().detach().numpy()
        assert found[layer]["median"] == pytest.approx(np.median(decays), rel=1e-5)
        for head in range(2):
            assert found[layer]["heads"][head]["q75"] == pytest.approx(np.quantile(decays[:, head], 0.75), rel=1e-4)


def test_quantiles_tell_long_half_lives_apart():
    log_decays = torch.full((1000,), -1e-9)
    assert row(log_decays)["half_life"] == pytest.approx(math.log(2) * 1e9, rel=1e-3)
    mixed = row(torch.cat((torch.full((30,), math.log(0.005)), torch.full((70,), math.log(0.9995)))))
    assert mixed["near_zero"] == pytest.approx(0.3) and mixed["near_one"] == pytest.approx(0.7)


def test_decays_on_the_command_line(run, tmp_path, capsys):
    figure = tmp_path / "medians.svg"
    assert main(["decays", str(run), "--heads", "--figure", str(figure)]) == 0
    printed = capsys.readouterr().out
    assert "half-life" in printed and "head 1" in printed and figure.read_text().count("<svg") == 1
    assert main(["decays", str(run), "--json"]) == 0
    (layers,) = json.loads(capsys.readouterr().out).values()
    trained = json.loads((run / "result.json").read_text())["decay"]
    # Training recorded the first held-out tokens; here they are from all over the text.
    assert [x["median"] for x in layers] == pytest.approx([x["median"] for x in trained], abs=0.02)
    assert [row[0] for row in decays_table(layers, heads=True).rows][:2] == ["0", "  head 0"]
    assert main(["decays", str(run), "--text", str(tmp_path / "none.txt")]) == 2
    assert main(["decays", str(run), "--figure", str(tmp_path / "medians.xyz")]) == 2
    assert "ends in .svg" in capsys.readouterr().err


def test_softmax_has_no_decay(loaded):
    run = untrained(loaded, mixer="softmax")
    with pytest.raises(UserError, match="no decay"):
        decay_distribution(run)
    with pytest.raises(UserError, match="no decay to change"):
        ablate(run, clamp=(0.8, 0.8))


# -- counterfactual decays ----------------------------------------------------------------------------------------


def loss_of(run: LoadedRun) -> float:
    return float(token_losses(run.model, held_out_blocks(run)).mean())


def change_of(run: LoadedRun, **change) -> dict:
    (only,) = ablate(run, **change)["changes"]
    return only


def test_a_clamped_decay_is_the_constant_one(loaded):
    half = untrained(loaded, decay="constant")
    half.model.load_state_dict(DecayTransformer(half.config.model, seed=5).state_dict())
    other = replace(half.config.model, decay_options={"c": 0.95})
    model = DecayTransformer(other, seed=5)
    expected = loss_of(replace(half, model=model, config=replace(half.config, model=other)))
    got = change_of(half, clamp=(0.95, 0.95))
    assert got["loss"] == pytest.approx(expected, rel=1e-6) and got["name"] == "λ = 0.95"
    assert got["difference"]["value"] == pytest.approx(expected - loss_of(half), abs=1e-6)
    assert loss_of(half) == ablate(half, clamp=(0.5, 0.5))["loss"], "the model is as it was"


def test_changes_that_change_nothing(loaded):
    assert change_of(loaded, clamp=(0.0, 1.0))["difference"]["value"] == 0
    assert change_of(untrained(loaded, decay="simple", granularity="scalar", heads=1), average_heads=True)[
        "difference"
    ]["value"] == pytest.approx(0, abs=1e-6)
    fixed = untrained(loaded, decay="tnl", granularity="scalar")
    assert change_of(fixed, freeze_to_median=True)["difference"]["value"] == pytest.approx(0, abs=1e-6)
    assert change_of(fixed, average_heads=True)["difference"]["value"] != 0


@pytest.mark.parametrize(("position", "granularity"), [("rope", "scalar"), ("lrpe", "vector")])
def test_without_rotation_is_without_position(loaded, position, granularity):
    turned = untrained(loaded, position=position, granularity=granularity)
    plain = untrained(loaded, position="none", granularity=granularity)
    plain.model.load_state_dict(turned.model.state_dict())
    got = change_of(turned, drop_rope=True)
    assert got["loss"] == pytest.approx(loss_of(plain), rel=1e-6)
    assert got["difference"]["value"] != 0


def test_softmax_without_rotation_sees_a_bag_of_tokens(loaded):
    run = untrained(loaded, mixer="softmax", position="rope")
    assert change_of(run, drop_rope=True)["difference"]["value"] != 0


def test_intervals_are_paired(loaded):
    got = change_of(loaded, clamp=(0.5, 0.5))["difference"]
    assert got["low"] < got["value"] < got["high"]
    per_sequence = token_losses(loaded.model, held_out_blocks(loaded)).mean(axis=1)
    assert got["error"] < per_sequence.std(ddof=1) / math.sqrt(len(per_sequence))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ([], "name a change"),
        (["--clamp-decay", "1.5"], "--clamp-decay is 1.5"),
        (["--clamp-decay", "low"], "give one λ such as 0.8"),
        (["--drop-rope"], "rotates nothing"),
    ],
)
def test_mistakes_get_one_sentence(settings, says, run, capsys):
    assert main(["ablate", str(run), *settings]) == 2
    assert says in capsys.readouterr().err.strip().splitlines()[-1]


def test_ablate_on_the_command_line(run, capsys):
    assert main(["ablate", str(run), "--clamp-decay", "0.5,0.9", "--freeze-decay-to-median", "--average-heads"]) == 0
    printed = capsys.readouterr().out
    assert "λ from 0.5 to 0.9" in printed and "frozen to its median" in printed and "averaged over heads" in printed
    assert main(["ablate", str(run), "--clamp-decay", "0.8", "--json"]) == 0
    (values,) = json.loads(capsys.readouterr().out).values()
    assert values["changes"][0]["perplexity"] == pytest.approx(math.exp(values["changes"][0]["loss"]))
