"""What stands on a terminal: tables that fit it, lines that are redrawn in place, and the terminal left as it was."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.study.small import write_study
from tests.terminal import on_terminal
from tests.training.small import SETTINGS

BUNDLE = Path(__file__).parents[1] / "golden" / "judged.bundle"
LONG = [*SETTINGS, "--trainer.max_steps", "100000", "--out", "run"]
HIDES_CURSOR, OTHER_SCREEN = "\x1b[?25l", "\x1b[?1049h"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["list"],
        ["ablate", "--help"],
        ["run-study", "sharing", "--scale", "160m", "--dry-run", "--gpu", "a100-80gb"],
        ["rejudge", str(BUNDLE)],
        ["compare", str(BUNDLE), str(BUNDLE)],
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("columns", [80, 120])
def test_what_is_printed_fits(words, columns, tmp_path):
    ended = on_terminal(words, tmp_path, columns=columns)
    assert ended.code in (0, 2), ended.screen.text
    # What a shell reads, as commands and paths are, is left to the terminal.
    wide = [line for line in ended.screen.wrapped if not re.search(r"\bdecaystudy \w|/", line)]
    assert not wide and not ended.changed
    assert f"decaystudy {words[0]} …" not in ended.screen.text, "it stands there until there is something else"


TORCH_IS_TOLD = """
import os, sys
def told(event, arguments):
    if event == "import" and arguments[0] == "torch":
        sys.__stderr__.write("TORCH COMES")
        sys.__stderr__.flush()
        os._exit(0)
sys.addaudithook(told)
from decaystudy.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("verb", ["fit", "decays"])
def test_a_line_stands_there_before_torch_comes(verb, tmp_path):
    words = ["fit", *SETTINGS, "--out", "run"] if verb == "fit" else [verb, "absent"]
    ended = on_terminal(words, tmp_path, python=[sys.executable, "-c", TORCH_IS_TOLD])
    before, _, _ = ended.raw.partition("TORCH COMES")
    assert f"decaystudy {verb} …" in before
    if verb == "fit":
        assert "mamba2 at scale tiny, 144 k parameters, seed 0, in run" in before


@pytest.mark.slow
def test_a_run_is_redrawn_in_place_and_leaves_its_last_state(tmp_path):
    ended = on_terminal(["fit", *SETTINGS, "--out", "run"], tmp_path)
    text = ended.screen.text
    assert ended.code == 0 and not ended.changed and not ended.screen.wrapped, text
    assert HIDES_CURSOR not in ended.raw and OTHER_SCREEN not in ended.raw
    assert len(re.findall(r"^step \d+/12 ", text, re.M)) == 1, text
    measured = ("loss ", "learning rate ", "gradient norm ", "tokens/s", "6.14 k of 6.14 k tokens")
    for words in ("step 12/12", "100%", *measured):
        assert words in text, (words, text)
    assert "next checkpoint at step" in ended.raw and re.search(r"\d+ s left", ended.raw)
    assert text.count("validation loss") >= 4 and "results: run/result.json" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("then", "code", "says"),
    [
        (b"\x03", 130, "stopped by Ctrl-C: the same command resumes at step"),
        (signal.SIGTERM, 143, "stopped by SIGTERM: the same command resumes at step"),
        (signal.SIGKILL, -9, "training 100000 steps"),
    ],
)
def test_the_terminal_is_sane_after_a_run_that_ends_early(then, code, says, tmp_path):
    ended = on_terminal(["fit", *LONG], tmp_path, when=lambda said: "tokens/s" in said, then=then)
    assert ended.code == code and says in ended.screen.text, ended.screen.text
    assert not ended.changed and HIDES_CURSOR not in ended.raw and OTHER_SCREEN not in ended.raw
    frames = len(re.findall(r"^step \d+/100000 ", ended.screen.text, re.M))
    assert frames == 1 or (then == signal.SIGKILL and not frames), ended.screen.text


@pytest.mark.slow
def test_a_crash_leaves_the_last_state_and_its_reason(tmp_path):
    (tmp_path / "broken.py").write_text(
        "from dataclasses import dataclass\nimport torch\nfrom decaystudy.decay import Decay\n"
        "@dataclass(frozen=True)\nclass Broken(Decay):\n    name = 'broken'\n    summary = ''\n    calls = [0]\n"
        "    def log_decay(self, logit, parameters, context):\n        self.calls[0] += 1\n"
        "        if self.calls[0] > 300:\n            raise ArithmeticError('no more')\n"
        "        return torch.nn.functional.logsigmoid(logit)\n"
    )
    ended = on_terminal(["fit", *LONG, "--model.decay", "broken.Broken"], tmp_path)
    assert ended.code == 2 and "no more" in ended.screen.text.splitlines()[-2], ended.screen.text
    assert re.search(r"^step \d+/100000 ", ended.screen.text, re.M) and not ended.changed


@pytest.mark.slow
@pytest.mark.parametrize("columns", [0, 80], ids=["pipe", "dumb"])
def test_plain_lines_where_nothing_can_be_redrawn(columns, tmp_path):
    words = ["fit", *SETTINGS, "--out", "run"]
    if columns:
        raw = on_terminal(words, tmp_path, columns=columns, term="dumb").raw
    else:
        command = [sys.executable, "-m", "decaystudy", *words]
        raw = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True).stderr
    assert "\x1b" not in raw and re.search(r"^step 12/12  loss", raw, re.M), raw
    assert "…" not in raw


@pytest.mark.slow
def test_a_study_is_redrawn_in_place(tmp_path):
    write_study(tmp_path)
    ended = on_terminal(["run-study", "small.yaml", "--out", "out", "--report", "false"], tmp_path)
    text = ended.screen.text
    assert ended.code == 0 and not ended.changed and HIDES_CURSOR not in ended.raw, text
    assert len(re.findall(r"^\d of 3 runs ended", text, re.M)) == 1 and "3 of 3 runs ended" in text, text
    assert "✔ gla-seed0 finished in" in text and text.index("(3 of 3)") < text.index("3 of 3 runs ended")
    assert re.search(r"about \d+ (s|min .*) left", ended.raw) and "0 of 3 runs ended" in ended.raw
    assert "gla-worse" in text
