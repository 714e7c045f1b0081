"""The layout, held: which package may import which, and no circles."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import kerasae

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kerasae"
PATHS = sorted(PACKAGE.rglob("*.py"))

# Each package may import those of the lines above it.
ORDER = [
    {
        "kerasae._version",
        "kerasae._registration",
        "kerasae.atomic",
        "kerasae.text",
        "kerasae.program_cache",
        "kerasae.validation",
    },
    {"kerasae.datasets", "kerasae.layers", "kerasae.plots", "kerasae.serving"},
    {  # which every model holds
        "kerasae.anomaly.calibration",
        "kerasae.anomaly.parts",
        "kerasae.anomaly.reference",
        "kerasae.series.calibration",
    },
    {"kerasae.models"},
    {"kerasae.tables"},
    {"kerasae.anomaly", "kerasae.methods"},
    {"kerasae.callbacks", "kerasae.export", "kerasae.series"},
    {"kerasae.engines", "kerasae.sklearn", "kerasae.tuning"},
    {"kerasae.report"},
    {"kerasae.chapter"},
    {"kerasae.cli"},
    {"kerasae"},
]
# Where packages that not everybody has may be imported. The core goes without all of them.
PLACES = {
    "tensorflow": {
        "callbacks",
        "cli.serve",
        "export",
        "models.adam",
        "models.chunks",
        "models.programs",
        "models.streams",
        "models.tensorflow_programs",
        "serving",
        "tuning.hparams",
    },
    "tensorflow_serving": {"export", "serving"},
    "jax": {
        "engines.process",
        "engines.shared_loop",
        "models.chunks",
        "models.inference",
        "models.jax_programs",
        "models.programs",
    },
    "keras_tuner": {"tuning"},
    "tensorboard": {"tuning.hparams"},
    "grpc": {"serving", "tuning.workers"},
    "google": {"export.tf_serving", "serving"},
    "h11": {"serving.http"},
    "h5py": {"export.keras_file"},
    "starlette": {"serving"},
    "uvicorn": {"serving"},
    "tf2onnx": {"export.onnx"},
    "onnx": {"export.onnx"},
    "typer": {"cli"},
    "rich": {"chapter", "cli", "tuning"},
    "scipy": {"anomaly.maps", "anomaly.two_samples"},
    "ray": {"engines"},
    "pyarrow": {"cli", "engines", "datasets.files", "tables"},
    "pandas": {"tables.frames", "tuning.results", "tuning.search"},
    "polars": {"tables.frames"},
    "sklearn": {
        "anomaly.labels",
        "anomaly.scores",
        "chapter",
        "cli",
        "report.principal",
        "sklearn",
    },
    "PIL": {"datasets.files.images", "plots.pixels"},
    "matplotlib": {"chapter.result", "export.publish", "plots"},
    "lazy_loader": {"__init__"},
    "keras": {"*"},
    "numpy": {"*"},
}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in PATHS}


def imports(path):
    """The modules that a file imports; of kerasae, those that its names come from."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"relative import in {path}"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in MODULES:
                    yield full
                elif node.module == "kerasae":
                    yield getattr(kerasae, alias.name).__module__
                else:
                    yield node.module


GRAPH = {name: {i for i in imports(path) if i in MODULES} for name, path in MODULES.items()}


def rank(name):
    fitting = [
        (len(part), i)
        for i, parts in enumerate(ORDER)
        for part in parts
        if name == part or name.startswith(part + ".")
    ]
    return max(fitting)[1]


def package(name):
    return ".".join(name.split(".")[:2])


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name):
    for imported in GRAPH[name]:
        if rank(imported) >= rank(name):
            assert package(imported) == package(name), f"{name} imports {imported}"


def test_there_are_no_circles():
    try:
        tuple(TopologicalSorter(GRAPH).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_order_refuses_what_it_should():
    assert rank("kerasae.layers.base") < rank("kerasae.anomaly.calibration")
    assert rank("kerasae.anomaly.calibration") < rank("kerasae.models.autoencoder")
    assert rank("kerasae.models.zoo.sparse") < rank("kerasae.anomaly.scores")
    assert "kerasae.models.autoencoder" in GRAPH["kerasae.models"]
    assert "kerasae.report" in GRAPH["kerasae.cli.train"]


@pytest.mark.parametrize("name", MODULES)
def test_packages_are_imported_where_they_are_the_point(name):
    here = name.removeprefix("kerasae.") if name != "kerasae" else "__init__"
    for imported in imports(MODULES[name]):
        top = imported.split(".")[0]
        if top == "kerasae" or top in sys.stdlib_module_names:
            continue
        places = PLACES[top]
        inside = any(here == place or here.startswith(place + ".") for place in places)
        assert "*" in places or inside, f"{name} imports {imported}"


def test_sweeps_are_scripts_of_the_library():
    for path in (ROOT / "tuning").glob("*.py"):
        assert all(
            name.split(".")[0] in ("kerasae", "argparse", "rich") for name in imports(path)
        ), path


def test_there_are_no_utils():
    assert not [name for name in MODULES if name.split(".")[-1] in ("utils", "helpers", "common")]
