"""The eight studies of the package, the plan, and what a user's own study file may do."""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from decaystudy.errors import UserError
from decaystudy.scales import SCALES
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.library import describe_studies
from decaystudy.study.definition.schema import parse_seeds, read_study
from decaystudy.study.definition.search import Sweep, Trial
from decaystudy.study.definition.settings import SettingNames
from decaystudy.study.definition.several import expand_all, union
from decaystudy.study.definition.sweeps import parse_sweep
from decaystudy.study.execution.launcher import ExecutionOptions, open_launcher
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.plan import plan_all
from decaystudy.study.planning.plan_schema import SCHEMA
from decaystudy.study.run import StudyRequest, plan_speed, show_plan
from tests.study import small

EIGHT = (
    "parameterization",
    "sharing",
    "granularity",
    "position",
    "simple-decay",
    "dplr",
    "decay-value",
    "start-matched",
)


def test_all_eight_are_there() -> None:
    assert {name for name, _ in describe_studies()} >= set(EIGHT)
    assert all(title and "\n" not in title for _, title in describe_studies())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", EIGHT)
def test_each_expands_at_every_scale(name: str, scale: str) -> None:
    study = expand(read_study(name), scale=scale, all_cells=True)
    assert study.seeds == (0, 1, 2)
    assert len({run.hash for run in study.runs()}) == 3 * len(study.cells)
    assert study.comparisons and study.claims and not study.left_out
    assert any(cell.config.model.mixer == "softmax" for cell in study.cells)
    compared = {name for c in study.comparisons for name in (c.a, c.b)}
    assert compared >= {cell.name for cell in study.cells if cell.name not in ("softmax", "tnl", "tnl-l")}


def test_sharing_at_tiny_has_eight_cells_unless_all_are_asked_for() -> None:
    spec = read_study("sharing")
    core = [f"{decay}-{how}" for decay in ("mamba2", "gla", "hgrn2", "lightnet") for how in ("independent", "shared")]
    assert [cell.name for cell in expand(spec).cells] == core
    assert len(expand(spec, all_cells=True).cells) == 13
    assert len(expand(spec, scale="160m").cells) == 13


def test_cells_are_those_of_the_design() -> None:
    cells = {name: {cell.name for cell in expand(read_study(name), all_cells=True).cells} for name in EIGHT}
    assert cells["parameterization"] >= {"mamba2-no-a", "mamba2-no-delta", "mamba2-no-a-no-delta", "tnl", "tnl-l"}
    assert cells["parameterization"] >= {"mamba2", "gla", "gla-inside", "hgrn2", "lightnet", "simple"}
    assert {"mamba2-released", "lightnet-released", "gla-inside-shared"} <= cells["sharing"]
    assert len(cells["granularity"]) == 13
    assert len(cells["position"]) == 25
    assert cells["simple-decay"] == {"simple-0.8", "simple-0.9", "simple-0.95", "simple-0.99", "mamba2", "softmax"}
    assert cells["dplr"] == {"diagonal", "dplr", "softmax"}
    assert len(cells["decay-value"]) == 11
    assert len(cells["start-matched"]) == 11


def test_a_cell_of_two_studies_is_one_run(tmp_path: Path) -> None:
    studies = expand_all(EIGHT, all_cells=True)
    runs = [run for study in studies for run in study.runs()]
    distinct = union(studies)
    assert len(distinct) < len(runs)
    same = {run.hash for study in studies for run in study.runs() if run.cell in ("mamba2", "mamba2-independent")}
    assert len(same) == 3, "one per seed"
    store = Store(tmp_path)
    first, second = (next(r for r in study.runs() if r.hash in same) for study in studies[:2])
    assert first.cell != second.cell
    assert store.claim(first).path == store.claim(second).path
    speed, jobs = plan_speed(studies, open_launcher(ExecutionOptions(jobs=2)), Store(tmp_path))
    plan = plan_all(studies, store, speed, jobs)
    assert plan.total.whole.runs == len(distinct)
    assert plan.total.whole.without_sharing == len(runs)


