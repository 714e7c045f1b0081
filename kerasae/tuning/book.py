"""The two grids of Hands-On Machine Learning with R, and the errors that it printed for them."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class BookSweep(NamedTuple):
    """A grid of the book's autoencoder chapter.

    Attributes:
        model: Name of the family in `ZOO`.
        space: Values of each hyperparameter by name, as `search` takes them.
        mse: The book's mean squared error by the value of the hyperparameter that varies.
    """

    model: str
    space: dict[str, list]
    mse: Mapping[Any, float]


# Sections 19.2.2 and 19.3.
LAYOUTS = {
    "50": 0.01245,
    "100": 0.00675,
    "300-100-300": 0.00831,
    "100-50-100": 0.01122,
    "250-100-50-100-250": 0.01441,
}
RHO = -0.1
BETAS = {0.01: 0.01298, 0.05: 0.01338, 0.1: 0.01352, 0.2: 0.01321}

BOOK_SWEEPS = {
    "layouts": BookSweep("stacked", {"layout": list(LAYOUTS)}, LAYOUTS),
    "beta": BookSweep("sparse", {"layout": ["100"], "rho": [RHO], "beta": list(BETAS)}, BETAS),
}
