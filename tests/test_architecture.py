"""The house: imports run one way, without circles, and rooms stay small."""

import ast
from pathlib import Path

import pytest

import decaystudy

ROOT = Path(decaystudy.__file__).parent
# From the ground up: a room may import what stands before it, and its own modules.
FLOORS = (
    (
        "errors",
        "checks",
        "devices",
        "imports",
        "io",
        "serial",
        "formatting",
        "live",
        "table",
        "terminal",
        "yaml_document",
        "metrics",
        "output",
        "plotting",
        "scales",
        "source",
        "statistics",
        "versions",
    ),
    ("decay",),
    ("ops",),
    ("model",),
    ("data",),
    ("runs",),
    ("training",),
    ("hub",),
    ("evaluation",),
    ("study",),
    ("rehearsal", "doctor"),
    ("commands",),
    ("cli", "__main__"),
)
# The same within a room, from its folders to the files above them.
INNER = {
    "data": (("sources",), ("tokenizers",), ("cache",), ("stream",)),
    "study": (("definition",), ("execution",), ("planning",), ("analysis",), ("reporting",), ("sharing",)),
}
MOST_FILES_IN_STUDY = 6
# Everything else is imported without torch, so that plans, tables and --help come at once.
WITH_TORCH = ("model", "ops", "training", "rehearsal", "hub")
MORE_WITH_TORCH = {
    "data.stream.batches",
    "data.stream.datamodule",
    "data.stream.loader",
    "decay.lightnet_kernels",
    "decay.lightnet_operator",
    "evaluation.decays.ablation",
    "evaluation.decays.distribution",
    "evaluation.generation",
    "evaluation.lengths",
    "evaluation.lm_eval.model",
    "evaluation.perplexity",
    "runs.loading",
    "runs.weights",
    "study.planning.profiling",
}


def modules() -> dict[str, Path]:
    """Every module of the package below ``decaystudy``, by dotted name; a package is its ``__init__``."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(tree: ast.AST, package: str, *, in_functions: bool = True) -> set[str]:
    """Modules of the package that a file imports, but not for type checking."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not in_functions:
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join(["decaystudy", *above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] != "decaystudy":
                continue
            inner = name.removeprefix("decaystudy").lstrip(".")
            while inner and inner not in MODULES:
                inner = inner.rpartition(".")[0]
            if inner:
                found.add(inner)
        found |= imports(node, package, in_functions=in_functions)
    return found


def arrows(*, in_functions: bool = True) -> dict[str, set[str]]:
    """What each module imports itself, not through the packages that a module is in."""
    drawn = {}
    for name, path in MODULES.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        drawn[name] = imports(tree, package, in_functions=in_functions) - {name, ""}
    return drawn


ARROWS = arrows()


def test_there_is_no_circle():
    state: dict[str, int] = {}
    circles = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        state[name] = 1
        for other in sorted(ARROWS[name]):
            if state.get(other) == 1:
                circles.append(" -> ".join([*above[above.index(other) :], other]))
            elif other not in state:
                visit(other, (*above, other))
        state[name] = 2

    for name in ARROWS:
        if name not in state:
            visit(name, (name,))
    assert not circles, "these modules import each other:\n" + "\n".join(circles)


def floor(name: str, floors: tuple[tuple[str, ...], ...], where: str) -> int:
    for number, rooms in enumerate(floors):
        if name in rooms:
            return number
    pytest.fail(f"{name!r} in {where} has no floor: add it to the plan in {Path(__file__).name}")


def test_no_arrow_runs_upward():
    upward = []
    for name, others in ARROWS.items():
        room = name.split(".")[0]
        for other in others:
            if floor(other.split(".")[0], FLOORS, "decaystudy") > (floor(room, FLOORS, "decaystudy") if room else 99):
                upward.append(f"{name} -> {other}")
    assert not upward, "these imports run upward:\n" + "\n".join(sorted(upward))


@pytest.mark.parametrize("room", INNER)
def test_no_arrow_runs_upward_inside_a_room(room):
    rank = {inner: number for number, names in enumerate(INNER[room]) for inner in names}
    folders = {name.split(".")[1] for name in MODULES if name.count(".") >= 2 and name.startswith(f"{room}.")}
    assert folders == set(rank)
    upward = []
    for name, others in ARROWS.items():
        for other in others:
            if name.startswith(f"{room}.") and other.startswith(f"{room}."):
                inner, outer = rank.get(name.split(".")[1], 99), rank.get(other.split(".")[1])
                if inner != 99 and outer is not None and outer > inner:
                    upward.append(f"{name} -> {other}")
                if inner != 99 and outer is None and room == "study":
                    upward.append(f"{name} -> {other}")
    assert not upward, "these imports run upward:\n" + "\n".join(sorted(upward))


def test_study_is_not_a_heap():
    direct = [path.name for path in (ROOT / "study").glob("*.py")]
    assert len(direct) <= MOST_FILES_IN_STUDY, direct


def imports_torch(path: Path) -> bool:
    """Whether importing a file imports torch, by itself or by a library that does."""
    words = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            words += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            words.append(node.module or "")
    return any(word.split(".")[0] in ("torch", "lightning", "transformers", "lm_eval") for word in words)


def test_what_plans_and_prints_imports_no_torch():
    drawn = arrows(in_functions=False)
    direct = {name for name, path in MODULES.items() if imports_torch(path)}

    def reached(name: str) -> set[str]:
        """Every module that importing this one runs, its packages included."""
        found, left = set(), [name]
        while left:
            module = left.pop()
            if module not in found:
                found.add(module)
                left += [*drawn[module], *([module.rpartition(".")[0]] if "." in module else [])]
        return found

    heavy = {name for name in MODULES if reached(name) & direct}
    allowed = {name for name in heavy if name.split(".")[0] in WITH_TORCH} | MORE_WITH_TORCH
    assert heavy == allowed, f"torch has come to {sorted(heavy - allowed)} and gone from {sorted(allowed - heavy)}"
