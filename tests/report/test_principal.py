import numpy as np
import pytest
from sklearn.decomposition import PCA

from kerasae.report import principal


@pytest.mark.parametrize("exact", [1000, 0])
@pytest.mark.parametrize("shape", [(200, 12), (8, 30)])
def test_reconstructions_are_those_of_scikit_learn(shape, exact, monkeypatch):
    monkeypatch.setattr(principal, "EXACT", exact)
    random = np.random.default_rng(0)
    x = (random.normal(size=shape) * np.arange(1, shape[1] + 1) + 100).astype("float32")
    pca = PCA(4).fit(x)
    expected = pca.inverse_transform(pca.transform(x))
    np.testing.assert_allclose(principal.principal(x, 4)(x), expected, rtol=1e-4)
