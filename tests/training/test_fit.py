"""Runs from the command line, in this process: what they write, how they resume, how they end."""

import contextlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import decaystudy
from decaystudy.cli import main
from decaystudy.model import DecayTransformer, ModelConfig
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.records import claim
from decaystudy.training.strategy import checkpoint_activations

# Real runs at scale tiny on the real corpus, only short.
SHORT = ["--trainer.max_steps", "6", "--recipe.checkpoint_every", "2", "--data.validation_tokens", "2000"]
SHORT += ["--trainer.log_every_n_steps", "2"]


def fit(*arguments):
    return main(["fit", *SHORT, *map(str, arguments)])


def result(path):
    return json.loads((path / "result.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("fit") / "run"
    assert fit("--out", out) == 0
    return out


def test_what_a_run_writes(finished):
    got = result(finished)
    assert got["status"] == "finished" and got["step"] == 6 and got["tokens"] == 6 * 8 * 256 and got["seed"] == 0
    assert got["val_perplexity"] == pytest.approx(math.exp(got["val_loss"]))
    assert got["train_loss"] < 7.7 and got["tokens_per_second"] > 0 and got["unigram_entropy"] > 5
    assert 0 < got["process_seconds"] < 24 * 3600 and got["backend"] == "chunked"
    assert [row["layer"] for row in got["decay"]] == [0, 1, 2]
    assert all(0 < row["q25"] <= row["median"] <= row["q75"] <= 1 for row in got["decay"])
    assert {"torch", "lightning", "python", "decaystudy"} <= set(got["versions"])
    assert ("git_revision" in got) == (Path(decaystudy.__file__).parents[1] / ".git").exists()
    starts = [row["median"] for row in got["decay_start"]]
    assert (
        len(starts) == 3 and starts == pytest.approx([row["median"] for row in got["decay"]], abs=0.05) != got["decay"]
    )
    with np.load(finished / "validation_documents.npz") as documents:
        nll, tokens, sizes = documents["nll"], documents["tokens"], documents["bytes"]
    assert nll.sum() / tokens.sum() == pytest.approx(result(finished)["val_loss"], rel=1e-9)
    assert result(finished)["val_bits_per_byte"] == pytest.approx(nll.sum() / np.log(2) / sizes.sum(), rel=1e-12)
    assert len(nll) == len(tokens) == len(sizes) <= result(finished)["data"]["validation_documents"]
    losses = np.load(finished / "validation_loss.npy")
    assert losses.dtype == np.float64 and losses.mean() == pytest.approx(got["val_loss"], abs=1e-12)
    assert RunFolder(finished).state() == "finished"
    assert [p.name for p in (finished / "checkpoints").iterdir()] == ["step=6.ckpt"]
    model = DecayTransformer(ModelConfig.preset("tiny"))
    assert got["parameters"] == sum(p.numel() for p in model.parameters())
    model.load_state_dict(load_file(finished / "model.safetensors"))


def test_the_curves(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {
        "train/loss",
        "train/perplexity",
        "train/learning_rate",
        "train/tokens_per_second",
        "train/gradient_norm",
        "validation/loss",
        "validation/perplexity",
        "validation/bits_per_byte",
        "validation/decay_median",
        "validation_decay_median/layer_00",
        "validation_decay_half_life/layer_02",
    } <= tags
    assert [e.step for e in events.Scalars("train/loss")] == [2, 4, 6]
    rates = [e.value for e in events.Scalars("train/learning_rate")]
    assert rates == pytest.approx([1e-3, 1e-3 * 2 / 3, 0])  # to zero over the last half
    assert events.Scalars("validation/loss")[-1].value == pytest.approx(result(finished)["val_loss"], rel=1e-6)


def test_called_again_it_trains_nothing(finished, capsys):
    before = (finished / "result.json").stat().st_mtime_ns
    assert fit("--out", finished) == 0
    assert "is already finished" in capsys.readouterr().out
    assert (finished / "result.json").stat().st_mtime_ns == before


def test_a_home_folder_is_one_place(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main(["fit", *SHORT, "--trainer.max_steps", "1", "--out=~/run"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    names = {path.name.partition(".out.")[0] for path in (tmp_path / "home" / "run").iterdir()}
    assert {"result.json", "config.yaml", "model.safetensors", "events"} <= names


def test_other_settings_are_refused(finished, capsys):
    assert fit("--out", finished, "--model.decay", "gla") == 2
    said = capsys.readouterr().err
    assert "model.decay is 'mamba2' there and 'gla' here" in said and said.count("\n") == 1


def test_a_fit_that_comes_second_takes_nothing_from_the_first(tmp_path, monkeypatch, capsys):
    """Both see an empty folder, and only one gets its lock."""
    out, plain = tmp_path / "run", RunFolder.locked

    @contextlib.contextmanager
    def late(folder):
        monkeypatch.setattr(RunFolder, "locked", plain)
        first = RunFolder(out)
        with first.locked():
            claim(first, RunConfig.build("tiny", trainer={"max_steps": 6}, data={"validation_tokens": 2000}))
            (out / "events.out.tfevents.1").write_bytes(b"curves")
            with folder.locked():
                yield

    monkeypatch.setattr(RunFolder, "locked", late)
    assert fit("--out", out) == 2
    assert "is being trained" in capsys.readouterr().err
    assert {"config.yaml", "origin.json", "events.out.tfevents.1"} < {path.name for path in out.iterdir()}


def test_its_configuration_trains_anew_to_the_same_numbers(finished, tmp_path):
    assert main(["fit", "--config", str(finished / "config.yaml"), "--out", str(tmp_path / "new")]) == 0
    new, old = result(tmp_path / "new"), result(finished)
    assert all(new[key] == old[key] for key in ("val_loss", "train_loss", "decay_start", "decay"))
    assert new["decay"] == old["decay"]
    one, two = load_file(finished / "model.safetensors"), load_file(tmp_path / "new" / "model.safetensors")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_going_on_from_a_checkpoint_gives_the_same_run(finished, tmp_path, monkeypatch):
    from decaystudy.training.callbacks.progress import Progress

    plain = Progress.on_train_batch_end

    def stop_after_four(self, trainer, *rest):
        plain(self, trainer, *rest)
        if trainer.global_step == 5:
            raise RuntimeError("the power is gone")

    monkeypatch.setattr(Progress, "on_train_batch_end", stop_after_four)
    with pytest.raises(RuntimeError, match="power"):
        fit("--out", tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert folder.state() == "failed" and "power" in folder.read_status()["message"]
    assert sorted(p.name for p in folder.checkpoints.iterdir()) == ["step=2.ckpt", "step=4.ckpt"]
    monkeypatch.undo()
    assert fit("--out", tmp_path / "run") == 0
    new, old = result(tmp_path / "run"), result(finished)
    assert all(new[key] == old[key] for key in ("val_loss", "train_loss", "decay_start", "decay"))
    one, two = load_file(finished / "model.safetensors"), load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_micro_batches_change_nothing_but_rounding(tmp_path):
    # A low rate: at the scale's own a few steps amplify rounding beyond what this could tell from a mistake.
    for size in (8, 2):
        words = ["--recipe.learning_rate", 1e-4, "--recipe.micro_batch_size", size]
        assert fit("--out", tmp_path / str(size), *words) == 0
    losses = [result(tmp_path / size)["val_loss"] for size in ("8", "2")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.mark.long
def test_in_float64_micro_batches_are_nothing_but_rounding(tmp_path):
    losses = []
    for micro in (8, 2, 1):
        out = tmp_path / str(micro)
        assert fit("--out", out, "--trainer.precision", "64-true", "--recipe.micro_batch_size", micro) == 0
        losses.append(result(out)["val_loss"])
    assert losses[1] == pytest.approx(losses[0], abs=1e-11) and losses[2] == pytest.approx(losses[0], abs=1e-11)


def test_activations_computed_again_are_the_same(finished, tmp_path):
    assert fit("--out", tmp_path / "run", "--recipe.activation_checkpointing", "true") == 0
    assert result(tmp_path / "run")["val_loss"] == pytest.approx(result(finished)["val_loss"], abs=1e-6)
    assert result(tmp_path / "run")["identity"] == result(finished)["identity"]


def test_it_saves_memory():
    def peak(checkpointed):
        """Values kept for the backward pass."""
        model, kept = DecayTransformer(ModelConfig.preset("tiny")), 0
        if checkpointed:
            checkpoint_activations(model)

        def pack(tensor):
            nonlocal kept
            kept += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = model(torch.randint(2000, (1, 64), generator=torch.Generator().manual_seed(0))).mean()
        loss.backward()
        return kept, [parameter.grad for parameter in model.parameters()]

    plain, saving = peak(False), peak(True)
    assert saving[0] < plain[0] / 2
    assert all(torch.equal(a, b) for a, b in zip(plain[1], saving[1], strict=True))


@pytest.mark.parametrize("precision", ["16", "16-mixed", "16-true"])
def test_float16_is_refused(precision, tmp_path, capsys):
    assert fit("--out", tmp_path / "run", "--trainer.precision", precision) == 2
    assert "use bf16-mixed" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_divergence_ends_the_run_as_diverged(tmp_path, capsys):
    assert fit("--out", tmp_path / "run", "--recipe.learning_rate", "1e3", "--recipe.warmup_steps", 0) == 3
    got = result(tmp_path / "run")
    assert got["status"] == "diverged" and 1 <= got["step"] <= 6 and "loss" in got["last_finite"]
    assert RunFolder(tmp_path / "run").state() == "diverged"
    assert "diverged" in capsys.readouterr().err


def test_documents_softmax_and_bfloat16(tmp_path):
    assert fit("--out", tmp_path / "a", "--data.reset_state_at_documents", "true", "--model.decay", "lightnet") == 0
    assert fit("--out", tmp_path / "b", "--model.mixer", "softmax") == 0
    assert result(tmp_path / "b")["decay"] == []
    assert fit("--out", tmp_path / "c", "--trainer.precision", "bf16-mixed") == 0
    assert fit("--out", tmp_path / "d", "--trainer.precision", "bf16-true", "--trainer.max_steps", 2) == 0
    for name in "abcd":
        assert result(tmp_path / name)["val_loss"] < 7.7
    weights = load_file(tmp_path / "d" / "model.safetensors")
    assert weights["layers.0.token_mixer.decay.extras.A_log"].dtype == torch.float32
    assert weights["layers.0.token_mixer.q.weight"].dtype == torch.bfloat16


def test_a_slow_first_step_on_a_gpu_is_explained(monkeypatch, tmp_path, capsys):
    import sys
    from types import ModuleType

    from decaystudy.training.callbacks import progress

    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.delitem(sys.modules, "fla", raising=False)
    assert fit("--out", tmp_path / "without") == 0
    assert "compiles its kernels" not in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "fla", ModuleType("fla"))
    assert fit("--out", tmp_path / "with") == 0
    assert "compiles its kernels for this GPU" in capsys.readouterr().err


def test_a_model_with_an_idle_option_is_not_trained_anew_and_a_run_of_one_goes_on(tmp_path, capsys, monkeypatch):
    both = ["--model.decay", "simple", "--model.decay_options.p", "0.8", "--model.decay_options.start", "0.9"]
    assert fit("--out", tmp_path / "run", *both) == 2
    assert "each says where λ starts: leave one of them out" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with monkeypatch.context() as before:  # when such a run could be begun
        before.setattr("decaystudy.training.fit.refuse_idle_options", lambda model: None)
        assert fit("--out", tmp_path / "run", *both, "--trainer.max_time", "00:00:00:01") in (0, 75)
    assert fit("--out", tmp_path / "run", *both) == 0
    assert main(["decays", str(tmp_path / "run")]) == 0
