"""Data by name or from files, as arrays, or as sources where they are larger than memory."""

from typing import TYPE_CHECKING, Any

from kerasae.datasets.data import NAMED, Data, load, split
from kerasae.datasets.made_series import MadeSeries, make_series
from kerasae.datasets.opened import OpenedRows
from kerasae.datasets.openers import open, write  # noqa: A004

if TYPE_CHECKING:
    from kerasae.datasets.image_folder import ImageFolder

__all__ = [
    "NAMED",
    "Data",
    "ImageFolder",
    "MadeSeries",
    "OpenedRows",
    "load",
    "make_series",
    "open",
    "split",
    "write",
]


def __getattr__(name: str) -> Any:
    """The one class that needs Keras, imported where it is used."""
    if name != "ImageFolder":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from kerasae.datasets.image_folder import ImageFolder  # noqa: PLC0415

    return ImageFolder
