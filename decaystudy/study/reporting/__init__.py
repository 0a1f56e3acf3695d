"""Results as text, CSV, Markdown, LaTeX, HTML and figures."""
