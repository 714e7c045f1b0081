"""Data by name or from files, as arrays."""

from kerasae.datasets.data import NAMED, Data, load

__all__ = ["NAMED", "Data", "load"]