def test_plan_as_json(tmp_path: Path) -> None:
    """The documented keys; totals are sums; it is printed by a process that imports no torch, in under 3 s."""
    program = (
        "import sys; from decaystudy.cli import main; code = main(sys.argv[1:]); "
        "heavy = [m for m in ('torch', 'lightning', 'pandas', 'matplotlib', 'jinja2') if m in sys.modules]; "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    began = time.monotonic()
    words = ["run-study", "sharing", "--scale", "160m", "--dry-run", "--json", "--gpu", "h100", "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 3 * 2  # twice what it may take: other tests run beside it
    plan = json.loads(done.stdout)
    assert plan["schema"] == SCHEMA and plan["study"] == "sharing"
    assert len(plan["cells"]) == 13 and len(plan["runs"]) == 3 * 13
    keys = {"id", "name", "cell", "seed", "status", "parameters", "tokens", "train_flops", "memory_bytes"}
    keys |= {"hours", "gpu_hours", "disk_bytes", "done"}
    for run in plan["runs"]:
        assert keys <= run.keys()
        assert run["status"] == "planned" and run["cell"] == run["name"]
        assert run["tokens"] == 20_000 * 256 * 2048
        assert run["train_flops"] > 6 * 100e6 * run["tokens"]
        assert 2**30 < run["memory_bytes"] < 80 * 2**30
        assert 0.25 < run["train_flops"] / (run["hours"] * 3600 * 989e12) < 0.55, "of the peak, by decay"
    for key in ("tokens", "train_flops", "hours", "gpu_hours"):
        assert plan["total"][key] == pytest.approx(sum(run[key] for run in plan["runs"]))
        assert plan["total"][key] == pytest.approx(sum(cell[key] for cell in plan["cells"]))
    assert not list(tmp_path.iterdir()), "a plan leaves nothing behind"


def test_plans_of_several_studies_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = StudyRequest(["sharing", "dplr"], seeds="0,1", out=str(tmp_path))
    assert show_plan(request, ExecutionOptions(gpu="h100"), as_json=True) == 0
    plan = json.loads(capsys.readouterr().out)
    assert list(plan) == ["studies", "total"]
    sharing, dplr = plan["studies"]
    assert (sharing["study"], dplr["study"]) == ("sharing", "dplr")
    assert len(sharing["runs"]) == 16 and [len(sharing["cells"]), sharing["cells"][0]["runs"]] == [8, 2]
    assert sharing["cells"][0]["seeds"] == [0, 1]
    runs = sharing["runs"] + dplr["runs"]
    assert plan["total"]["runs"] == len({run["id"] for run in runs}) <= plan["total"]["whole"]["without_sharing"]
    assert plan["total"]["whole"]["without_sharing"] == len(runs)


def test_softmax_and_shared_cells_cost_what_they_cost() -> None:
    from decaystudy.model.count import forward_flops, parameter_count

    cells = {cell.name: cell.config.model for cell in expand(read_study("sharing"), scale="160m").cells}
    assert parameter_count(cells["mamba2-shared"]) < parameter_count(cells["mamba2-independent"])
    per_layer = 4 * 6 * 128 * 128
    assert forward_flops(cells["mamba2-shared"], 2048).states == 12 * per_layer


def test_overrides_reach_every_cell_and_never_the_axis() -> None:
    study = expand_all(["sharing"], overrides={"trainer": {"max_steps": 7}, "recipe": {"global_batch_size": 4}})[0]
    assert {cell.config.max_steps for cell in study.cells} == {7}
    with pytest.raises(UserError, match=r"--model.sharing is set by cell 'mamba2-independent'"):
        expand_all(["sharing"], overrides={"model": {"sharing": "tied"}})
    with pytest.raises(UserError, match="did you mean 'small'"):
        expand_all(["sharing"], scale="smal")


def test_a_scale_that_the_study_is_not_written_for(tmp_path: Path) -> None:
    file = small.write_study(tmp_path)
    with pytest.raises(UserError, match="written for scale tiny, not 160m"):
        expand_all([str(file)], scale="160m")


def test_a_users_own_study_with_its_own_axis(tmp_path: Path) -> None:
    text = (
        "title: Learning rates\nquestion: Which is best?\nscale: tiny\nseeds: [0, 1, 2]\naxis: learning_rate\n"
        "baseline: 3e-3\nsettings: {decay: simple}\ngrid:\n  learning_rate: [1e-3, 3e-3, 1e-2]\n"
    )
    study = expand(read_study(str(small.write_study(tmp_path, text, "rates"))))
    assert [cell.name for cell in study.cells] == ["learning_rate-0.001", "learning_rate-0.003", "learning_rate-0.01"]
    assert [cell.config.recipe.learning_rate for cell in study.cells] == [0.001, 0.003, 0.01]
    assert [(c.a, c.b) for c in study.comparisons] == [
        ("learning_rate-0.001", "learning_rate-0.003"),
        ("learning_rate-0.01", "learning_rate-0.003"),
    ]
    assert len(study.runs()) == 9


def test_the_example_of_the_manual(tmp_path: Path) -> None:
    manual = (Path(__file__).parents[2] / "studies" / "README.md").read_text()
    example = manual.split("```yaml\n")[1].split("```")[0]
    study = expand(read_study(str(small.write_study(tmp_path, example, "rates"))))
    assert len(study.cells) == 6 and len(study.comparisons) == 4 and len(study.claims) == 1


def test_a_decay_of_the_users_own_package(tmp_path: Path) -> None:
    text = small.STUDY.replace("[mamba2, gla, hgrn2]", "[mamba2, mine: {decay: tests.study.hungry.Hungry}, gla]")
    study = expand(read_study(str(small.write_study(tmp_path, text))))
    assert [cell.config.model.decay for cell in study.cells][1] == "tests.study.hungry.Hungry"


def test_grid_with_exceptions(tmp_path: Path) -> None:
    text = small.STUDY[: small.STUDY.index("grid:")].replace("axis: decay\nbaseline: mamba2", "axis: position") + (
        "grid:\n  decay: [mamba2, tnl]\n  position: {nope: none, tpe: tpe}\n  except: [{decay: tnl, position: tpe}]\n"
    )
    text = text.replace("settings:\n", "settings:\n  granularity: scalar\n")
    study = expand(read_study(str(small.write_study(tmp_path, text))))
    assert [cell.name for cell in study.cells] == ["mamba2-nope", "mamba2-tpe", "tnl-nope"]


def test_seeds_and_sweeps() -> None:
    assert parse_seeds("3") == (3,)
    assert parse_seeds("0,1") == (0, 1)
    assert parse_seeds("0-4") == (0, 1, 2, 3, 4)
    names = SettingNames()
    assert parse_sweep("lr=1e-4,3e-4", names) == Sweep("learning_rate", (1e-4, 3e-4))
    assert parse_sweep("sharing=true,false", names) == Sweep("sharing", (True, False))
    for wrong in ("", "a", "1,1", "2-1", "-1", "1.5"):
        with pytest.raises(UserError):
            parse_seeds(wrong)
    for wrong in ("lr", "lr=", "lr=a", "wd=0.1", "lr=0.1,0.1", "layers=two", "lr=-1"):
        with pytest.raises(UserError):
            parse_sweep(wrong, names)


def test_tuning_shares_the_runs_at_the_usual_rate() -> None:
    usual = expand_all(["dplr"])[0]
    own = SCALES["tiny"].recipe["learning_rate"]
    tuned = expand_all(["dplr"], sweep=f"lr={own / 2},{own}")[0]
    assert len(tuned.runs()) == 2 * len(tuned.cells) and all(run.tuning for run in tuned.runs())
    assert len(tuned.pending_runs()) == len(usual.runs())
    assert not {run.hash for run in tuned.pending_runs()} & {run.hash for run in usual.runs()}
    chosen = dataclasses.replace(tuned, chosen={cell.name: Trial.of({"learning_rate": own}) for cell in tuned.cells})
    reported = {run.hash for run in chosen.runs() if not run.tuning}
    assert reported == {run.hash for run in usual.runs()} and not chosen.pending_runs()


def test_one_name_one_study(tmp_path: Path) -> None:
    files = [str(small.write_study(tmp_path / folder)) for folder in ("one", "other")]
    with pytest.raises(UserError, match="two studies are named 'small'"):
        expand_all(files)


def test_a_cells_row_shows_its_difference_to_the_baseline_whatever_else_is_listed() -> None:
    comparisons = expand_all(["recall"])[0].comparisons
    first = {comparison.a: comparison.b for comparison in reversed(comparisons)}
    assert first == dict.fromkeys(["none", "constant-0.5", "constant-0.8", "constant-0.99"], "simple")
    assert ("none", "constant-0.99") in {(comparison.a, comparison.b) for comparison in comparisons}
