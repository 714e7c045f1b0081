"""What the chapter's models are trained with, and the numbers that the book printed."""

from typing import TypedDict

from kerasae.tuning.book import LAYOUTS
from kerasae.validation import parse_layout


class Settings(TypedDict):
    """What every model of a data set is trained with."""

    batch_size: int
    learning_rate: float
    epochs: dict[str, int]


# Passes over the training rows by kind of model. On digits there are 1,437 rows for a pass, on
# MNIST 60,000: the passes differ so that every model comes to rest.
SETTINGS: dict[str, Settings] = {
    "digits": {
        "batch_size": 16,
        "learning_rate": 5e-3,
        "epochs": {"tanh": 30, "stack": 40, "sparse": 30, "denoising": 30, "overcomplete": 30},
    },
    "mnist": {
        "batch_size": 128,
        "learning_rate": 2e-3,
        "epochs": {"tanh": 12, "stack": 20, "sparse": 8, "denoising": 8, "overcomplete": 6},
    },
}

# tanh as in the book where there is one hidden layer, since no activation beats PCA there if the
# output is linear. In the grid's stacks elu ended lower; two codings behind deeper layers are drawn
# with softsign, which keeps them in (-1, 1) as tanh does but does not end in PCA's plane.
TANH, STACK, DEEP = "tanh", "elu", "softsign"

# Pixels lie in [0, 1]. A linear output passes on how clean rows differ from the noisy ones that the
# model was trained with; a sigmoid meets the bounds and stays there.
OUTPUT = "sigmoid"

# Layouts of the book's grid as the encoder's half, and the mean squared error it printed for each.
GRID = {parse_layout(layout): mse for layout, mse in LAYOUTS.items()}
PLAIN, BEST, OVERCOMPLETE = (100,), (300, 100), (1000,)

# Two codings as in the book, and the same two behind deeper layers.
TWO, DEEP_TWO = (2,), (300, 100, 2)

# Average activations: of the plain codings, and with the penalty.
PLAIN_ACTIVATION, SPARSE_ACTIVATION = -0.0068, -0.108
STRONG_RHO = -0.75

# Corruption of pixels in [0, 1].
STDDEV, RATE, DENOISING = 0.2, 0.3, 0.02048

QUANTILE, THRESHOLD = 0.75, "p99"
MEAN_ERROR, LARGEST_ERROR = 0.006, 0.03
