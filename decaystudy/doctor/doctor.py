"""``decaystudy doctor``: prints what a bug report needs, and fails at nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from decaystudy.doctor.cache import cache_facts
from decaystudy.doctor.gpu import gpu_facts, kernel_facts
from decaystudy.doctor.network import hub_facts
from decaystudy.doctor.software import environment_facts, machine_facts, package_facts
from decaystudy.formatting import shortened
from decaystudy.study.sharing.private import Scrubber

Facts = Iterator[tuple[str, str]]
LONGEST = 200


@dataclass(frozen=True)
class Section:
    """Some facts under a heading."""

    heading: str
    facts: Callable[[], Facts]


SECTIONS = (
    Section("package and machine", machine_facts),
    Section("packages", package_facts),
    Section("settings of the environment", environment_facts),
    Section("cache", cache_facts),
    Section("hub", hub_facts),
    Section("GPU", gpu_facts),
    Section("kernels (backend auto)", kernel_facts),
)


def doctor() -> int:
    """Print every fact as soon as it is known; returns 0."""
    scrub = Scrubber()
    for section in SECTIONS:
        print(f"{section.heading}:", flush=True)
        for name, value in told(section):
            print(f"  {name:<24}{shortened(scrub.kept(value), LONGEST)}", flush=True)
    return 0


def told(section: Section) -> Facts:
    """The facts of a section, and why there are no more if one can't be found out."""
    try:
        yield from section.facts()
    except Exception as error:  # a broken installation may fail in any way, and that is what is asked
        lines = str(error).strip().splitlines()
        yield "not known", f"{type(error).__name__}: {lines[0] if lines else 'without a message'}"
