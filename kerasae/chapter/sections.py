"""The sections of the chapter by their numbers."""

from kerasae.chapter.anomalies import anomalies
from kerasae.chapter.denoising import denoising
from kerasae.chapter.sparse import sparse
from kerasae.chapter.stacks import beside_pca, grid, sampled

SECTIONS = {
    "19.2.1": beside_pca,
    "19.2.2": grid,
    "19.2.3": sampled,
    "19.3": sparse,
    "19.4": denoising,
    "19.5": anomalies,
}
