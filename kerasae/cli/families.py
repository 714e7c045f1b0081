"""The names of families on the command line: those of the zoo, and what else people call them."""

import difflib
from typing import Annotated

import typer

FAMILIES = (
    *("stacked", "convolutional", "sparse", "k-sparse", "winner-take-all", "denoising"),
    *("residual-denoiser", "contractive", "variational", "adversarial"),
)
SHORT = {
    **dict.fromkeys(("ae", "autoencoder", "deep", "dense", "vanilla", "plain"), "stacked"),
    **dict.fromkeys(("conv", "cnn", "convae"), "convolutional"),
    **dict.fromkeys(("vae", "variational-autoencoder"), "variational"),
    **dict.fromkeys(("dae", "denoise", "denoiser", "dnae"), "denoising"),
    **dict.fromkeys(("ksae", "ksparse", "topk", "top-k"), "k-sparse"),
    **dict.fromkeys(("wta", "winnertakeall"), "winner-take-all"),
    **dict.fromkeys(("aae",), "adversarial"),
    "residual": "residual-denoiser",
}
# Names that mean different families to different people.
UNCLEAR = {"cae": ("convolutional", "contractive"), "sae": ("stacked", "sparse")}


def family_name(text: str | None) -> str | None:
    """The name of a family in the zoo, of a short or differently written one.

    Args:
        text: What was given, or None.

    Returns:
        The name.

    Raises:
        ValueError: The name is unknown, or means two families.

    Example:
        >>> family_name("VAE"), family_name("k_sparse"), family_name("sparse_autoencoder")
        ('variational', 'k-sparse', 'sparse')
    """
    if text is None:
        return None
    plain = text.strip().lower().replace("_", "-").replace(" ", "-")
    plain = plain if plain in SHORT else plain.removesuffix("-autoencoder").removesuffix("-ae")
    if plain in UNCLEAR:
        names = UNCLEAR[plain]
        raise ValueError(
            f"model must be the name of one family. Received: model={text!r}, which may be "
            f"{' or '.join(names)}. Try --model {names[0]}"
        )
    found = SHORT.get(plain, plain)
    if found not in FAMILIES:
        nearest = difflib.get_close_matches(plain, [*FAMILIES, *SHORT], n=1)
        hint = f". Try {SHORT.get(nearest[0], nearest[0])}" if nearest else ""
        raise ValueError(
            f"model must be one of {', '.join(sorted(FAMILIES))}. Received: model={text!r}{hint}"
        )
    return found


def _completed(incomplete: str) -> list[str]:
    return [name for name in FAMILIES if name.startswith(incomplete)]


_OPTION = typer.Option(
    "--model",
    help="Family of the zoo, or a short name: vae, dae, wta, conv. By default train takes stacked, "
    "for tables of mixed columns denoising.",
    callback=family_name,
    autocompletion=_completed,
)
FamilyOption = Annotated[str | None, _OPTION]
