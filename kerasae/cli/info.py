"""`kerasae info`."""

from kerasae.cli.terminal import ModelArgument, console, starting
from kerasae.cli.text import printable


def info(model: ModelArgument) -> None:
    """Shows what a saved model is: shape, columns, scaler, layout, metrics of its training."""
    from rich.table import Column, Table

    with starting():
        from kerasae.export.load import newest, read_manifest
        from kerasae.export.versions import verify
    table = Table("what", Column("value", overflow="fold"))
    content = read_manifest(model)
    if "files" in content:
        content["files"] = f"{verify(newest(model))}, as they were written"
    for what, value in content.items():
        table.add_row(what, _text(value))
    console.print(table)


def _text(value):
    if isinstance(value, dict):
        return "\n".join(f"{name} {_number(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(printable(str(one), kept="") for one in value)
    return "none" if value in (None, "") else str(value)


def _number(value):
    return f"{value:.5g}" if isinstance(value, float | int) else str(value)
