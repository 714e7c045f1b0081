"""A family is one layer file, one builder file and an entry in ZOO: two that are not in the zoo."""

import keras
import numpy as np
import pytest

import kerasae
from families.top_k_autoencoder import top_k_autoencoder
from families.vector_quantized import vector_quantized_autoencoder
from kerasae.methods import deep_features
from kerasae.models import recipes

FAMILIES = {"vector-quantized": vector_quantized_autoencoder, "top-k": top_k_autoencoder}


@pytest.fixture(autouse=True)
def zoo(monkeypatch):
    for name, builder in FAMILIES.items():
        monkeypatch.setitem(kerasae.ZOO, name, builder)


@pytest.fixture(params=FAMILIES)
def trained(request, digits):
    model = kerasae.ZOO[request.param]((64,), (40, 16))
    model.compile(keras.optimizers.Adam(0.003))
    model.fit(digits, epochs=6, verbose=0)
    return model


def test_it_trains_and_reports(trained):
    history = trained.history.history
    assert history["mse"][-1] < 0.8 * history["mse"][0]
    reported = {"perplexity", "dead_share"} & set(history)
    assert len(reported) == 1
    assert np.isfinite(history[reported.pop()]).all()
    # The loss has the layer's terms in it.
    assert history["loss"][-1] > history["mse"][-1]


def test_it_saves_and_goes_on_bit_for_bit(trained, digits, tmp_path):
    trained.save(tmp_path / "model.keras")
    loaded = kerasae.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.encode(digits[:50]), trained.encode(digits[:50]))
    for model in (trained, loaded):
        model.fit(digits[:200], shuffle=False, verbose=0)
    np.testing.assert_array_equal(loaded.encode(digits[:50]), trained.encode(digits[:50]))


@pytest.mark.tensorflow
def test_it_is_exported_scored_and_featured(trained, digits, tmp_path, c_library):
    kerasae.anomaly.calibrate(trained, digits[:500])
    folder = kerasae.export_saved_model(trained, tmp_path / "demo")
    x = digits[:20]
    got = c_library(folder, {"encode": x, "anomaly_score": x})
    np.testing.assert_allclose(got["encode/codings"], trained.encode(x), atol=2e-6)
    expected = kerasae.anomaly.score(trained, x).anomaly_score
    np.testing.assert_allclose(got["anomaly_score/anomaly_score"], expected, atol=2e-6)
    assert deep_features(trained, x, "hidden_1").shape == (20, 40)


def test_the_options_of_a_family_are_known_to_the_command():
    assert recipes.family_options("top-k", {"k": 3, "rho": None}) == {"k": 3}
    with pytest.raises(ValueError, match="rho must go with model=sparse"):
        recipes.family_options("vector-quantized", {"rho": 0.1})


def test_the_codings_are_what_the_families_promise(trained, digits):
    codings = trained.encode(digits[:100])
    if trained.name.startswith("top_k"):
        assert (np.count_nonzero(codings, axis=1) <= 4).all()
    else:
        codebook = keras.ops.convert_to_numpy(trained.encoder.get_layer("quantizer").codebook)
        nearest = np.square(codings[:, None] - codebook).sum(axis=-1).min(axis=1)
        np.testing.assert_allclose(nearest, 0, atol=1e-6)


def test_dead_units_learn_what_is_left_over(digits):
    """With the auxiliary loss fewer units stay dead than without."""

    def dead(auxiliary):
        keras.utils.set_random_seed(0)
        model = top_k_autoencoder((64,), (64,), k=2)
        layer = model.encoder.get_layer("top_k")
        layer.auxiliary = auxiliary
        model.compile(keras.optimizers.Adam(0.01))
        history = model.fit(digits, epochs=15, verbose=0).history
        return history["dead_share"][-1]

    assert dead(1.0) < dead(0.0)
