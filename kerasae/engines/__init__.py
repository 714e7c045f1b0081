"""More than one process or machine: scoring by batches, on engines that exist."""

from kerasae.engines.ray import score_folder
from kerasae.engines.scorer import Scorer

__all__ = ["Scorer", "score_folder"]
