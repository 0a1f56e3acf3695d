"""Whether the Hugging Face hub answers; never an error, and never longer than a few seconds."""

from __future__ import annotations

import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

DEFAULT = "https://huggingface.co"
SECONDS = 3.0
ON = ("1", "true", "yes", "on")


def hub_facts() -> Iterator[tuple[str, str]]:
    """The hub's address, whether it answers, and whether a token is at hand, which is not shown."""
    address = os.environ.get("HF_ENDPOINT") or DEFAULT
    yield "address", DEFAULT if address == DEFAULT else "another than the usual one (HF_ENDPOINT)"
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ON:
        yield "reachable", "not asked: HF_HUB_OFFLINE is set"
    else:
        yield "reachable", reached(address)
    yield "HF_TOKEN", "set" if os.environ.get("HF_TOKEN") else "not set"


def reached(address: str, seconds: float = SECONDS) -> str:
    """Whether a server answers, in words; the names of servers are looked up in a thread, as nothing else bounds it."""
    found = [f"no answer within {seconds:g} s"]
    thread = threading.Thread(target=lambda: found.append(_asked(address, seconds)), daemon=True)
    thread.start()
    thread.join(seconds + 0.5)
    return found[-1]


def _asked(address: str, seconds: float) -> str:
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        return "no: its address begins with neither http:// nor https://"
    began = time.monotonic()
    try:
        request = urllib.request.Request(address, method="HEAD", headers={"User-Agent": "decaystudy"})
        with urllib.request.urlopen(request, timeout=seconds):
            pass
    except urllib.error.HTTPError as error:  # it answers, if only that it won't
        return f"yes, in {1000 * (time.monotonic() - began):.0f} ms (status {error.code})"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return f"no: {getattr(reason, 'strerror', None) or reason}"
    return f"yes, in {1000 * (time.monotonic() - began):.0f} ms"
