"""What a shared file must not say: where files are on this machine, who called, and what hosts are named."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HOST, USER = "HOST", "USER"
"""Stand in a message for names that were in it."""
_END = r"\s'\"`,;:()\[\]{}<>|"
_ABSOLUTE = re.compile(rf"(?<![\w/.:~\\-])(?:~[\w.-]*)?(?:/[^/{_END}]+)+/?|\b[A-Za-z]:[\\/][^{_END}]*|\\\\[^{_END}]+")
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_WHOLE = re.compile(r"(?:~[\w.-]*/|/|\.\.?/|[A-Za-z]:[\\/]|\\\\)")
_MESSAGES = ("message",)
"""Fields of free text, in which hosts and users may be named."""
_FILES = ("files",)
"""Fields that name files, relative ones too."""
_PARENTS = ("taken_from", "rates_from")
"""Fields whose file is called like others, so that its folder tells which it is."""


class Scrubber:
    """Takes paths, hosts and users out of plain data: a path becomes the name of its file.

    Args:
        folders: whose paths are known, and may hold spaces; the home folder is one of them.
        hosts: that the runs name, beside this one.
    """

    def __init__(self, folders: Iterable[Path] = (), hosts: Iterable[str] = ()) -> None:
        known = {str(kind(path)) for path in (*_home(), *folders) for kind in (Path.absolute, Path.resolve)}
        either = "|".join(re.escape(folder) for folder in sorted(known - {"/"}, key=len, reverse=True))
        self._folders = re.compile(rf"(?:{either})(?![\w.-])" if either else r"(?!)")
        names = [name for host in (socket.gethostname(), *hosts) if host for name in (host, host.partition(".")[0])]
        self._names = [(re.compile(rf"\b{re.escape(name)}\b"), HOST) for name in sorted(set(names), key=len)[::-1]]
        self._names += [(re.compile(rf"\b{re.escape(user)}\b"), USER) for user in _users()]

    def plain(self, value: Any, field: str = "") -> Any:
        """Plain data without them.

        Args:
            field: the name under which it stands.
        """
        if isinstance(value, Mapping):
            return {key: self.plain(item, key) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.plain(item, field) for item in value]
        if not isinstance(value, str):
            return value
        if field in _FILES:
            return ",".join(file_name(piece) for piece in value.split(","))
        if field in _PARENTS:
            return "/".join(re.split(r"[\\/]", value)[-2:])
        return self._message(value) if field in _MESSAGES else self._text(value)

    def kept(self, text: str) -> str:
        """A message with its paths, but that the home folder is ``~``; without hosts and users."""
        return self._unnamed(self._folders.sub("~", text))

    def _text(self, text: str) -> str:
        if _WHOLE.match(text) and not re.search(r"[:;] ", text):
            return file_name(text)
        return _ABSOLUTE.sub(lambda found: file_name(found[0]), self._folders.sub("~", text))

    def _message(self, text: str) -> str:
        return self._unnamed(self._text(text))

    def _unnamed(self, text: str) -> str:
        for name, instead in self._names:
            text = name.sub(instead, text)
        return _ADDRESS.sub(HOST, text)


def file_name(path: str) -> str:
    """The last part of a path, of any system."""
    return re.split(r"[\\/]", path.strip().rstrip("\\/"))[-1]


def _home() -> list[Path]:
    try:
        return [Path.home()]
    except RuntimeError:  # one without a home
        return []


def _users() -> list[str]:
    try:
        return [getpass.getuser()]
    except (OSError, KeyError):  # one without a name
        return []
