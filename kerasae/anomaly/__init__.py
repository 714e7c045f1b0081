"""Anomalies: scores, thresholds and p-values of rows, and training without the worst rows."""

from kerasae.anomaly.calibration import AnomalyCalibration
from kerasae.anomaly.scores import Scores, calibrate, score, threshold_rule
from kerasae.anomaly.trimming import Trimmed, trim_and_refit

__all__ = [
    "AnomalyCalibration",
    "Scores",
    "Trimmed",
    "calibrate",
    "score",
    "threshold_rule",
    "trim_and_refit",
]
