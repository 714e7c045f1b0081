"""`kerasae info`."""

from kerasae.cli.terminal import ModelArgument, console, starting
from kerasae.text import printable

# Keys of the manifest that have a table of their own, or a line.
APART = ("layout", "columns", "table", "metrics", "row_shape", "files")


def info(model: ModelArgument) -> None:
    """Shows what a saved model is: layers, columns, metrics of its training, versions."""
    from rich.table import Column, Table

    with starting():
        from kerasae.export.load import newest, read_manifest
        from kerasae.export.versions import verify
    content = read_manifest(model)
    facts = Table("what", Column("value", overflow="fold"))
    facts.add_row("layers", _layers(content))
    for what, value in content.items():
        if what not in APART:
            facts.add_row(what.replace("_", " "), _text(value))
    if "files" in content:
        facts.add_row("files", f"{verify(newest(model))}, as they were written")
    report = newest(model) / "report.html"
    if report.is_file():
        facts.add_row("report", printable(str(report), kept=""))
    console.print(facts)
    _show_metrics(content.get("metrics") or {})
    _show_columns(content)


def _layers(content):
    """The widths from the rows to the codings and back: 64 > 100-16-100 > 64."""
    shape = " x ".join(str(size) for size in content.get("row_shape") or ())
    layout = content.get("layout") or "other layers"
    return f"rows of {shape or 'no shape'} > {layout}, {content.get('codings')} codings > rows"


def _show_metrics(metrics):
    """The metrics in two columns where they come in pairs, training beside validation."""
    from rich.table import Column, Table

    pairs = {}
    for name, value in metrics.items():
        what, part = _part(name, metrics)
        pairs.setdefault(what, {})[part] = _text(value)[:60]
    right = [Column(one, justify="right") for one in ("train", "test")]
    table = Table(Column("metric", overflow="fold"), *right)
    for what, values in pairs.items():
        table.add_row(what, values.get("train", ""), values.get("test", ""))
    if metrics:
        console.print(table)


def _part(name, metrics):
    """A metric's name and the rows that it is of: "val_mse" and "pca_test_mse" are of test rows."""
    if name.startswith("val_"):
        return f"{name[4:]}, last epoch", "test"
    if f"val_{name}" in metrics:
        return f"{name}, last epoch", "train"
    for part in ("train", "test"):
        prefix, _, rest = name.partition(f"{part}_")
        if rest and prefix in ("", "pca_"):
            return f"{rest} of PCA" if prefix else rest, part
    return name, "train"


def _show_columns(content):
    """Kind and levels of each column of a table; of others the names alone."""
    from rich.table import Column, Table

    if described := content.get("table"):
        wide = (Column(one, overflow="fold") for one in ("column", "kind", "type", "levels"))
        table = Table(*wide)
        for one in described:
            levels = one.get("levels") or ()
            shown = ", ".join(printable(str(level), kept="") for level in levels[:6])
            more = f" and {len(levels) - 6} more" if len(levels) > 6 else ""
            cells = (one.get("column"), one.get("kind"), one.get("dtype"))
            table.add_row(*(printable(str(cell), kept="") for cell in cells), shown + more)
        console.print(table)
    elif content.get("columns"):
        table = Table(Column("columns", overflow="fold"))
        table.add_row(_text(content["columns"]))
        console.print(table)


def _text(value):
    if isinstance(value, dict):
        return "\n".join(f"{name} {_number(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(printable(str(one), kept="") for one in value)
    return "none" if value in (None, "") else str(_number(value))


def _number(value):
    return f"{value:.5g}" if isinstance(value, float) else str(value)
