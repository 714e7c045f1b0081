import keras
import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp, kstest, uniform

from kerasae import (
    anomaly,
    convolutional_autoencoder,
    load_model,
    stacked_autoencoder,
    table_autoencoder,
)
from kerasae.anomaly.two_samples import adjusted, kolmogorov_smirnov, maximum_mean_discrepancy

NAMES = [f"sensor_{i}" for i in range(6)]


def draw(n, seed, mix=None):
    rng = np.random.default_rng(seed)
    plane = np.random.default_rng(0).normal(size=(2, 6)) if mix is None else mix
    return (rng.normal(size=(n, 2)) @ plane + 0.3 * rng.normal(size=(n, 6))).astype("float32")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = stacked_autoencoder((6,), (4, 2), codings_activation="linear")
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(pd.DataFrame(draw(600, 1), columns=NAMES), epochs=15, verbose=0)
    anomaly.calibrate(model, draw(800, 2))
    return model


def test_p_values_are_uniform_without_drift(model):
    found = [
        anomaly.drift(model, draw(200, 2 * i), draw(150, 2 * i + 1), permutations=99)
        for i in range(100, 150)
    ]
    mmd = [one.mmd_p_value for one in found]
    assert kstest(mmd, uniform.cdf).pvalue > 0.01
    for part in ("columns", "codings"):
        for p in np.array([getattr(one, part).p_value for one in found]).T:
            assert kstest(p, uniform.cdf).pvalue > 0.001, part
    # Of all tests together an alarm comes at most so often: 50 times 0.1 is 5, 2 is its spread.
    assert sum(one.p_value <= 0.1 for one in found) <= 11
    assert np.mean([one.mmd for one in found]) == pytest.approx(0, abs=1e-3)


def test_a_column_that_comes_loose_is_named(model):
    rows = draw(500, 3)
    rows[:, 4] = np.random.default_rng(0).permutation(rows[:, 4])  # with its distribution as before
    found = anomaly.drift(model, rows)
    assert found.is_drift
    assert "sensor_4" in found.drifted()
    at = 1 + NAMES.index("sensor_4")
    assert found.columns.name[at] == "sensor_4"
    assert found.columns.now[at] > 2 * found.columns.before[at]
    assert (found.rows, found.reference_rows) == (500, 800)


def test_rows_elsewhere_on_the_plane_are_seen_in_the_codings(model):
    rows = 1.5 * draw(1000, 4)
    found = anomaly.drift(model, rows)
    assert found.is_drift
    assert found.mmd_p_value == 0.001
    assert found.mmd > 0
    assert anomaly.drift(model, draw(1000, 5)).is_drift is False


def test_the_reference_is_saved_with_the_model(model, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    rows = draw(300, 6)
    before, after = (anomaly.drift(one, rows) for one in (model, load_model(path)))
    np.testing.assert_allclose(after.columns.p_value, before.columns.p_value, rtol=1e-6)
    assert after.mmd_p_value == before.mmd_p_value


def test_without_a_reference_one_has_to_be_given(model):
    other = stacked_autoencoder((6,), (2,))
    with pytest.raises(ValueError, match="must hold a reference"):
        anomaly.drift(other, draw(50, 7))
    assert not anomaly.drift(other, draw(50, 7), draw(50, 8)).is_drift
    for options in ({"alpha": 0}, {"correction": "bonferoni"}, {"rows": 1}, {"permutations": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            anomaly.drift(model, draw(50, 7), **options)
    with pytest.raises(ValueError, match="at least 2 rows"):
        anomaly.drift(model, draw(1, 7))


def test_labelled_anomalies_are_not_in_the_reference(model):
    rows, labels = draw(400, 9), np.arange(400) % 4 == 0
    rows[labels] += 50
    state = {}
    model.anomaly.save_own_variables(state)
    anomaly.calibrate(model, rows, labels=labels.astype(int))
    try:
        assert len(model.anomaly.reference.errors) == 300
        assert not anomaly.drift(model, draw(300, 10)).is_drift
    finally:
        model.anomaly.load_own_variables(state)


def test_a_table_names_the_column_of_new_levels():
    rng = np.random.default_rng(0)

    def table(n, colours=("red", "blue")):
        size = rng.normal(size=n)
        size[::10] = np.nan
        colour = np.where(size + 0.1 * rng.normal(size=n) > 0, *colours)
        return pd.DataFrame({"size": size, "colour": colour, "weight": 2 * np.nan_to_num(size)})

    keras.utils.set_random_seed(0)
    model = table_autoencoder(table(400), (8, 1))
    model.fit(table(400), epochs=3, verbose=0)
    anomaly.calibrate(model, table(300))
    assert not anomaly.drift(model, table(300)).is_drift
    assert "colour" in anomaly.drift(model, table(300, ("red", "green"))).drifted()


def test_windows_and_images_are_seen_by_channel():
    made = (stacked_autoencoder((8, 3), (4, 3)), convolutional_autoencoder((4, 4, 2), (2, 4)))
    for model in made:
        rows = np.random.default_rng(0).random((60, *model.row_shape)).astype("float32")
        found = anomaly.drift(model, rows[:30], rows[30:], permutations=9)
        assert len(found.columns.name) == 1 + model.row_shape[-1]


def test_tests_are_those_of_scipy_and_of_formulas():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 3)), rng.normal(0.5, size=(50, 3))
    statistic, p = kolmogorov_smirnov(a, b)
    for i in range(3):
        wanted = ks_2samp(a[:, i], b[:, i])
        assert (statistic[i], p[i]) == (wanted.statistic, wanted.pvalue)
    from scipy.stats import false_discovery_control

    p = rng.random(20) ** 3
    np.testing.assert_allclose(
        adjusted(p, "benjamini-yekutieli"), false_discovery_control(p, method="by")
    )
    order = np.argsort(p)
    steps = [min(1, (20 - i) * p[row]) for i, row in enumerate(order)]
    np.testing.assert_allclose(adjusted(p)[order], np.maximum.accumulate(steps))


def test_the_discrepancy_is_its_formula():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 2)), rng.normal(1, size=(20, 2))
    rows = np.concatenate([a, b])
    distance = np.linalg.norm(rows[:, None] - rows, axis=2)
    sigma = np.median(distance[np.triu_indices(50, 1)])
    kernel = np.exp(-(distance**2) / (2 * sigma**2))
    one, other, both = kernel[:30, :30], kernel[30:, 30:], kernel[:30, 30:]
    wanted = (one.sum() - 30) / (30 * 29) + (other.sum() - 20) / (20 * 19) - 2 * both.mean()
    assert maximum_mean_discrepancy(a, b)[0] == pytest.approx(wanted, rel=1e-4)
    assert maximum_mean_discrepancy(a * 1e30, b * 1e30)[0] == pytest.approx(wanted, rel=1e-4)
    assert maximum_mean_discrepancy(np.ones((9, 2)), np.ones((8, 2))) == (0.0, 1.0)
