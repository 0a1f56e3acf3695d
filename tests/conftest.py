"""What all tests have in common: a cache of their own that outlives the session, and few threads."""

import os
import signal
import tempfile
from pathlib import Path

import pytest

# A shell that starts the tests in the background, or nohup, has these ignored, and child processes inherit that.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)

# A real cache, kept between sessions of one user so that the embedded corpus is parsed once; not the user's own.
_CACHE = Path(os.environ.get("DECAYSTUDY_TEST_CACHE", Path(tempfile.gettempdir()) / f"decaystudy-tests-{os.getuid()}"))
os.environ["DECAYSTUDY_CACHE"] = str(_CACHE)


@pytest.fixture(scope="session", autouse=True)
def two_threads() -> None:
    """As many threads as the smallest machine has, so that a test's time and sums don't depend on the machine."""
    import torch

    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
