"""Anomalies: scores, thresholds and p-values of rows, and training without the worst rows."""

from kerasae.anomaly.calibration import AnomalyCalibration
from kerasae.anomaly.detector import Detector
from kerasae.anomaly.drift import Drift, DriftTests, drift
from kerasae.anomaly.explanation import Explanation, explain
from kerasae.anomaly.labels import Ranking, by_labels, labelled_threshold, ranking
from kerasae.anomaly.learning import learn_parts
from kerasae.anomaly.maps import anomaly_maps, error_maps, worst_region
from kerasae.anomaly.online import partial_fit
from kerasae.anomaly.parts import ScoreParts
from kerasae.anomaly.scores import Scores, calibrate, score, threshold_rule
from kerasae.anomaly.trimming import Trimmed, trim_and_refit
from kerasae.anomaly.worst_columns import WorstColumns, worst_columns

__all__ = [
    "AnomalyCalibration",
    "Detector",
    "Drift",
    "DriftTests",
    "Explanation",
    "Ranking",
    "ScoreParts",
    "Scores",
    "Trimmed",
    "WorstColumns",
    "anomaly_maps",
    "by_labels",
    "calibrate",
    "drift",
    "error_maps",
    "explain",
    "labelled_threshold",
    "learn_parts",
    "partial_fit",
    "ranking",
    "score",
    "threshold_rule",
    "trim_and_refit",
    "worst_columns",
    "worst_region",
]
