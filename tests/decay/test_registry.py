"""Finding decays by name and import path, and refusing what they don't take."""

import subprocess
import sys
import textwrap

import pytest

from decaystudy.decay import DECAYS, decay_class, make_decay
from decaystudy.errors import UserError
from decaystudy.model.config import ModelConfig, refuse_idle_options


def test_names_and_summaries():
    for name, decay in DECAYS.items():
        assert decay.name == name and decay.summary and decay.__doc__


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("mamba3", {}, "did you mean 'mamba2'"),
        ("simple", {"q": 0.9}, "no option 'q'"),
        ("simple", {"stat": 0.9}, "did you mean 'start'"),
        ("simple", {"p": 1.0}, "between 0 and 1"),
        ("simple", {"p": "x"}, "between 0 and 1"),
        ("constant", {"c": 0}, "above 0"),
        ("lightnet", {"start": 0.9}, "it takes none"),
        ("tnl", {"start": 0.9}, "it takes none"),
        ("gla", {"temperature": "insde"}, "did you mean 'inside'"),
        ("no.such.module.Decay", {}, "cannot import"),
        ("decaystudy.errors.UserError", {}, "not a decay"),
    ],
)
def test_refusals(name, options, says):
    with pytest.raises(UserError) as error:
        make_decay(name, options)
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("names", ["logit, parameters, context", "logit, extras, site"])
def test_a_decay_of_ones_own(names, tmp_path, monkeypatch):
    """The arguments are positional, whatever a decay calls them."""
    module = f"mydecays_{'old' if 'site' in names else 'new'}"
    (tmp_path / f"{module}.py").write_text(
        textwrap.dedent(
            f"""
            from dataclasses import dataclass
            import torch
            from decaystudy.decay import Decay

            @dataclass(frozen=True)
            class Halved(Decay):
                factor: float = 0.5
                name = "halved"
                summary = "logsigmoid(f) times a factor"

                def log_decay(self, {names}):
                    return torch.nn.functional.logsigmoid(logit) * self.factor
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert decay_class(f"{module}.Halved").name == "halved"
    import torch

    from decaystudy.model import DecayTransformer, ModelConfig

    config = ModelConfig.preset("tiny", decay=f"{module}.Halved", decay_options={"factor": 0.25}, layers=2)
    decays = DecayTransformer(config).log_decays(torch.arange(6)[None])
    assert len(decays) == 2 and float(decays[0].exp().median()) == pytest.approx(0.5**0.25, abs=0.01)


def test_the_design_space_needs_no_torch():
    code = "import sys, decaystudy.decay, decaystudy.model.count, decaystudy.scales; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_idle_options_are_refused_where_a_model_is_to_be_trained():
    both = ModelConfig(decay="simple", decay_options={"p": 0.8, "start": 0.9})
    with pytest.raises(UserError, match=r"has options p: 0.8 and start: 0.9, and each says where λ starts"):
        refuse_idle_options(both)
    for options in ({"p": 0.8}, {"start": 0.9}, {}):
        refuse_idle_options(ModelConfig(decay="simple", decay_options=options))
    refuse_idle_options(ModelConfig(mixer="softmax"))
