"""Patience with a bad network: try again with growing pauses, then say what to do."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from decaystudy.errors import UserError
from decaystudy.formatting import shortened

log = logging.getLogger("decaystudy")
T = TypeVar("T")

PAUSES = (1.0, 4.0, 15.0, 60.0)
"""Seconds between tries; the hub's own client tries each request several times within one of ours."""

NO_CONNECTION_PAUSES = (1.0, 2.0)
"""The same where a first contact finds no connection at all: whoever has no network should hear of it soon."""
NO_CONNECTION = {
    "ConnectError",
    "ConnectTimeout",
    "NewConnectionError",
    "NameResolutionError",
    "ProxyError",
    "gaierror",
}

WRONG_ADDRESS = {"UnsupportedProtocol", "InvalidURL", "MissingSchema", "InvalidSchema"}

TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
CLOSED = "client has been closed"
"""What a request says whose client another thread of the hub's library has closed, after an error of its own."""
TRANSPORT = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "aiohttp", "fsspec"}


def with_retries(what: str, action: Callable[[], T], *, first_contact: bool = False) -> T:
    """Call ``action`` until it succeeds; after the last failure raise a UserError. Errors not of the network pass.

    Args:
        what: completes "could not …".
        first_contact: nothing was read of the hub yet, so that a missing network is likely to stay missing.
    """
    for client in ("httpx", "httpx2"):  # which tell every request
        logging.getLogger(client).setLevel(max(logging.WARNING, logging.getLogger(client).level))
    tries = 0
    while True:
        tries += 1
        try:
            return action()
        except Exception as error:
            if (wrong := wrong_address(error)) is not None:
                raise UserError(
                    f"could not {what} ({brief(wrong)}): mend the address in HF_ENDPOINT, or in a proxy's variable "
                    "such as HTTPS_PROXY, or unset it"
                ) from error
            if not transient(error):
                raise
            reason = brief(error)
            pauses = NO_CONNECTION_PAUSES if first_contact and unconnected(error) else PAUSES
            if tries > len(pauses):
                raise UserError(
                    f"could not {what} in {tries} tries ({reason}): run the same command again when the "
                    "network is back (all that is done is kept)"
                ) from error
            pause = pauses[tries - 1]
        log.warning("could not %s (%s): trying again in %g s", what, reason, pause)
        time.sleep(pause)


def transient(error: BaseException) -> bool:
    """Whether trying again may help: no connection, a connection cut, or a server too busy."""
    status = status_code(error)
    if status is not None:
        return status in TRANSIENT_STATUS
    for link in chain(error):
        kind = type(link)
        if kind.__name__ in ("OfflineModeIsEnabled", "UserError"):
            return False
        if isinstance(link, ConnectionError | TimeoutError) or kind.__module__.partition(".")[0] in TRANSPORT:
            return True
        if isinstance(link, RuntimeError) and CLOSED in str(link):
            return True
    return False


def wrong_address(error: BaseException) -> BaseException | None:
    """The link of an error that says that an address is none, as no try will change; None if there is none."""
    return next((link for link in chain(error) if type(link).__name__ in WRONG_ADDRESS), None)


def unconnected(error: BaseException) -> bool:
    """Whether there was no connection at all: no name, no route, nobody who listens."""
    return any(
        isinstance(link, ConnectionRefusedError) or type(link).__name__ in NO_CONNECTION for link in chain(error)
    )


def status_code(error: BaseException) -> int | None:
    """The HTTP status behind an error, or None."""
    for link in chain(error):
        status = getattr(getattr(link, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def offline(error: BaseException) -> bool:
    """Whether the error says that the user has forbidden the network."""
    return any(type(link).__name__ == "OfflineModeIsEnabled" for link in chain(error))


def chain(error: BaseException) -> list[BaseException]:
    """The error and what caused it, outermost first."""
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return links


def brief(error: BaseException) -> str:
    """The error in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shortened((lines[0] if lines else type(error).__name__).rstrip(".:"), 200)
