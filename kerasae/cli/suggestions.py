"""What a user may have meant who typed a command that does not exist."""

import difflib
from typing import Any

from typer.core import TyperGroup

# Words of other libraries and of habit, and the commands that do it.
MEANT = {
    **dict.fromkeys(("fit", "learn", "run", "new", "create", "pretrain"), "train"),
    **dict.fromkeys(("encode", "transform", "embed", "embeddings", "codings"), "features"),
    **dict.fromkeys(("score", "detect", "outliers", "anomaly", "flag", "threshold"), "anomalies"),
    **dict.fromkeys(("sample", "draw", "synthesize", "synthesise", "simulate"), "generate"),
    **dict.fromkeys(("evaluate", "eval", "test", "plot", "visualize", "describe"), "report"),
    **dict.fromkeys(("search", "sweep", "grid", "optimize", "optimise", "hpo"), "tune"),
    **dict.fromkeys(("save", "publish", "convert", "onnx", "litert", "tflite"), "export"),
    **dict.fromkeys(("deploy", "server", "start", "page", "web", "ui", "explore"), "serve"),
    **dict.fromkeys(("show", "summary", "inspect", "ls", "list", "status"), "info"),
    "book": "chapter",
}
# Words that may mean several.
SEVERAL = {
    "predict": "kerasae anomalies for scores, kerasae features for codings",
    "reconstruct": "kerasae serve for a page that shows reconstructions, kerasae report for some",
    "explain": "kerasae anomalies --per-feature for each column's part, kerasae report for a page",
    "denoise": "kerasae train --model denoising",
    "version": "kerasae --version",
    "help": "kerasae --help",
}


class Commands(TyperGroup):
    """The commands; an unknown one is refused with the nearest that there is."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command, or says what to try."""
        name = args[0]
        known = self.list_commands(ctx)
        if name in known or name.startswith("-"):
            return super().resolve_command(ctx, args)
        raise ValueError(
            f"command must be one of {', '.join(known)}. Received: command={name!r}. "
            f"Try {suggestion(name, known)}"
        )


def suggestion(name: str, known: list[str]) -> str:
    """What to type instead of a command that does not exist.

    Args:
        name: The word that was typed.
        known: Names of the commands.

    Returns:
        A command line.

    Example:
        >>> suggestion("fit", ["train"]), suggestion("trian", ["train", "tune"])
        ('kerasae train', 'kerasae train')
    """
    word = name.lower().replace("_", "-")
    if word in SEVERAL:
        return SEVERAL[word]
    if word in MEANT:
        return f"kerasae {MEANT[word]}"
    nearest = difflib.get_close_matches(word, [*known, *MEANT], n=1)
    found = MEANT.get(nearest[0], nearest[0]) if nearest else "--help"
    return f"kerasae {found}"
