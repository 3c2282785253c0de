"""The documentation site: the documents of the whole repository at their places, and a reference from the docstrings.

Build it with `make docs`, from the root of the repository.
"""

from slowfast import __version__

project = "SlowFast, with multigrid training"
author = "the authors"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "projects/*/*.md", "projects/*/*.png"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
default_role = "code"  # docstrings have `names` in single backquotes

html_theme = "furo"
html_title = project
html_theme_options = {"navigation_with_keys": True}
html_static_path, html_css_files = ["_static"], ["wide.css"]
html_show_copyright = False
