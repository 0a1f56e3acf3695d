"""Which errors are tried again."""

import pytest

from decaystudy.data import network
from decaystudy.errors import UserError


class Answer(Exception):
    """An error with an HTTP status, as clients raise it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.response = type("Response", (), {"status_code": status})


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionResetError("cut"), True),
        (TimeoutError("slow"), True),
        (Answer(503), True),
        (Answer(404), False),
        (RuntimeError("Cannot send a request, as the client has been closed."), True),
        (RuntimeError("something else"), False),
        (ValueError("no such column"), False),
        (UserError("a mistake"), False),
    ],
)
def test_what_is_tried_again(error: Exception, again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "PAUSES", (0.0, 0.0))
    tries = []

    def action() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise error
        return "done"

    if again:
        assert network.with_retries("read it", action) == "done" and len(tries) == 3
    else:
        with pytest.raises(type(error)):
            network.with_retries("read it", action)
        assert len(tries) == 1


def test_the_last_failure_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "PAUSES", (0.0,))

    def action() -> None:
        raise ConnectionError("cut.\nmore")

    with pytest.raises(UserError, match=r"could not read it in 2 tries \(cut\): run the same command again"):
        network.with_retries("read it", action)


@pytest.mark.parametrize("kind", ["UnsupportedProtocol", "InvalidURL"])
def test_an_address_that_is_none_is_not_tried_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "PAUSES", ())
    wrong = type(kind, (Exception,), {"__module__": "httpx"})

    def action() -> None:
        raise wrong("Request URL is missing an 'http://' or 'https://' protocol.")

    with pytest.raises(UserError, match=r"could not read x .*: mend the address in HF_ENDPOINT, or in a proxy's"):
        network.with_retries("read x", action)
