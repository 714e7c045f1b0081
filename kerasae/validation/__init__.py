"""What may come in, and the error messages for what may not.

Messages have one form: `NAME must REQUIREMENT. Received: NAME=VALUE. Try HINT`, the hint being
optional. A place such as a file or an argument stands in brackets behind what was received.
"""

from kerasae.validation.identifiers import identifier_columns, left_out, warn_of_identifiers
from kerasae.validation.messages import (
    check_count,
    parse_layout,
    parse_size,
    required,
    shortened,
    unknown,
)
from kerasae.validation.rows import (
    FLOAT32_MAX,
    LARGEST,
    as_numbers,
    as_rows,
    bounded_rows,
    column,
    extremes,
    is_array,
    merged_column,
    overflow,
    refuse_channels_first,
)
from kerasae.validation.tables import check_distinct, column_order, is_table, names_of

__all__ = [
    "FLOAT32_MAX",
    "LARGEST",
    "as_numbers",
    "as_rows",
    "bounded_rows",
    "check_count",
    "check_distinct",
    "column",
    "column_order",
    "extremes",
    "identifier_columns",
    "is_array",
    "is_table",
    "left_out",
    "merged_column",
    "names_of",
    "overflow",
    "parse_layout",
    "parse_size",
    "refuse_channels_first",
    "required",
    "shortened",
    "unknown",
    "warn_of_identifiers",
]
