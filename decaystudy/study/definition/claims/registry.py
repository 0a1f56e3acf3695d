"""The kinds of claims, and how those of a study file are read."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from decaystudy.checks import shown
from decaystudy.errors import UserError
from decaystudy.imports import import_object
from decaystudy.study.definition.claims.accuracy import Accuracy
from decaystudy.study.definition.claims.base import Claim
from decaystudy.study.definition.claims.bounds import BOUNDS, read_bounds, refuse_bounds
from decaystudy.study.definition.claims.decay import Decay
from decaystudy.study.definition.claims.difference import Difference
from decaystudy.study.definition.claims.mixed import Mixed
from decaystudy.study.definition.claims.optimum import Optimum
from decaystudy.study.definition.claims.ordering import Ordering
from decaystudy.study.definition.claims.winner import Winner
from decaystudy.yaml_document import YamlDocument

KINDS: dict[str, type[Claim]] = {
    kind.kind: kind for kind in (Ordering, Difference, Decay, Optimum, Accuracy, Winner, Mixed)
}
COMMON = ("id", "says", "axis", "statement", "every_scale", "holds_for")


def read_claims(
    document: YamlDocument, read_axis: Callable[..., tuple[str, ...]], scales: Sequence[str]
) -> tuple[Claim, ...]:
    """The claims of a study file.

    Args:
        scales: those of the study.

    Raises:
        UserError: a claim makes no sense; file, line and remedy.
    """
    values = document.values.get("claims")
    if values is None:
        return ()
    if not isinstance(values, list):
        raise document.error("claims must be a list: - {id: better, says: …, difference: [a, b], below: 0}", "claims")
    claims: list[Claim] = []
    for i, value in enumerate(values):
        claim = _read_claim(document, value, i, read_axis, scales)
        if claim.id in [other.id for other in claims]:
            raise document.error(f"two claims have the id {claim.id!r}: rename one", "claims", i)
        claims.append(claim)
    return tuple(claims)


def _read_claim(
    document: YamlDocument, value: Any, i: int, read_axis: Callable[..., tuple[str, ...]], scales: Sequence[str]
) -> Claim:
    where = ("claims", i)
    if not isinstance(value, dict):
        raise document.error("a claim is a mapping with id, says and one of " + ", ".join(KINDS), *where)
    for key in value:
        if key not in (*COMMON, *KINDS, *BOUNDS) and "." not in key:
            raise document.unknown_key(key, [*COMMON, *KINDS, *BOUNDS], *where, key)
    kinds = [key for key in value if key in KINDS or "." in key]
    if len(kinds) != 1:
        raise document.error("a claim has exactly one of " + ", ".join(KINDS), *where)
    for key in ("id", "says"):
        if not isinstance(value.get(key), str) or not value[key].strip():
            raise document.error(f"a claim needs {key}: add {key}: followed by text", *where)
    kind = _find_kind(document, kinds[0], *where)
    claim = kind(
        id=value["id"],
        says=" ".join(value["says"].split()),
        line=document.line(*where),
        axis=read_axis(value["axis"], *where, "axis") if "axis" in value else None,
        statements=_read_statements(document, value.get("statement"), *where, "statement"),
        scales=_read_scales(document, value.get("every_scale"), scales, *where, "every_scale"),
        any_part=_read_quantifier(document, value.get("holds_for", "all"), *where, "holds_for"),
        **kind.read(document, value[kinds[0]], *where, kinds[0]),
    )
    if claim.unit is None:
        refuse_bounds(document, value, *where)
        return claim
    return dataclasses.replace(claim, bounds=read_bounds(document, value, claim.unit, *where))


def _find_kind(document: YamlDocument, name: str, *where: str | int) -> type[Claim]:
    if name in KINDS:
        return KINDS[name]
    try:
        found = import_object(name, "kind of claim")
    except UserError as error:
        raise document.error(str(error), *where, name) from error
    if not (isinstance(found, type) and issubclass(found, Claim)) or inspect.isabstract(found):
        raise document.error(f"{name} is no kind of claim: derive a class from decaystudy's Claim", *where, name)
    return found


def _read_statements(document: YamlDocument, value: Any, *where: str | int) -> tuple[str, ...]:
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) and one for one in ids):
        raise document.error(f"statement is {shown(value)}: give the id of a statement, or several in a list", *where)
    return tuple(ids)


def _read_scales(document: YamlDocument, value: Any, scales: Sequence[str], *where: str | int) -> tuple[str, ...]:
    if value is None or value is False:
        return ()
    if value is True:
        return tuple(scales)
    chosen = value if isinstance(value, list) else [value]
    for scale in chosen:
        if scale not in scales:
            raise document.unknown_key(scale, list(scales), *where, what="scale of the study")
    return tuple(chosen)


def _read_quantifier(document: YamlDocument, value: Any, *where: str | int) -> bool:
    if value not in ("all", "any"):
        raise document.error(f"holds_for is {shown(value)}: all (of its pairs) or any", *where)
    return bool(value == "any")
