"""What the lines that are redrawn in place cost a run, and when the first line stands: python benchmarks/terminal.py

On a terminal of its own (pty). The cost is CPU time of the thread that trains: of a step at which nothing is drawn, and
of a drawing, of which there are four per second at most.
"""

import sys

# This folder's statistics.py would hide the standard library's.
sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import os
import pty
import signal
import statistics
import subprocess
import threading
import time
from pathlib import Path

from decaystudy.live import REFRESH_SECONDS, Display
from decaystudy.output import Output
from decaystudy.training.frame import RunTotals, frame

ROOT = Path(__file__).resolve().parent.parent
FACTS = {"step": 45, "max_steps": 90, "loss": 5.8, "val_loss": 6.0, "tokens_per_second": 12345.0, "seconds_left": 12.0}
FACTS |= {"train/learning_rate": 1e-3, "train/gradient_norm": 0.8}
VERBS = (["--help"], ["list"], ["run-study", "sharing", "--dry-run"], ["fit", "--print_config"], ["doctor"])
ROUNDS = 5


def cost() -> tuple[float, float]:
    """CPU seconds of a step without a drawing, and of a drawing."""
    master, slave = pty.openpty()

    def swallow() -> None:
        while os.read(master, 65536):
            pass

    threading.Thread(target=swallow, daemon=True).start()
    totals = RunTotals(tokens_per_step=2048, checkpoint_every=30, flops_per_token=1e7, peak_flops=1e14)
    display = Display(lambda width: frame(FACTS, totals, width), stream=Output(os.fdopen(slave, "w")))  # type: ignore
    display.refresh(now=True)
    began = time.thread_time()
    for _ in range(500):
        display.refresh(now=True)
    drawing = (time.thread_time() - began) / 500
    display.seconds = 1e9
    began = time.thread_time()
    for _ in range(100_000):
        display.refresh()
    return (time.thread_time() - began) / 100_000, drawing


def first_line(words: list[str]) -> float:
    """Seconds from the start of the process to the first it shows."""
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    began = time.perf_counter()
    command = [sys.executable, "-m", "decaystudy", *words]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.read(master, 1)
    seconds = time.perf_counter() - began
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.close(slave)
    os.close(master)
    return seconds


def main() -> None:
    quiet, drawing = cost()
    share = drawing / REFRESH_SECONDS
    print(f"a step without a drawing {quiet * 1e6:.2f} µs, a drawing {drawing * 1e3:.2f} ms: {share:.2%} of a core\n")
    for words in VERBS:
        found = [first_line(words) for _ in range(ROUNDS)]
        print(
            f"{statistics.median(found):6.2f} s ({min(found):.2f} to {max(found):.2f}) to the first line of {words[0]}"
        )


if __name__ == "__main__":
    main()
