"""The model card: what a model is, for whoever finds it, in Markdown."""

import re
from collections.abc import Mapping
from typing import Any

from kerasae.models import Autoencoder
from kerasae.report.explanations import explanations
from kerasae.report.facts import Training
from kerasae.report.findings import Findings

SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")


def literal(text: Any) -> str:
    r"""A text that Markdown shows letter by letter, on one line.

    Example:
        >>> literal("a_b [x](y)")
        'a\\_b \\[x\\](y)'
    """
    line = " ".join(str(text).split())
    line = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)
    return SPECIAL.sub(r"\\\1", line)


def card(
    model: Autoencoder,
    manifest: Mapping[str, Any],
    found: Findings,
    training: Training,
    name: str,
) -> str:
    """The card, in the form of Mitchell et al.

    Args:
        model: The `Autoencoder`.
        manifest: Its manifest.
        found: What was found of rows that were kept for testing.
        training: How it was trained.
        name: What the model is called.

    Returns:
        Markdown.

    Reference: Mitchell et al. (2019), Model cards for model reporting.
    """
    parts = {
        "Model": _model(model, manifest),
        "Intended use": _use(model),
        "Training": _training(training),
        "Evaluation": _evaluation(model, manifest, found),
        "Rows with the highest scores": _worst(model, found),
        "Limits": _limits(model, found),
    }
    body = "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in parts.items())
    return f"# Model card: {literal(name)}\n\nPictures are in `report.html`.\n\n{body}\n"


def _model(model, manifest):
    lines = [
        f"- autoencoder of kerasae {literal(manifest['kerasae'])}, Keras "
        f"{literal(manifest['keras'])}, {literal(manifest['backend'])}, made {manifest['created']}",
        f"- family or name: {literal(manifest['name'])}",
        f"- layout: {literal(manifest['layout'])}, {manifest['codings']} codings, "
        f"{manifest['parameters']:,} parameters",
        f"- a row: shape {tuple(manifest['row_shape'])}, scaler {literal(manifest['scaler'])}",
    ]
    if columns := manifest["columns"]:
        more = f" and {len(columns) - 30} more" if len(columns) > 30 else ""
        lines.append(f"- columns: {', '.join(map(literal, columns[:30]))}{more}")
    return lines


def _use(model):
    uses = ["codings as features", "reconstruction and removal of noise"]
    if model.anomaly.fitted:
        uses.append("anomaly scores with a threshold and p-values")
    if model.prior is not None:
        uses.append("sampling of new rows")
    return [f"- {use}" for use in uses] + [
        "- rows of the same source, units and columns as those of its training; nothing else"
    ]


def _training(training):
    lines = [f"- data: {literal(training.data) or 'not recorded'}"]
    if training.rows:
        lines.append(f"- rows: {training.rows:,}")
    if training.seconds is not None:
        lines.append(f"- time: {training.seconds:.1f} seconds")
    lines += [
        f"- {literal(option)}: {literal(value)}"
        for option, value in training.settings.items()
        if value is not None
    ]
    return lines + _code(training.command)


def _code(command):
    """A command in a block that no backticks in it can end."""
    if not command:
        return []
    longest = max(map(len, re.findall("`+", command)), default=0)
    fence = "`" * max(3, longest + 1)
    return ["", fence, "".join(one if one.isprintable() else " " for one in command), fence]


def _evaluation(model, manifest, found):
    lines = [f"On {found.sampled}:", "", "| measure | value |", "|---|---|"]
    lines.append(f"| mean error, scaled values | {found.errors.mean():.5g} |")
    for name, value in manifest["metrics"].items():
        if isinstance(value, int | float):
            lines.append(f"| {literal(name)} | {value:.5g} |")
    if found.p_values is not None:
        above = int((found.scores > model.anomaly.threshold).sum())
        lines.append(f"| rows above the threshold | {above:,} of {len(found.scores):,} |")
    return lines


def _worst(model, found):
    worst = found.worst[:5]
    shares = explanations(model, found, worst)
    return [
        f"- row {found.numbers[i]}, {found.scores[i]:.4g}: {literal('; '.join(map(str, one)))}"
        for i, one in zip(worst, shares, strict=True)
    ]


def _limits(model, found):
    lines = [
        "- A low error says that a row is like those of the training, not that it is right.",
        "- Numbers above are of one split of one data set. Measure again on your own rows.",
    ]
    if found.p_values is not None:
        lines.append(
            "- p-values hold as long as normal rows come from the source of the "
            f"{len(model.anomaly.scores):,} rows of the calibration."
        )
    return lines
