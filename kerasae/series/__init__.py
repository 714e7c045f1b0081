"""Series: windows, scores of each step, spans that are anomalies, and new steps as they come."""

from kerasae.series.anomalies import Anomaly, find_anomalies, merged
from kerasae.series.calibration import NormalScores, StepCalibration
from kerasae.series.metrics import EventMetrics, event_metrics, range_auc, spans
from kerasae.series.scores import StepScores, calibrate, score
from kerasae.series.stream import Stream
from kerasae.series.windows import Windows, windows

__all__ = [
    "Anomaly",
    "EventMetrics",
    "NormalScores",
    "StepCalibration",
    "StepScores",
    "Stream",
    "Windows",
    "calibrate",
    "event_metrics",
    "find_anomalies",
    "merged",
    "range_auc",
    "score",
    "spans",
    "windows",
]
