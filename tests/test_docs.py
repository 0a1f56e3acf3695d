"""The code of docs/ works as it stands there: written into a user's package and run from the command line."""

import importlib.util
import json
import math
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import matplotlib
import pytest

import decaystudy
from decaystudy.data.config import DataConfig
from decaystudy.data.registry import SOURCES
from decaystudy.study.definition.claims.margins import ACCURACY, HALF_LIFE, MARGINS, NATS
from decaystudy.study.definition.library import describe_studies
from decaystudy.study.definition.schema import read_study
from decaystudy.yaml_document import load

DOCS = Path(__file__).parents[1] / "docs"
SHORT = ["--model.layers", "1", "--model.d_model", "32", "--model.glu_width", "64", "--data.sequence_length", "64"]
SHORT += ["--trainer.max_steps", "4", "--trainer.log_every_n_steps", "2", "--data.validation_tokens", "500"]


def write_package(page: str, folder: Path) -> None:
    """Every Python block of a page as the file that its first line names; "continued" appends."""
    for block in re.findall(r"```(?:python|yaml\n(?=# ))\n?(.*?)```", (DOCS / page).read_text(), re.S):
        match = re.match(r"# ([\w/]+\.(?:py|yaml))(, continued)?\n", block)
        assert match, f"{page}: a block must begin with the name of its file"
        file = folder / match[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        held = file.read_text() if match[2] else ""
        file.write_text(held + block)


def fit(folder: Path, *words: str) -> str:
    """A short ``decaystudy fit``."""
    return call(folder, "fit", *SHORT, "--out", "run", *words)


def call(folder: Path, *words: str) -> str:
    """``decaystudy`` as a user would call it: from the folder of their package, which is not installed."""
    program = "import sys; sys.path.pop(0); from decaystudy.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(decaystudy.__file__).parents[1])}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def script(name: str) -> ModuleType:
    """A script of docs/, imported."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def claims_page(*, with_seeds: bool) -> str:
    """docs/claims.md as its script makes it."""
    return str(script("make_claims").page(with_seeds=with_seeds))


def without_seeds(page: str) -> str:
    return re.sub(r"^(\| .*)( \| [^|]+){3} \|$", r"\1", page, flags=re.M)


def test_the_page_of_claims_is_current() -> None:
    assert without_seeds((DOCS / "claims.md").read_text()) == without_seeds(claims_page(with_seeds=False)), (
        "make docs-claims"
    )


def test_the_page_of_studies_is_current() -> None:
    assert (DOCS / "studies.md").read_text() == script("make_studies").page(), "make docs-claims"


def test_the_page_of_evidence_is_what_its_bundles_say() -> None:
    page = (DOCS / "evidence" / "README.md").read_text()
    assert page == script("make_evidence").page(), "make docs-evidence"
    drawn = {path.name for path in (DOCS / "evidence" / "figures").glob("*.svg")}
    assert set(re.findall(r"\(figures/([\w-]+\.svg)\)", page)) == drawn


@pytest.mark.slow
def test_the_pictures_are_current() -> None:
    drawn = {path.stem: path.read_text() for path in (DOCS / "figures").glob("*.svg")}
    pages = "".join(path.read_text() for path in DOCS.glob("*.md"))
    assert set(re.findall(r"\(figures/([\w-]+)\.svg\)", pages)) == set(drawn)
    if all(f"Matplotlib v{matplotlib.__version__}" in text for text in drawn.values()):
        assert script("make_figures").main(["--check"]) == 0, "make docs-figures"


@pytest.mark.slow
@pytest.mark.long
def test_the_seeds_of_the_page_of_claims_are_current() -> None:
    assert (DOCS / "claims.md").read_text() == claims_page(with_seeds=True), "make docs-claims"


def test_every_statement_is_tested_or_says_why_not() -> None:
    statements = {one["id"]: one for one in load(DOCS / "statements.yaml").values}
    claims = [claim for name, _ in describe_studies() for claim in read_study(name).claims]
    tested = {statement for claim in claims for statement in claim.statements}
    assert tested <= set(statements), "claims name statements that docs/statements.yaml lacks"
    assert {name for name, one in statements.items() if "untested" not in one} == tested
    assert len(statements) == len(load(DOCS / "statements.yaml").values), "an id stands there twice"


def test_where_a_claim_speaks_of_gla_both_of_its_forms_are_tested() -> None:
    for name, _ in describe_studies():
        claims = [claim for claim in read_study(name).claims if claim.statements]
        for statement in {one for claim in claims for one in claim.statements}:
            cells = {cell for claim in claims if statement in claim.statements for cell in claim.named_cells()}
            forms = {cell.startswith("gla-inside") for cell in cells if cell.startswith("gla")}
            assert forms in (set(), {False, True}), (name, statement)


def test_margins_of_the_papers_statements_have_names() -> None:
    named = {margin.value for margin in MARGINS.values()}
    for name, _ in describe_studies():
        for claim in read_study(name).claims:
            if claim.statements and claim.unit in (NATS, ACCURACY, HALF_LIFE):
                sizes = {abs(end) for end in (claim.bounds.low, claim.bounds.high) if math.isfinite(end) and end != 0}
                assert sizes <= named, (name, claim.id)


def test_the_index_names_every_page() -> None:
    indices = [(DOCS / name).read_text() for name in ("index.md", "extend.md")]
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", "".join(indices)))
    assert linked == {path.name for path in DOCS.glob("*.md")} - {"index.md"}


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (DOCS / page).read_text()):
        assert (DOCS / link).exists(), link


def test_add_a_logger(tmp_path: Path) -> None:
    write_package("add-a-logger.md", tmp_path)
    fit(tmp_path, "--seed", "3", "--logger", "csv,mypackage.loggers.JSONLines,mypackage.loggers.plain_csv")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("step") for line in lines] == [0, 2, 4, 4, 4, None] and lines[-1] == {"ended": "success"}
    assert {line["seed"] for line in lines[:-1]} == {3}
    text = (DOCS / "add-a-logger.md").read_text()
    for name in {*lines[2], *lines[3], *lines[4]} - {"step", "seed"}:
        assert f"`{name}`" in text, f"the page doesn't mention {name}"
    assert "train/loss" in (tmp_path / "run" / "lightning" / "metrics.csv").read_text()


def test_add_a_data_source(tmp_path: Path) -> None:
    write_package("add-a-data-source.md", tmp_path)
    source = SOURCES["python-docs"].open(DataConfig())
    texts = [document.text for part in source.parts() for document in source.documents(part)][:1500]
    with sqlite3.connect(tmp_path / "notes.db") as database:
        database.execute("create table notes (id integer primary key, body text)")
        database.executemany("insert into notes (body) values (?)", [(text,) for text in texts])
    fit(tmp_path, "--data.source", "mypackage.sources.Notes", "--data.files", "notes.db")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["data"]["source"] == "mypackage.sources.Notes" and result["data"]["vocab_size"] == 512
    assert result["data"]["documents"] == 1500 and 0 < result["data"]["validation_documents"] < 60
    assert result["val_loss"] < 6.5


SMALL_STUDY = ["--data.sequence_length", "32", "--recipe.global_batch_size", "2", "--trainer.max_steps", "2"]
SMALL_STUDY += ["--recipe.warmup_steps", "1", "--data.validation_tokens", "500", "--seeds", "0", "--out", "out"]


def test_add_a_decay(tmp_path: Path) -> None:
    write_package("add-a-decay.md", tmp_path)
    plan = json.loads(call(tmp_path, "run-study", "gated.yaml", "--dry-run", "--json", *SMALL_STUDY))
    call(tmp_path, "run-study", "gated.yaml", *SMALL_STUDY)
    results = json.loads((tmp_path / "out" / "gated" / "results.json").read_text())
    assert results["complete"] and {run["cell"] for run in results["runs"]} == {"strength-0.25", "strength-1"}
    assert [run["parameters"] for run in plan["runs"]] == [run["parameters"] for run in results["runs"]]
    weaker, full = (run["decay"][0]["median"] for run in results["runs"])
    assert weaker > full, "a quarter of the strength forgets less"


@pytest.mark.long
def test_add_a_launcher(tmp_path: Path) -> None:
    write_package("add-a-launcher.md", tmp_path)
    own = ["--launcher", "mypackage.launchers.Processes", "--launcher_options.most", "2"]
    call(tmp_path, "run-study", "dplr", "--evaluate", *own, *SMALL_STUDY, "--data.sequence_length", "128")
    results = json.loads((tmp_path / "out" / "dplr" / "results.json").read_text())
    assert results["complete"] and all(run["evaluation"] for run in results["runs"])
