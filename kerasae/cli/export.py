"""`kerasae export`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasae.cli.terminal import (
    OutputOption,
    check_name,
    model_name,
    say,
    show_path,
    starting,
)

FORMATS = {"saved_model": "SavedModel", "onnx": "ONNX", "litert": "LiteRT"}


def export(
    model: Annotated[
        Path, typer.Argument(help="Folder of a sweep, whose winner is taken, or a .keras file.")
    ],
    form: Annotated[
        str, typer.Option("--format", help="saved_model, for TF Serving, onnx or litert.")
    ] = "saved_model",
    name: Annotated[
        str | None,
        typer.Option(help="By default that of the folder or file, with -onnx or -litert."),
    ] = None,
    output: OutputOption = Path("saved_models"),
    features: Annotated[
        str | None, typer.Option(help="Layers for the signature features: hidden_1,hidden_2.")
    ] = None,
) -> None:
    """Publishes a model as OUTPUT/NAME/VERSION, for TF Serving, ONNX Runtime or LiteRT."""
    from kerasae.validation import unknown

    check_name(name)
    if form not in FORMATS:
        raise ValueError(unknown("format", form, FORMATS, "--format"))
    with starting():
        from kerasae.export import load_model, publish_model, read_manifest, write_serving_files
        from kerasae.tuning.results import best_metrics, best_model, is_sweep
    sweep = is_sweep(model)
    # A folder of its own: TF Serving would try the newest version, whatever is in it.
    own = model_name(model) if form == "saved_model" else f"{model_name(model)}-{form}"
    folder = publish_model(
        best_model(model) if sweep else load_model(model),
        output / (name or own),
        form,
        metrics=best_metrics(model) if sweep else None,
        features=tuple(features.split(",")) if features else (),
        keras_model=True,
    )
    write_serving_files(output)
    show_path(FORMATS[form], folder)
    for signature, reason in read_manifest(folder).get("left_out", {}).items():
        say(f"left out: {signature} ({reason})")
