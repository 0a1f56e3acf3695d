"""What can change a run's numbers beside its settings: the package's versions, code of the user's own, and the data.

A finished run has it in result.json, and one that has begun in origin.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from decaystudy import versions
from decaystudy.errors import UserError
from decaystudy.io import read_mapping, write_json
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.state import FINAL
from decaystudy.serial import REST, Mismatch, from_plain, to_plain

PINS = {"revision": "text", "tokenizer_digest": "tokenizer"}
"""What a run records of its data that must not change, and what each is of."""


@dataclass(frozen=True)
class Origin:
    """Where a run's numbers come from."""

    version: dict[str, int] = field(default_factory=dict)
    """``decaystudy.versions.semantics()``; empty for a run from before it was recorded."""
    code: dict[str, str] = field(default_factory=dict)
    """Hashes of the code of the user's own, by ``decay`` and ``source``."""
    data: dict[str, Any] = field(default_factory=dict)
    """``revision`` of the text, ``tokenizer_digest``, and what else is known."""
    identity: str = ""
    """``run_identity`` of the run, which its result must have too; empty where it isn't recorded."""
    settings: str = ""
    """``settings_digest`` of the config.yaml that the identity is of; empty where it isn't recorded."""
    more: dict[str, Any] = field(default_factory=dict, metadata=REST)
    """Facts that a newer version recorded."""

    @classmethod
    def here(cls, config: RunConfig, data: Mapping[str, Any]) -> Origin:
        """Of a run that would be trained now on this data."""
        return cls(versions.semantics(), config.code(), dict(data))


def origin_to_train(config: RunConfig) -> Origin:
    """Of a run that is about to be trained; its tokenizer is made if need be.

    Raises:
        UserError: the data cannot be opened.
    """
    from decaystudy.data.pins import data_pins  # which needs numpy

    return Origin.here(config, data_pins(config.data))


def origin_known(config: RunConfig) -> Origin:
    """Of a run that would be trained now, as far as it can be told by looking."""
    from decaystudy.data.pins import known_pins

    return Origin.here(config, known_pins(config.data))


def read_origin(folder: RunFolder) -> Origin | None:
    """That of the run in a folder; None where nothing is recorded.

    Raises:
        UserError: a file is not what it should be.
    """
    result = folder.read_result()
    if result is None or result.status not in FINAL:
        return begun_origin(folder)
    begun = (read_mapping(folder.origin) or {}).get("identity")
    if begun and result.identity and begun != result.identity:
        raise UserError(
            f"{folder.result} is the result of another run ({result.identity}) than the one that was begun in "
            f"{folder.path} ({begun}): remove it, and train the run again"
        )
    return Origin(result.version, result.code, result.data, result.identity or "")


def begun_origin(folder: RunFolder) -> Origin | None:
    """What origin.json says; None where there is none.

    Raises:
        UserError: it is something else.
    """
    plain = read_mapping(folder.origin)
    try:
        return None if plain is None else from_plain(Origin, plain)
    except Mismatch as error:
        raise UserError(
            f"{folder.origin} is no run's origin ({error}): restore it from a copy, or name another folder"
        ) from error


def write_origin(folder: RunFolder, origin: Origin) -> None:
    """Record where the numbers of a run that begins come from."""
    write_json(folder.origin, to_plain(origin))


def why_changed(held: Origin | None, here: Origin, config: RunConfig) -> str | None:
    """Why a run with these settings would not come out the same today, as a clause; None where nothing speaks for it.

    Args:
        held: of the run as it was trained.
        here: of the run as it would be trained now; data that it doesn't name counts as unchanged.
    """
    if held is None or not held.version:
        return "it doesn't record which version of the package trained it"
    for name, number in here.version.items():
        if held.version.get(name) != number:
            return f"version {held.version.get(name, 0)} of the {name} trained it and this is version {number}"
    for name, user_class in (("decay", config.model.decay), ("source", config.data.source)):
        if held.code.get(name) != here.code.get(name):
            return f"the code of {user_class} has changed since it was trained"
    for name, what in PINS.items():
        if name in here.data and held.data.get(name) is None:
            return f"it doesn't record the {what} that it was trained on"
        if name in here.data and held.data[name] != here.data[name]:
            return f"the {what} has changed since it was trained"
    return None
