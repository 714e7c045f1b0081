"""Folders of PNG and JPEG files, decoded by Pillow into arrays of one size."""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.datasets.archives import one_line
from kerasae.validation import required

SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG", "MPO")  # MPO: what many cameras write into a .jpg
GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")


def image_files(folder: Path) -> list[Path]:
    """The image files in a folder and the folders in it, by name; hidden ones are left out.

    Raises:
        ValueError: There are none.
    """
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    if not found:
        raise ValueError(
            f"path must be a folder with {', '.join(SUFFIXES)} files. "
            f"Received: a folder without any ({folder})"
        )
    return sorted(found)


def shape_of(
    files: Sequence[Path], image_shape: Sequence[int | None] | None = None
) -> tuple[int, int, int]:
    """The shape that images are brought to, by their headers alone.

    Args:
        files: Paths of PNG and JPEG files.
        image_shape: (height, width), or None for the size that all have as they are shown, that is
            after the orientation that a camera noted. A third entry is the number of channels, 1
            or 3; by default 1 where all images are grey, else 3.

    Returns:
        (height, width, channels).

    Raises:
        ValueError: Files are damaged, or of different sizes with none given.
        ModuleNotFoundError: Pillow is missing.
    """
    height, width, channels = (*(image_shape or (None, None)), None)[:3]
    if channels not in (None, 1, 3):
        raise ValueError(
            "image_shape must have 1 or 3 channels for image files. "
            f"Received: image_shape={tuple(image_shape or ())}"
        )
    headers = _each(_header, files)
    channels = channels or (1 if all(grey for _, grey in headers) else 3)
    if height and width:
        return int(height), int(width), channels
    first = headers[0][0]
    other = next((i for i, (size, _) in enumerate(headers) if size != first), None)
    if other is not None:
        raise ValueError(
            f"the images must have one size. Received: {_size(first)} in {files[0].name}, "
            f"{_size(headers[other][0])} in {files[other].name}. "
            "Try a size to bring them to, 128x128"
        )
    return (*first, channels)


def decoded(files: Sequence[Path], shape: Sequence[int]) -> np.ndarray:
    """The pixels of images that are brought to one shape, uint8, (files, *shape).

    They are turned upright as a camera noted, laid on white where they are transparent, brought
    from 16 to 8 bits, and shrunk or enlarged to the height and width, whatever their own ratio.

    Args:
        files: Paths of PNG and JPEG files.
        shape: (height, width, channels), with 1 channel or 3.

    Raises:
        ValueError: Files are damaged: the message counts them and names the first.
    """
    x = np.empty((len(files), *shape), "uint8")

    def decode(path):
        return _pixels(path, shape)

    _each(decode, files, x.__setitem__)
    return x


def _each(function: Callable[[Path], Any], files, keep=None) -> list[Any]:
    """The results of a function for files, in threads, or an error that names the damaged ones."""
    required("PIL", "image files")
    results: list[Any] = [] if keep else [None] * len(files)
    keep = keep or results.__setitem__
    damaged = []

    def run(pair):
        i, path = pair
        try:
            keep(i, function(path))
        # A decoder of foreign files can raise any class, up to MemoryError and SyntaxError.
        except Exception as error:
            damaged.append((i, one_line(error).replace(str(path), path.name)))

    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # of very large images, which `_open` refuses
        for _ in pool.map(run, enumerate(files)):
            pass
    if damaged:
        first, reason = min(damaged)
        others = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        raise ValueError(
            "the image files must be whole PNG or JPEG files. "
            f"Received: a damaged {files[first].name}{others}, {reason} ({files[first]}). "
            "Try removing or replacing it"
        )
    return results


def _open(path):
    from PIL import Image  # noqa: PLC0415

    image = Image.open(path, formats=FORMATS)
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 2**31):
        image.close()
        raise ValueError(f"{image.width * image.height:,} pixels, more than are taken")
    return image


def _header(path):
    """(height, width) as the image is shown, and whether it is grey."""
    from PIL import ExifTags, Image  # noqa: PLC0415

    with _open(path) as image:
        # That of PNG files would decode all of them.
        turned = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1) >= 5
        size = (image.width, image.height) if turned else (image.height, image.width)
        return size, image.mode in GREY


def _pixels(path, shape):
    from PIL import Image, ImageOps  # noqa: PLC0415

    height, width, channels = shape
    with _open(path) as image:
        # A JPEG is decoded at a half or less, where twice the size that is wanted is left.
        longest = 2 * max(height, width)
        image.draft("L" if channels == 1 else "RGB", (longest, longest))
        upright = ImageOps.exif_transpose(image)
    plain = _on_white(_eight_bits(upright)).convert("L" if channels == 1 else "RGB")
    if plain.size != (width, height):
        plain = plain.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(plain).reshape(shape)


def _on_white(image):
    """An image without transparency, laid on white."""
    from PIL import Image  # noqa: PLC0415

    if "transparency" not in image.info and image.mode not in ("RGBA", "LA", "PA", "RGBa", "La"):
        return image
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _eight_bits(image):
    """An image of 16 bits in 8; Pillow itself would cut what is above 255."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    from PIL import Image  # noqa: PLC0415

    return Image.fromarray(np.uint8(np.round(np.asarray(image, "float64") / 257)))


def _size(size):
    height, width = size
    return f"{width}x{height}"
