"""Data by name or from files, as arrays."""

from kerasae.datasets.data import NAMED, Data, load
from kerasae.datasets.image_folder import ImageFolder
from kerasae.datasets.made_series import MadeSeries, make_series

__all__ = ["NAMED", "Data", "ImageFolder", "MadeSeries", "load", "make_series"]
