"""The grid over hidden layouts of section 19.2.2 of Hands-On Machine Learning with R.

kerasae tune layouts mnist --workers 2

Mean squared error on the 10,000 test digits, scaled as the book does, by (x - mean) / (max - min);
PCA with as many codings, on the same rows, for comparison. Two cores, with other work beside:

    layout                  book      here      PCA    seconds
    300-100-300           .00831    .00568   .00562       62.2
    100                   .00675    .00596   .00562       31.3
    250-100-50-100-250    .01441    .00968   .01149       60.0
    100-50-100            .01122    .01081   .01149       33.0
    50                    .01245    .01182   .01149       22.1

2 min 18 s for all five from the command to its end, where the book's took over 9 minutes; 4 min 0 s
with a single worker, which gives the same figures. A single hidden layer can do no better than PCA
(Bourlard and Kamp, 1988).
"""

import sys

from kerasae import cli

SWEEP = {
    "model": "stacked",
    "space": {"layout": ["50", "100", "300-100-300", "100-50-100", "250-100-50-100-250"]},
}
# Mean squared error by layout.
BOOK = {
    "50": 0.01245,
    "100": 0.00675,
    "300-100-300": 0.00831,
    "100-50-100": 0.01122,
    "250-100-50-100-250": 0.01441,
}

if __name__ == "__main__":
    sys.argv[1:1] = ["tune", "layouts"]
    cli.main()
