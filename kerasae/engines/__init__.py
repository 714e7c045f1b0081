"""More than one process or machine: scoring by batches, on engines that exist."""

from kerasae.engines.ray import score_folder
from kerasae.engines.scorer import Scorer
from kerasae.engines.training import fit_by_processes

__all__ = ["Scorer", "fit_by_processes", "score_folder"]
