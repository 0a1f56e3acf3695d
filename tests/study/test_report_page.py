"""report.html as a page: phone, dark, print, sortable tables, captions, texts for figures, provenance, citation; and
what its figures show."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from decaystudy.cli import main
from decaystudy.plotting import BETTER, WORSE, svg
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.definition.expand import Study, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting import figures
from decaystudy.study.reporting.decay_figures import half_life, spread
from decaystudy.study.reporting.provenance import BIBTEX
from decaystudy.study.reporting.styles import cell_styles
from decaystudy.study.run import StudyRequest, run_study
from tests.study import small
from tests.study.planted import answer_of, plant

html = pytest.importorskip("lxml.html")
ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "decaystudy" / "study" / "reporting" / "templates"
CLAIM = "  - {id: same, says: They are equal., difference: [hgrn2, mamba2], within: 0.05}\n"


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder of a study of three seeds that has ended, and its page."""
    folder = tmp_path_factory.mktemp("reported")
    file = small.write_study(folder / "file", small.STUDY + CLAIM)
    study = expand(read_study(str(file)), seeds=(0, 1, 2))
    store = Store(folder / "out")
    plant(study, store, {"gla": 0.2})
    for run in study.runs():
        place = store.find(run)
        assert place is not None
        result = place.read_result()
        assert result is not None
        place.write_result(replace(result, versions={"torch": "2.13.0", "numpy": "2.4"}, git_revision="abc1234"))
    assert run_study(StudyRequest([str(file)], out=str(folder / "out"), seeds="0-2")) == 0
    return folder, html.fromstring((folder / "out" / "small" / "report.html").read_bytes())


def test_it_fits_phones_dark_rooms_and_paper_and_loads_nothing(reported: tuple[Path, Any]) -> None:
    folder, page = reported
    assert "width=device-width" in page.xpath("//meta[@name='viewport']/@content")[0]
    (style,) = page.xpath("//style/text()")
    for words in ("prefers-color-scheme: dark", "@media print", "color-scheme: light dark", "white-space: nowrap"):
        assert words in style
    assert (
        not page.xpath("//link | //img | //iframe | //script[@src]") and "url(" not in style and "@import" not in style
    )
    links = set(page.xpath("//a/@href"))
    assert len(links) == 9 and all((folder / "out" / "small" / link / "result.json").is_file() for link in links)
    assert page.xpath("//@src") == []
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\(#([^)]+)\)", svgs(page))) | {
        one[1:] for one in page.xpath("//@*[name()='xlink:href']")
    }
    assert len(used) > 4 and used <= set(ids)


def svgs(page: Any) -> str:
    return "".join(html.tostring(one, encoding="unicode") for one in page.xpath("//svg"))


def test_figures_follow_the_page_and_have_texts_and_captions(reported: tuple[Path, Any]) -> None:
    _, page = reported
    drawn = page.xpath("//figure")
    assert len(drawn) == 4
    for one in drawn:
        (image,) = one.xpath("./svg")
        assert image.get("role") == "img" and len(image.get("aria-label")) > 40
        caption = one.xpath("./figcaption")[0].text_content()
        assert "interval" in caption and re.search(r"Scale tiny, seeds 0, 1, 2, .* per parameter", caption)
        text = html.tostring(image, encoding="unicode")
        assert "#1f2937" not in text and "#000000" not in text and "currentColor" in text
        assert "fill: #ffffff" not in text


def test_provenance_names_data_versions_commit_seeds_and_commands(reported: tuple[Path, Any]) -> None:
    folder, page = reported
    found: dict[str, list[str]] = {}
    for one in page.xpath("//dl/*"):
        if one.tag == "dt":
            found[one.text_content().strip()] = lines = []
        else:
            lines.append(one.text_content().strip())
    assert "source planted, revision 1" in found["Data"][0] or "revision" in found["Data"][0]
    assert "tokenizer digest" in found["Data"][0]
    assert found["Versions"] == ["torch 2.13.0, numpy 2.4"] and found["Commit of decaystudy"] == ["abc1234"]
    assert found["Seeds"] == ["0, 1, 2"]
    assert found["Commands"] == [
        "decaystudy run-study small.yaml --scale tiny --seeds 0,1,2",
        "decaystudy report small",
    ]
    assert str(folder) not in " ".join(found["Commands"])


