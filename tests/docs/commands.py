"""The commands that the README and the documentation show."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "studies/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
PROGRAMS = (
    "decaystudy",
    "make",
    "python",
    "python3",
    "pip",
    "torchrun",
    "tensorboard",
    "lm_eval",
    "srun",
    "[",
    "pytest",
)
"""A block whose first word is another is no block of commands."""
_BLOCK = re.compile(r"(?:^ {4}.*\n(?:^\s*\n(?=^ {4}))*)+", re.M)
_FENCED = re.compile(r"^```.*?^```", re.M | re.S)
_INLINE = re.compile(r"`((?:decaystudy|make) [^`]+)`")
_VARIABLE = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Command:
    """A command as a page shows it."""

    page: str
    words: tuple[str, ...]
    inline: bool = False
    """In the middle of a sentence, where placeholders and dots may stand for the rest."""

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def shown(page: Path) -> list[Command]:
    """The commands of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    prose = _FENCED.sub("", text)
    found = [command for block in _BLOCK.findall(prose) for command in of_block(page.name, block)]
    for inline in _INLINE.findall(_BLOCK.sub("", prose)):
        found.append(Command(page.name, tuple(shlex.split(inline)), inline=True))
    return found


def of_block(page: str, block: str) -> list[Command]:
    """The commands of an indented block; none if it is something else."""
    lines = [line for line in block.replace("\\\n", " ").splitlines() if not line.strip().startswith("#")]
    first = without_variables(" ".join(lines).split())
    if not first or program(first) not in PROGRAMS:
        return []
    words = [without_variables(shlex.split(line, comments=True)) for line in lines]
    return [Command(page, tuple(split)) for split in words if split]


def without_variables(words: list[str]) -> list[str]:
    """The command behind settings of variables."""
    while words and _VARIABLE.fullmatch(words[0]):
        words = words[1:]
    return words


def program(words: list[str] | tuple[str, ...]) -> str:
    """The name of the program, wherever it lies."""
    return words[0].rpartition("/")[2] if not words[0].endswith("/") else words[0]


def arguments(command: Command) -> list[str] | None:
    """What ``decaystudy`` is called with, also where another program calls it; None for a command of another kind."""
    words = list(command.words)
    if program(words) == "srun":
        words = words[1:]
    if program(words) == "torchrun" and "cli.py" in words:
        return words[words.index("cli.py") + 1 :]
    if program(words) != "decaystudy":
        return None
    for stop in (">", "|", "&&"):
        words = words[: words.index(stop)] if stop in words else words
    return words[1:]


COMMANDS = list(dict.fromkeys(command for page in PAGES for command in shown(page)))
