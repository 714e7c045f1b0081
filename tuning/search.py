"""A general sweep: any family of the zoo, any of its arguments as hyperparameters.

    python tuning/search.py digits --model denoising --set layout=16,32-16-32 --set stddev=0.1,0.2

On the digits that come with scikit-learn, 20 epochs; `val_mse` on the 359 clean test rows, pixels
scaled to [0, 1]. Two cores of an AMD EPYC, with other work beside:

    layout      stddev    val_mse    seconds
    32-16-32        .1     .01732        1.9
    32-16-32        .2     .01944        1.7
    16              .1     .02343        1.8
    16              .2     .02701        1.3

17 s from the command to its end, of which the four trials took 7.
"""

import argparse

from rich.console import Console

from kerasae.models import ZOO
from kerasae.tuning import search
from kerasae.tuning.oracle import ORACLES
from kerasae.tuning.space import parse

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Sweeps over any hyperparameters of a family.")
    parser.add_argument("data", nargs="?", default="digits", help="digits, mnist or a file")
    parser.add_argument("--model", default="stacked", choices=list(ZOO), help="family of the zoo")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUES", help="beta=0.01,0.1 or a range"
    )
    parser.add_argument("--tuner", default="grid", choices=list(ORACLES), help="how it searches")
    parser.add_argument("--max-trials", type=int, help="the most trials in all")
    parser.add_argument("--epochs", type=int, default=20, help="most passes over the rows")
    parser.add_argument("--workers", type=int, default=1, help="processes, which share the cores")
    parser.add_argument("--resume", action="store_true", help="goes on with a sweep")
    given = parser.parse_args()
    search(
        given.data,
        parse(given.set),
        f"sweeps/{given.data}-{given.model}",
        model=given.model,
        tuner=given.tuner,
        max_trials=given.max_trials,
        epochs=given.epochs,
        workers=given.workers,
        resume=given.resume,
        console=Console(),
    )
