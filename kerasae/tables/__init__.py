"""Tables of columns of mixed types, with missing cells: read, encoded, and given back."""

from kerasae.tables.columns import Column
from kerasae.tables.encoder import TableEncoder
from kerasae.tables.impute import impute
from kerasae.tables.layout import Layout
from kerasae.tables.losses import TableError, TableLikelihood, TableLoss
from kerasae.tables.model import table_autoencoder
from kerasae.tables.schema import Schema
from kerasae.tables.standardised import StandardTableEncoder

__all__ = [
    "Column",
    "Layout",
    "Schema",
    "StandardTableEncoder",
    "TableEncoder",
    "TableError",
    "TableLikelihood",
    "TableLoss",
    "impute",
    "table_autoencoder",
]