def test_the_citation_is_that_of_the_citation_file(reported: tuple[Path, Any]) -> None:
    _, page = reported
    assert page.xpath("//pre[@id='bibtex']")[0].text_content() == BIBTEX
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["title"] in BIBTEX and str(cited["version"]) in BIBTEX
    paper = cited["references"][0]
    for words in (paper["title"], paper["conference"]["name"], str(paper["year"]), paper["url"]):
        assert words in BIBTEX
    assert all(f"{one['family-names']}, {one['given-names']}" in BIBTEX for one in paper["authors"])


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the page's script")
def test_tables_sort_by_numbers_as_they_are_written() -> None:
    orders = {
        "number": (["−0.10 [−0.2, 0.0]", "–", "+0.02", "−0.2"], ["−0.2", "−0.10 [−0.2, 0.0]", "+0.02", "–"]),
        "counts": (["1.2 M", "156 k", "1,300", "(chance)"], ["1,300", "156 k", "1.2 M", "(chance)"]),
        "times": (["1.2 h", "12 s", "3.0 min"], ["12 s", "3.0 min", "1.2 h"]),
        "text": (["gla", "", "a10", "a2"], ["a2", "a10", "gla", ""]),
    }
    script = (
        (TEMPLATES / "report.js").read_text()
        + """
const cell = (text, kind) => ({ textContent: text, classList: { contains: () => kind === "text" },
  getAttribute(name) { return this[name]; }, setAttribute(name, value) { this[name] = value; },
  removeAttribute(name) { delete this[name]; } });
const found = {};
for (const [kind, [given]] of Object.entries(ORDERS)) {
  const body = { rows: given.map((text) => ({ cells: [cell(text)] })), append(...rows) { this.rows = rows; } };
  const table = { tHead: { rows: [{ cells: [cell("head", kind)] }] }, tBodies: [body] };
  const shown = () => body.rows.map((row) => row.cells[0].textContent);
  sortTable(table, 0); const up = shown(), head = table.tHead.rows[0].cells[0]["aria-sort"];
  sortTable(table, 0);
  found[kind] = [up, shown(), head];
}
console.log(JSON.stringify(found));
"""
    )
    done = subprocess.run(
        ["node", "-e", f"const ORDERS = {json.dumps(orders)};\n{script}"], capture_output=True, text=True, check=True
    )
    for kind, (up, down, head) in json.loads(done.stdout).items():
        wanted = orders[kind][1]
        empty = [text for text in wanted if text in ("–", "", "(chance)")]
        held = [text for text in wanted if text not in empty]
        assert (up, down, head) == ([*held, *empty], [*held[::-1], *empty], "ascending"), kind


