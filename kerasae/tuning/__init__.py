"""Sweeps over hyperparameters that lose nothing, installed as `kerasae.tuning`."""

from kerasae.tuning.results import best_model, leaderboard
from kerasae.tuning.search import search

__all__ = ["best_model", "leaderboard", "search"]
