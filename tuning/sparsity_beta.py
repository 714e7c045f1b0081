"""The grid over beta of section 19.3 of Hands-On Machine Learning with R.

kerasae tune beta mnist --workers 2

Layout 100, rho = -0.1. Mean squared error on the 10,000 test digits, scaled as in the grid over
layouts, and the codings' average activation there. Two cores, with other work beside:

    beta      book      here    average activation
    .01     .01298    .00601                -.0998
    .05     .01338    .00617                -.1002
    .1      .01352    .00632                -.1004
    .2      .01321    .00656                -.1002

1 min 18 s for all four from the command to its end. The book's penalty is not the KL divergence
that it is named for; here the error rises with beta, and the average activation is at rho for each.
A grid on a logarithmic scale: `--set beta=0.0001:10:6`.
"""

import sys

from kerasae import cli

SWEEP = {
    "model": "sparse",
    "space": {"layout": ["100"], "rho": [-0.1], "beta": [0.01, 0.05, 0.1, 0.2]},
}
# Mean squared error by beta.
BOOK = {0.01: 0.01298, 0.05: 0.01338, 0.1: 0.01352, 0.2: 0.01321}

if __name__ == "__main__":
    sys.argv[1:1] = ["tune", "beta"]
    cli.main()
