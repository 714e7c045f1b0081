import keras
import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

import kerasae
from kerasae import anomaly, robust_decomposition
from kerasae.methods import group_threshold, soft_threshold


@pytest.mark.parametrize("lam", [0.0, 0.3, 2.0])
def test_soft_threshold_minimises_its_objective(lam):
    grid = np.linspace(-5, 5, 20001)
    for s in (-3.0, -0.2, 0.0, 0.7, 2.5):
        best = grid[np.argmin(0.5 * (grid - s) ** 2 + lam * np.abs(grid))]
        assert soft_threshold(np.array([s]), lam)[0] == pytest.approx(best, abs=5e-4)


@pytest.mark.parametrize("lam", [0.0, 0.5, 10.0])
def test_group_threshold_minimises_its_objective(lam):
    s = np.random.default_rng(0).normal(size=(4, 3))
    for axis, groups in ((1, s), (0, s.T)):
        got = group_threshold(s, lam, axis)
        for group, shrunk in zip(groups, got if axis else got.T, strict=True):

            def objective(z, group=group):
                return 0.5 * np.sum((z - group) ** 2) + lam * np.linalg.norm(z)

            best = minimize(objective, group, method="Nelder-Mead", options={"xatol": 1e-7})
            assert objective(shrunk) <= best.fun + 1e-9
            np.testing.assert_allclose(shrunk, best.x, atol=2e-3)


def test_thresholds_of_nothing_are_nothing():
    zeros = np.zeros((3, 2), "float32")
    np.testing.assert_array_equal(group_threshold(zeros, 0.0, 1), zeros)
    np.testing.assert_array_equal(group_threshold(zeros, 1.0, (0, 1)), zeros)
    assert group_threshold(zeros, 1.0, 0).dtype == soft_threshold(zeros, 1.0).dtype == "float32"


def linear(columns, codings, scaler=None):
    keras.utils.set_random_seed(0)
    model = kerasae.stacked_autoencoder((columns,), codings, activation="linear", scaler=scaler)
    model.compile(keras.optimizers.Adam(0.01))
    return model


@pytest.fixture(scope="module")
def spiked():
    """Rows of a space of three dimensions, spikes in 3 % of the entries, and both."""
    rng = np.random.default_rng(0)
    low = rng.normal(size=(600, 3)) @ rng.normal(size=(3, 20))
    low = (low / low.std()).astype("float32")
    heights = rng.choice([-1, 1], size=low.shape) * rng.uniform(4, 8, size=low.shape)
    spikes = np.where(rng.uniform(size=low.shape) < 0.03, heights, 0).astype("float32")
    return low, spikes, low + spikes


def test_a_low_rank_table_is_separated_from_its_spikes(spiked):
    low, spikes, x = spiked
    model = linear(20, 3)
    split = robust_decomposition(model, x, penalty=0.5, rounds=12, epochs=5, batch_size=64)
    # Where spikes are shrunk, the penalty stays in L; what the model makes of it is nearer.
    assert np.sqrt(np.mean((split.low_dimensional - low) ** 2)) < 0.15
    assert np.sqrt(np.mean((model.reconstruct(split.low_dimensional) - low) ** 2)) < 0.1
    found = split.sparse != 0
    assert found[spikes != 0].mean() > 0.99
    assert (spikes != 0)[found].mean() > 0.95
    assert (np.sign(split.sparse) == np.sign(spikes))[spikes != 0].mean() > 0.99
    scores = np.sqrt(np.mean(split.sparse**2, axis=1))
    np.testing.assert_allclose(split.scores, scores, rtol=1e-4, atol=1e-6)
    assert split.history["change"][-1] < 0.1 * split.history["change"][1]


@pytest.mark.parametrize("norm", ["l1", "rows", "columns"])
@pytest.mark.parametrize("scaler", [None, kerasae.RangeScaling])
def test_x_is_the_sum_of_its_parts_in_its_own_units(spiked, norm, scaler):
    x = spiked[2] * 30 + 1000
    if scaler is not None:
        scaler = scaler()
        scaler.adapt(x)
    else:
        x = spiked[2]
    model = linear(20, 3, scaler)
    split = robust_decomposition(model, x, penalty=0.05, norm=norm, rounds=2)
    low, sparse = split.low_dimensional, split.sparse
    assert low.dtype == sparse.dtype == "float32"
    np.testing.assert_allclose(low + sparse, x, rtol=1e-6, atol=1e-5)
    untouched = sparse == 0
    np.testing.assert_array_equal(low[untouched], x[untouched])
    if norm == "rows":
        assert ((split.scores == 0) == untouched.all(axis=1)).all()


