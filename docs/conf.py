"""How Sphinx builds these pages: ``make docs``. Nothing that a browser loads comes from elsewhere, so they can be read
from disk and without a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from decaystudy import __version__

project = "decaystudy"
author = "the authors of decaystudy"
copyright = f"{author}, Apache-2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings", "mathml"]
exclude_patterns = ["evidence/text.md"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
# Formulas are MathML, which browsers draw by themselves; Sphinx's usual renderer loads a script from elsewhere.
html_math_renderer = "mathml"

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False

INTERNAL = ("About", "Cell", "Clustered", "Curve", "DecayStatistic", "Floats", "LayerState", "Pair", "RecordedPlan")
INTERNAL += ("Run", "RunFolder", "Scaled", "Tuning", "YamlDocument")
"""Types that signatures name, and that are no concern of those who call."""

# Every reference must lead somewhere but those to other packages, whose pages are elsewhere.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(torch|numpy|np|transformers|collections|enum|abc|typing)\..*"),
    ("py:.*", "Path|Tensor|NDArray|ArrayLike|CausalLMOutputWithPast"),
    ("py:.*", rf"(decaystudy\..*\.)?({'|'.join(INTERNAL)})"),
    ("py:.*", r".*[\[\]].*"),  # halves of a type with a comma in its brackets
]

highlight_language = "bash"
html_theme = "furo"
html_title = f"decaystudy {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # it would fetch pages, which browsers refuse to pages from disk
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
