"""The grid over hidden layouts of section 19.2.2 of Hands-On Machine Learning with R.

    python tuning/hidden_layouts.py mnist --workers 2

Mean squared error on the 10,000 test digits, scaled as the book does, by (x - mean) / (max - min);
PCA with as many codings, on the same rows, for comparison. Two cores, with other work beside:

    layout                  book      here      PCA    seconds
    300-100-300           .00831    .00568   .00562       62.2
    100                   .00675    .00596   .00562       31.3
    250-100-50-100-250    .01441    .00968   .01149       60.0
    100-50-100            .01122    .01081   .01149       33.0
    50                    .01245    .01182   .01149       22.1

2 min 18 s for all five from the command to its end, where the book's took over 9 minutes; 4 min 0 s
with a single worker, which gives the same errors. A single hidden layer can do no better than PCA
(Bourlard and Kamp, 1988).
"""

import argparse

from rich.console import Console

from kerasae.tuning import search
from kerasae.tuning.book import BOOK_SWEEPS

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Sweeps over the book's hidden layouts.")
    parser.add_argument("data", nargs="?", default="mnist", help="digits, mnist or a file")
    parser.add_argument("--workers", type=int, default=1, help="processes, which share the cores")
    parser.add_argument("--resume", action="store_true", help="goes on with a sweep")
    given = parser.parse_args()
    book = BOOK_SWEEPS["layouts"]
    search(
        given.data,
        book.space,
        f"sweeps/{given.data}-layouts",
        model=book.model,
        scaler="range",
        workers=given.workers,
        resume=given.resume,
        reference=book.mse if given.data == "mnist" else None,
        console=Console(),
    )
