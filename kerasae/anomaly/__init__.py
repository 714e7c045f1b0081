"""Anomalies: scores, thresholds and p-values of rows, and training without the worst rows."""

from kerasae.anomaly.calibration import AnomalyCalibration
from kerasae.anomaly.detector import Detector
from kerasae.anomaly.explanation import Explanation, explain
from kerasae.anomaly.learning import learn_parts
from kerasae.anomaly.maps import anomaly_maps, error_maps, worst_region
from kerasae.anomaly.parts import ScoreParts
from kerasae.anomaly.scores import Scores, calibrate, score, threshold_rule
from kerasae.anomaly.trimming import Trimmed, trim_and_refit

__all__ = [
    "AnomalyCalibration",
    "Detector",
    "Explanation",
    "ScoreParts",
    "Scores",
    "Trimmed",
    "anomaly_maps",
    "calibrate",
    "error_maps",
    "explain",
    "learn_parts",
    "score",
    "threshold_rule",
    "trim_and_refit",
    "worst_region",
]