PROBE = """<script>
const table = document.querySelectorAll("table")[1];
const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].innerText);
const found = { before: names(), loss: [], width: document.documentElement.scrollWidth <= innerWidth };
const head = [...table.tHead.rows[0].cells].find((one) => one.innerText.trim() === "validation loss");
for (const _ of [1, 2]) { head.querySelector("button").click(); found.loss.push(names()); }
found.buttons = document.querySelectorAll("th").length === document.querySelectorAll("th button").length;
found.ink = getComputedStyle(document.body).color;
found.text = getComputedStyle(document.querySelector("svg text")).fill;
document.body.dataset.found = JSON.stringify(found);
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium to open the page")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser(reported: tuple[Path, Any], width: int, dark: bool, tmp_path: Path) -> None:
    folder, _ = reported
    page = tmp_path / "page.html"
    page.write_text((folder / "out" / "small" / "report.html").read_text().replace("</html>", f"{PROBE}</html>"))
    words = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    words += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", "--dump-dom"]
    words += ["--force-dark-mode"] if dark else []
    done = subprocess.run([*words, page.as_uri()], capture_output=True, text=True, timeout=240, check=True)
    assert "CONSOLE" not in done.stderr
    found = json.loads(html.fromstring(done.stdout).xpath("//@data-found")[0])
    assert found["before"] == ["mamba2", "gla", "hgrn2"] and found["buttons"] and found["width"]
    assert found["loss"] == [["hgrn2", "mamba2", "gla"], ["gla", "mamba2", "hgrn2"]]
    assert found["ink"] == found["text"] == ("rgb(229, 231, 235)" if dark else "rgb(31, 41, 55)")


# -- figures -----------------------------------------------------------------------------------------------------


def planted_sharing(folder: Path) -> tuple[Study, StudyResults]:
    study = expand(read_study("sharing"), scale="tiny", seeds=(0, 1, 2))
    plant(study, Store(folder), {"gla-shared": 0.2, "mamba2-shared": -0.2}, decays={"gla-shared": [0.0, 0.5, 1.0]})
    return study, answer_of(study, Store(folder))


def test_the_forest_plot_has_the_margins_and_colours_of_the_verdicts(tmp_path: Path) -> None:
    _, results = planted_sharing(tmp_path)
    figure = figures.differences(results)
    assert figure is not None
    axes = figure.axes[0]
    bands = [(band.get_x(), band.get_width()) for band in axes.patches]
    assert bands == [(-0.02, 0.04)] * 4 and {row.margin for row in results.comparisons} == {0.02}
    colours = {line.get_color() for line in axes.lines}
    assert {BETTER, WORSE} <= colours
    without = replace(results, comparisons=tuple(replace(row, margin=None) for row in results.comparisons))
    bare = figures.differences(without)
    assert bare is not None and not bare.axes[0].patches


def test_a_decay_has_its_colour_and_a_level_its_dash(tmp_path: Path) -> None:
    _, results = planted_sharing(tmp_path)
    styles = cell_styles(results)
    for decay in ("mamba2", "gla", "hgrn2", "lightnet"):
        one, other = styles[f"{decay}-independent"], styles[f"{decay}-shared"]
        assert one.colour == other.colour and (one.dash, other.dash) == ("-", "--")
    assert len({style.colour for style in styles.values()}) == 4


def test_decays_are_drawn_as_half_lives_on_a_logarithmic_scale(tmp_path: Path) -> None:
    _, results = planted_sharing(tmp_path)
    figure = figures.decays(results)
    assert figure is not None
    left, right = figure.axes
    assert left.get_yscale() == right.get_yscale() == "log" and left.get_ylim() == right.get_ylim()
    assert "half-life" in left.get_ylabel() and "0.99" in [label.get_text() for label in right.get_yticklabels()]
    lines = {line.get_label(): line for line in left.lines}
    starts = [line for line in left.lines if line.get_fillstyle() == "none"]
    assert len(starts) == 8 and list(starts[0].get_ydata()) == pytest.approx([half_life(0.99)] * 3)
    assert max(lines["gla-shared"].get_ydata()) <= 1e4 and min(lines["gla-shared"].get_ydata()) >= 0.1
    assert list(lines["hgrn2-shared"].get_ydata()) == pytest.approx([half_life(x) for x in (0.7, 0.8, 0.9)], rel=0.1)
    assert half_life(0.5) == pytest.approx(1) and half_life(0.0) == 0.1 and half_life(1.0) == 1e4


def test_losses_stand_over_their_decays_with_intervals_and_labels_apart(tmp_path: Path) -> None:
    _, results = planted_sharing(tmp_path)
    figure = figures.loss_by_decay(results)
    assert figure is not None and len(figure.axes[0].containers) == len(results.cells)
    text = svg(figure)
    assert all(f">{cell.name}</text>" in text for cell in results.cells)
    assert spread([0.1, 0.11, 0.5], 0.05) == pytest.approx([0.1, 0.15, 0.5])
    crowded = spread([0.97, 0.98, 0.99, 1.0], 0.05)
    assert crowded == pytest.approx([0.85, 0.9, 0.95, 1.0])


def test_every_figure_says_of_which_runs_it_is(tmp_path: Path) -> None:
    _, results = planted_sharing(tmp_path)
    for name, figure in figures.all_figures(results, {}).items():
        assert re.search(
            r"sharing at tiny, seeds 0-2, .* tokens per run \(0\.15 to 0\.16 per parameter\)", svg(figure)
        ), name


def test_report_writes_the_same_figures_again(reported: tuple[Path, Any]) -> None:
    folder, _ = reported
    place = folder / "out" / "small" / "figures"
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    assert main(["report", "small", "--out", str(folder / "out")]) == 0
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before and len(before) == 8