@pytest.mark.slow
def test_planted_rows_of_digits_are_flagged(digits):
    labels = kerasae.datasets.load("digits").y
    zeros, others = digits[labels == 0], digits[labels != 0][:18]
    x, planted = np.concatenate([zeros, others]), np.repeat([0, 1], [len(zeros), 18])
    model = kerasae.stacked_autoencoder((64,), (32, 6))
    model.compile(keras.optimizers.Adam(0.005))
    split = robust_decomposition(
        model, x, penalty=0.13, norm="rows", rounds=5, epochs=10, batch_size=32
    )
    assert roc_auc_score(planted, split.scores) > 0.95
    assert (split.scores[planted == 1] > 0).mean() > 0.9
    assert (split.scores[planted == 0] > 0).mean() < 0.3


def test_a_corrupted_column_is_found(spiked):
    x = spiked[0].copy()
    x[:, 7] = np.random.default_rng(1).normal(size=len(x)) * 2
    split = robust_decomposition(
        linear(20, 3), x, penalty=0.6, norm="columns", rounds=8, epochs=5, batch_size=64
    )
    assert np.flatnonzero((split.sparse != 0).any(axis=0)).tolist() == [7]


def test_images_keep_their_shape(digits):
    model = kerasae.convolutional_autoencoder((8, 8, 1), (4, 5))
    split = robust_decomposition(model, digits[:50], penalty=0.1, norm="rows", rounds=1)
    assert split.low_dimensional.shape == split.sparse.shape == (50, 8, 8, 1)
    assert split.scores.shape == (50,)


def test_it_stops_where_nothing_changes(spiked, capsys):
    split = robust_decomposition(
        linear(20, 3), spiked[0], penalty=9.0, rounds=30, tolerance=0.1, batch_size=64
    )
    history = split.history
    stopped = [min(pair) < 0.1 for pair in zip(history["residual"], history["change"], strict=True)]
    assert 1 < len(stopped) < 30
    assert stopped == [False] * (len(stopped) - 1) + [True]
    assert not split.sparse.any()
    assert not capsys.readouterr().out
    robust_decomposition(linear(20, 3), spiked[0], penalty=9.0, rounds=1, verbose=1)
    assert "round 1 of 1: loss" in capsys.readouterr().out


def test_the_arguments_of_fit_are_those_of_every_round(spiked):
    epochs, steps = [], []
    watching = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: epochs.append(0),
        on_epoch_end=lambda epoch, logs: epochs.append(logs["val_mse"]),
        on_batch_end=lambda batch, logs: steps.append(batch),
    )
    model = linear(20, 3)
    model.compile(keras.optimizers.Adam(0.01), steps_per_execution=1)
    robust_decomposition(
        model,
        spiked[0],
        penalty=1.0,
        rounds=2,
        tolerance=0,
        epochs=3,
        batch_size=200,
        validation_data=spiked[0][:50],
        callbacks=[watching],
    )
    assert [value == 0 for value in epochs] == [True, False, False, False] * 2
    assert steps == [0, 1, 2] * 6
    with pytest.raises(TypeError, match="unexpected keyword argument 'shufle'"):
        robust_decomposition(model, spiked[0], penalty=1.0, shufle=False)


@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (1, 1), ("auto", 1)])
def test_verbose_is_a_number_or_auto(spiked, capsys, verbose, lines):
    robust_decomposition(linear(20, 3), spiked[0], penalty=9.0, rounds=1, verbose=verbose)
    assert len(capsys.readouterr().out.splitlines()) == lines


def test_a_calibration_is_cleared(spiked):
    model = linear(20, 3)
    anomaly.calibrate(model, spiked[0])
    robust_decomposition(model, spiked[0], penalty=1.0, rounds=1)
    assert not model.anomaly.fitted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"penalty": 0}, "penalty"),
        ({"penalty": float("nan")}, "penalty"),
        ({"penalty": 1, "norm": "row"}, "norm must be one of .*norm='row'. Try rows"),
        ({"penalty": 1, "rounds": 0}, "rounds"),
        ({"penalty": 1, "tolerance": -1}, "tolerance"),
        ({"penalty": 1, "epochs": 0}, "epochs"),
        ({"penalty": 1, "batch_size": 0}, "batch_size"),
    ],
)
def test_impossible_arguments_are_refused(spiked, arguments, message):
    with pytest.raises(ValueError, match=message):
        robust_decomposition(linear(20, 3), spiked[2], **arguments)


def test_rows_are_checked(spiked):
    bad = spiked[2].copy()
    bad[1, 2] = np.inf
    with pytest.raises(ValueError, match="first in row 1, column 2"):
        robust_decomposition(linear(20, 3), bad, penalty=1)
    with pytest.raises(TypeError, match="x must be an array"):
        robust_decomposition(linear(20, 3), iter([bad]), penalty=1)
