"""Estimators of scikit-learn: deep features as a transformer, and a detector of outliers."""

from kerasae.sklearn.detector import AutoencoderDetector
from kerasae.sklearn.transformer import AutoencoderTransformer

__all__ = ["AutoencoderDetector", "AutoencoderTransformer"]
