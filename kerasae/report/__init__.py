"""The report of a trained model: one HTML file, a model card, and what the page shows of it."""

from kerasae.report.facts import FACTS, Training, stored_training
from kerasae.report.findings import MOST_ROWS
from kerasae.report.model import CARD, REPORT, write_report

__all__ = [
    "CARD",
    "FACTS",
    "MOST_ROWS",
    "REPORT",
    "Training",
    "stored_training",
    "write_report",
]
