"""The documentation builds without a warning, and a browser reads it from disk without loading anything from elsewhere.

`make test-docs` installs what it takes and runs this; elsewhere the tests skip themselves by the name of the package.
"""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.extras

DOCS = Path(__file__).parents[2] / "docs"
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "image": "href"}
"""Elements by the attribute whose address a browser loads."""
KINDS_OF_LINK = {"stylesheet", "icon", "preload", "preconnect", "modulepreload", "dns-prefetch", "prefetch"}
"""Values of ``rel`` that make a browser load what a link element names, or connect to its host."""
IN_STYLES = re.compile(r"""@import\s+(?:url\()?\s*['"]?([^'")\s;]+)|url\(\s*['"]?([^'")]+)""")


class Addresses(HTMLParser):
    """The addresses in a page: those that a browser loads, those that it links to, and the places within it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.places: set[str] = set()
        self.feed(page)
        self.loaded += styles(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        if LOADED.get(tag, "") in found:
            self.loaded.append(found[LOADED[tag]])
        if tag == "link" and KINDS_OF_LINK & set(found.get("rel", "").split()):
            self.loaded.append(found["href"])
        if "srcset" in found:
            self.loaded += [one.split()[0] for one in found["srcset"].split(",")]
        if tag == "a" and "href" in found:
            self.linked.append(found["href"])
        self.places |= {found[name] for name in ("id", "name") if name in found}


def styles(text: str) -> list[str]:
    return [imported or named for imported, named in IN_STYLES.findall(text)]


def from_elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc) or address.startswith("//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as `make docs` builds them."""
    pytest.importorskip("sphinx")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", str(DOCS), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Addresses]:
    return {file: Addresses(file.read_text(encoding="utf-8")) for file in site.rglob("*.html")}


def test_what_would_be_loaded_is_found() -> None:
    page = """<script src="https://a.example/x.js"></script><link rel="stylesheet" href="//b.example/y.css">
    <img srcset="https://c.example/1.png 1x, local.png 2x"><style>@import "https://d.example/z.css";
    p { background: url(https://e.example/w.png) }</style><a href="https://f.example/">a link</a>"""
    hosts = {urlsplit(one).netloc[:1] for one in Addresses(page).loaded if from_elsewhere(one)}
    assert hosts == set("abcde")


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Addresses]) -> None:
    for file, page in pages.items():
        assert not [one for one in page.loaded if from_elsewhere(one)], file
    for file in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        assert not [one for one in styles(file.read_text(encoding="utf-8")) if from_elsewhere(one)], file


def test_what_is_loaded_is_there(pages: dict[Path, Addresses]) -> None:
    for file, page in pages.items():
        for address in page.loaded:
            path = unquote(urlsplit(address).path)
            assert address.startswith(("data:", "#")) or (file.parent / path).is_file(), f"{file.name}: {address}"


def test_links_lead_somewhere(pages: dict[Path, Addresses]) -> None:
    for file, page in pages.items():
        for address in page.linked:
            parts = urlsplit(address)
            if parts.scheme or address == "#":
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            assert target.is_file(), f"{file.name}: {address}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].places, f"{file.name}: {address}"


def test_formulas_are_drawn_by_the_browser_itself(site: Path) -> None:
    page = (site / "mathematics.html").read_text(encoding="utf-8")
    assert page.count("<math") > 20


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    import decaystudy.data
    import decaystudy.decay
    import decaystudy.model
    import decaystudy.ops
    import decaystudy.statistics
    import decaystudy.study.analysis.results

    pages = "".join(file.read_text(encoding="utf-8") for file in (site / "reference").glob("*.html"))
    rooms = (decaystudy.decay, decaystudy.ops, decaystudy.model, decaystudy.data, decaystudy.statistics)
    for room in (*rooms, decaystudy.study.analysis.results):
        for name in room.__all__:
            assert re.search(rf'id="decaystudy\.[\w.]*\b{name}"', pages), f"{room.__name__}.{name}"
