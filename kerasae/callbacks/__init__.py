"""Callbacks for the stock `fit`, one a file; nothing here is needed to train."""

from kerasae.callbacks.atomic_backup import AtomicBackup
from kerasae.callbacks.average_activation import AverageActivation
from kerasae.callbacks.penalty_warmup import PenaltyWarmup
from kerasae.callbacks.reconstruction_gallery import ReconstructionGallery
from kerasae.callbacks.stability_guard import DivergedError, StabilityGuard

__all__ = [
    "AtomicBackup",
    "AverageActivation",
    "DivergedError",
    "PenaltyWarmup",
    "ReconstructionGallery",
    "StabilityGuard",
]
