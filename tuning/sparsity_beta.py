"""The grid over beta of section 19.3 of Hands-On Machine Learning with R.

    python tuning/sparsity_beta.py mnist --workers 2

Layout 100, rho = -0.1. Mean squared error on the 10,000 test digits, scaled as in the grid over
layouts, and the codings' average activation there. Two cores, with other work beside:

    beta      book      here    average activation
    .01     .01298    .00601                -.0998
    .05     .01338    .00617                -.1002
    .1      .01352    .00632                -.1004
    .2      .01321    .00656                -.1002

1 min 18 s for all four from the command to its end. The book's penalty is not the KL divergence
that it is named for; here the error rises with beta, and the average activation is at rho for each.
"""

import argparse

from rich.console import Console

from kerasae.tuning import search
from kerasae.tuning.book import BOOK_SWEEPS

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Sweeps over the weight of the KL sparsity.")
    parser.add_argument("data", nargs="?", default="mnist", help="digits, mnist or a file")
    parser.add_argument("--workers", type=int, default=1, help="processes, which share the cores")
    parser.add_argument("--resume", action="store_true", help="goes on with a sweep")
    given = parser.parse_args()
    book = BOOK_SWEEPS["beta"]
    search(
        given.data,
        book.space,
        f"sweeps/{given.data}-beta",
        model=book.model,
        scaler="range",
        workers=given.workers,
        resume=given.resume,
        reference=book.mse if given.data == "mnist" else None,
        console=Console(),
    )
