"""The documentation site: `pip install '.[docs]' && make -C docs html`, which needs no network."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

from extensions import gallery

import kerasae

gallery.collect()

project = "kerasae"
release = version = kerasae.__version__
copyright = "the authors of kerasae"  # noqa: A001
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "extensions.docstrings",
    "extensions.mathml",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "kerasae"
html_static_path = ["_static"]
html_css_files = ["kerasae.css"]
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathml"

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks come with their outputs; -D nb_execution_mode=force runs them
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    # Hooks of Keras, and what scikit-learn adds to estimators.
    "exclude-members": "build, call, compute_output_shape, get_config, from_config, __new__, "
    "set_fit_request, set_partial_fit_request, set_score_request, set_transform_request",
}
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
