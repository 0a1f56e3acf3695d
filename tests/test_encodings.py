"""Every file and every pipe of the package is text in UTF-8, whatever the locale, or bytes."""

import ast

from tests.test_architecture import MODULES

PROCESSES = {"Popen", "run", "check_output", "call", "check_call"}
TEXT = {"text", "universal_newlines"}


def by_locale(call: ast.Call) -> bool:
    """Whether a call leaves the encoding of text to the locale."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = {word.arg: word.value for word in call.keywords}
    if "encoding" in given or None in given:
        return False
    if name in ("read_text", "write_text"):  # the package's own write_text(path, text) is UTF-8
        return isinstance(call.func, ast.Attribute)
    if name in PROCESSES:
        return bool(TEXT & set(given))
    if name in ("TextIOWrapper", "NamedTemporaryFile", "TemporaryFile"):
        return name == "TextIOWrapper" and len(call.args) < 2
    if name not in ("open", "fdopen"):
        return False
    modes = [value.value for value in [*call.args, given.get("mode")] if isinstance(value, ast.Constant)]
    if any(isinstance(mode, str) and "b" in mode for mode in modes):
        return False
    # Sources and corpora are opened by classes; a descriptor has no encoding.
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    return not (
        owner[:1].isupper()
        or "SOURCES" in owner
        or "source" in owner
        or owner in ("kind", "cls")
        or (owner == "os" and name == "open")
    )


def test_no_file_is_read_or_written_in_the_encoding_of_the_locale():
    found = []
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and by_locale(node):
                found.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    assert not found, 'give encoding="utf-8", or read bytes:\n' + "\n".join(found)


def test_the_search_finds_what_it_looks_for():
    for text in (
        "open(p)",
        "open(p, 'w')",
        "p.open()",
        "p.read_text()",
        "p.write_text(t)",
        "os.fdopen(d, 'w')",
        "subprocess.run(c, text=True)",
        "io.TextIOWrapper(b)",
    ):
        assert by_locale(ast.parse(text).body[0].value), text
    for text in (
        "open(p, 'rb')",
        "p.open(mode='wb')",
        "p.read_text(encoding='utf-8')",
        "write_text(p, t)",
        "os.open(p, os.O_RDONLY)",
        "subprocess.run(c)",
        "Corpus.open(c)",
        "open(p, encoding='utf-8')",
    ):
        assert not by_locale(ast.parse(text).body[0].value), text
