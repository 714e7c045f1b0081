"""A detector: its two parts, its contributions, what it refuses, and its export."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from scipy.stats import kstest, uniform
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

import kerasae
from kerasae import anomaly
from kerasae.anomaly import AnomalyCalibration, Detector
from kerasae.anomaly.learning import own_distances
from kerasae.anomaly.parts import nearest_rows, residual_norms

COLUMNS = tuple("abcdef")


def draw(n, seed=0):
    """Rows of five columns in units of their own, and their sum."""
    x = np.random.default_rng(seed).normal(size=(n, 5)) * [1, 10, 0.1, 3, 1] + [0, 5, 0, 0, -2]
    return np.column_stack([x, (x / [1, 10, 0.1, 3, 1]).sum(axis=1)]).astype("float32")


def broken(rows):
    """Rows whose sum is not theirs, though each value is an ordinary one."""
    return np.column_stack([rows[:, :5], np.roll(rows[:, 5], 1)])


@pytest.fixture(scope="module")
def fitted():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(draw(1500), columns=COLUMNS)
    return Detector(steps=800, memory=1000).fit(table, verbose=0)


@pytest.fixture(scope="module")
def new():
    return draw(1000, seed=1)


def test_it_finds_what_breaks_the_relations_and_what_is_far(fitted, new):
    far = new + 8 * np.array([1, 10, 0.1, 3, 1, 1])
    labels = np.repeat([0, 1], 1000)
    for odd, least in ((broken(new), 0.85), (far, 0.999)):
        found = fitted.explain(np.concatenate([new, odd]))
        area = roc_auc_score(labels, found.anomaly_score)
        assert area > least
        if odd is not far:
            assert roc_auc_score(labels, found.within) > roc_auc_score(labels, found.between)


def test_p_values_of_new_normal_rows_are_uniform_or_larger(fitted, new):
    p = fitted.score(new).p_value
    assert kstest(p, uniform.cdf, alternative="greater").pvalue > 0.01
    assert kstest(p, uniform.cdf).statistic < 0.1
    assert fitted.score(new).is_anomaly.mean() < 0.03


def test_contributions_add_up_and_name_the_column(fitted, new):
    odd = new[:50].copy()
    odd[:, 2] += 1.0  # ten standard deviations
    found = fitted.explain(odd)
    scores = fitted.score(odd).anomaly_score
    np.testing.assert_allclose(found.anomaly_score, scores, rtol=1e-5)
    np.testing.assert_allclose(found.within + found.between, scores, rtol=1e-5)
    np.testing.assert_allclose(found.contributions.sum(axis=1), scores, rtol=1e-5)
    assert (found.contributions >= 0).all()
    assert (found.contributions.argmax(axis=1) == 2).all()
    (name, share, expected), *_ = found.worst(0, columns=COLUMNS)
    assert name == "c"
    assert share > 0.3
    assert expected < odd[0, 2]


def test_the_parts_are_those_of_the_formula(fitted, new):
    model, parts = fitted.model, fitted.model.anomaly.parts
    scaled, residuals = map(ops.convert_to_numpy, model._residuals(new[:20], parts.levels))
    norms = np.linalg.norm(residuals / parts.scales, axis=2)
    within = np.exp(np.log(norms).mean(axis=1)) / parts.residual_scale
    index = NearestNeighbors(n_neighbors=5).fit(parts.memory)
    among_themselves, nearest = index.kneighbors()[0], index.kneighbors(scaled)[0]
    # The nearest, and the mean of five, each over its own mean.
    ratios = [nearest[:, :k].mean(axis=1) / among_themselves[:, :k].mean() for k in (1, 5)]
    expected = within + np.mean(ratios, axis=0)
    np.testing.assert_allclose(fitted.score(new[:20]).anomaly_score, expected, rtol=1e-4)
    at = [parts.levels[0]] * 2
    _, twice = map(ops.convert_to_numpy, model._residuals(new[:20], at))
    np.testing.assert_array_equal(twice[:, 0], twice[:, 1])
    np.testing.assert_allclose(
        fitted.score(new[:20]).feature_errors, np.square(residuals[:, 0]), rtol=1e-5, atol=1e-7
    )


def test_norms_of_very_large_and_very_small_residuals_are_finite():
    residuals = np.array([[[3e30, 4e30]], [[0.0, 0.0]], [[3e-30, 4e-30]]], "float32")
    norms, shares = map(ops.convert_to_numpy, residual_norms(residuals, np.ones((1, 2), "float32")))
    assert norms[0] == pytest.approx(5e30, rel=1e-5)
    assert np.isfinite(norms).all()
    np.testing.assert_allclose(shares[0, 0], [0.36, 0.64], rtol=1e-5)


@pytest.mark.parametrize(("kept", "neighbors"), [(50, 2), (1000, 5), (1000, 70)])
def test_distances_are_exact_far_from_the_origin(kept, neighbors):
    rng = np.random.default_rng(0)
    memory = (1000 + rng.normal(size=(kept, 3))).astype("float32")
    rows = memory[:10] + np.float32(1e-3)
    got, _ = nearest_rows(rows, memory, neighbors)
    expected, _ = NearestNeighbors(n_neighbors=neighbors).fit(memory).kneighbors(rows)
    np.testing.assert_allclose(ops.convert_to_numpy(got), expected, rtol=1e-4)


def test_own_scores_do_not_meet_themselves(fitted):
    rows = draw(1500)
    own = fitted.training_scores(rows)
    scores = fitted.score(rows).anomaly_score
    assert len(own) == 1500
    met = own > scores + 1e-6
    # The memory has a thousand of them; of the others the scores are the same.
    assert met.mean() == pytest.approx(1000 / 1500, abs=0.01)


def test_few_rows_are_enough_and_give_the_same_scores():
    rows = draw(50)
    keras.utils.set_random_seed(1)
    detector = Detector(steps=100).fit(rows, verbose=0)
    keras.utils.set_random_seed(2)
    again = Detector(steps=100).fit(rows, verbose=0)
    assert len(detector.model.anomaly.scores) == 10
    assert len(detector.model.anomaly.parts.memory) == 50
    found = detector.score(rows + np.float32(100))
    assert found.is_anomaly.all()
    np.testing.assert_allclose(found.p_value, 1 / 11)
    np.testing.assert_array_equal(
        detector.score(rows).anomaly_score, again.score(rows).anomaly_score
    )


def test_rows_are_compared_with_the_first_of_them_and_not_with_themselves(fitted):
    rows = draw(300, seed=3)
    scaled = ops.convert_to_numpy(fitted.model.scaler(rows))
    distances = np.linalg.norm(scaled[:, None] - scaled[None, :100], axis=2)
    distances[np.arange(100), np.arange(100)] = np.inf
    expected = np.sort(distances, axis=1)[:, :10].mean(axis=1)
    found = own_distances(fitted.model, rows, 100, 0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_anomalies_among_the_training_rows_are_left_out():
    rows = np.concatenate([draw(950), broken(draw(50, seed=2)) + np.float32([4, 0, 0, 0, 0, 0])])
    detector = Detector(contamination=0.1, steps=300).fit(rows, verbose=0)
    assert detector.kept.mean() == pytest.approx(0.9, abs=0.002)
    assert (~detector.kept[950:]).mean() > 0.8
    # The scaler is that of all rows.
    np.testing.assert_allclose(np.ravel(detector.model.scaler.mean), rows.mean(axis=0), atol=1e-5)


def test_what_is_copied_or_constant_is_scored_too():
    rows = np.repeat(draw(20), 10, axis=0)
    rows[:, 1] = 7
    with pytest.warns(UserWarning, match="constant"):
        detector = Detector(steps=100).fit(rows, verbose=0)
    scores = detector.score(rows).anomaly_score
    assert np.isfinite(scores).all()
    assert detector.score(rows[:1] + np.float32([0, 3, 0, 0, 0, 0])).anomaly_score > scores.max()


def test_a_model_of_another_family_takes_parts_too(digits):
    model = kerasae.stacked_autoencoder((64,), (8,))
    model.fit(digits[:1000], epochs=3, verbose=0)
    parts = anomaly.learn_parts(model, digits[:1000], memory=300, neighbors=2, seed=0)
    assert np.isnan(parts.levels).all()
    anomaly.calibrate(model, digits[1000:1500], "p95", parts=parts)
    found = anomaly.score(model, 1 - digits[1500:])
    assert found.is_anomaly.mean() > 0.95
    np.testing.assert_allclose(
        anomaly.explain(model, digits[1500:]).contributions.sum(axis=1),
        anomaly.score(model, digits[1500:]).anomaly_score,
        rtol=1e-5,
    )


def test_it_is_saved_and_loaded_with_its_memory(fitted, new, tmp_path):
    fitted.model.save(tmp_path / "model.keras")
    loaded = kerasae.load_model(tmp_path / "model.keras")
    assert loaded.columns == COLUMNS
    for one, other in zip(
        fitted.score(new[:50])[:-1],
        anomaly.score(loaded, new[:50], batch_size=4096)[:-1],
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    loaded.fit(new[:50], verbose=0)
    with pytest.raises(ValueError, match="calibrated with parts"):
        anomaly.explain(loaded, new[:5])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scales", np.ones((4, 5))),
        ("memory", np.ones((1, 5))),
        ("memory", np.full((1000, 6), np.nan)),
        ("weights", np.ones(0)),
        ("weights", np.array([1.0, -1.0])),
        ("residual_scale", np.array(0.0)),
    ],
)
def test_damaged_parts_are_not_loaded(fitted, name, value):
    store = {}
    fitted.model.anomaly.save_own_variables(store)
    with pytest.raises(ValueError, match="the calibration must hold"):
        AnomalyCalibration().load_own_variables({**store, f"part_{name}": value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"contamination": 0.5}, "contamination must lie in"),
        ({"held_out": 1}, "held_out must lie in"),
        ({"steps": 10}, "steps must be at least 100"),
        ({"threshold": "99"}, "threshold must be"),
        ({"neighbors": 0}, "neighbors must be"),
        ({"neighbors": ()}, "neighbors must be"),
        ({"neighbors": "5"}, "neighbors must be a whole number .* Received: neighbors='5'"),
        ({"steps": "500"}, "steps must be a whole number"),
        ({"contamination": "auto"}, "contamination must lie in .* Received: contamination='auto'"),
        ({"held_out": "0.2"}, "held_out must lie in"),
        ({"levels": "0.2"}, "levels must be above 0"),
        ({"hidden_units": 64}, "hidden_units must be widths of layers. Received: hidden_units=64"),
        ({"hidden_units": (64, 0)}, "hidden_units must be a whole number of at least 1"),
        ({"neighbors": (1, 1.5)}, "neighbors must be"),
        ({"memory": 1}, "memory must be at least 2"),
        ({"memory": 3.5}, "memory must be"),
        ({"levels": ()}, "levels must be above 0"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Detector(**arguments)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (np.ones((9, 2)), ValueError, "x must have at least 10 rows. Received: 9 rows"),
        (np.ones((20, 2, 2)), ValueError, "x must have shape"),
        (np.full((20, 2), np.inf), ValueError, "infinite cells"),
        (np.array([[1.0, np.nan]] * 20), ValueError, "NaN in all rows of column 1. Try leaving"),
        (np.array([[np.inf, 1.0], [1.0, np.nan]] * 10), ValueError, "infinity in row 0"),
        ((row for row in np.ones((20, 2))), TypeError, "x must be an array of rows in memory"),
    ],
)
def test_rows_that_cannot_be_learnt_are_refused(rows, error, message):
    with pytest.raises(error, match=message):
        Detector().fit(rows)


def test_it_says_that_it_must_be_fitted_or_calibrated(new):
    with pytest.raises(ValueError, match=r"the detector must be fitted first.*Try fit\(x\)"):
        Detector().score(new)
    with pytest.raises(ValueError, match="calibrated with parts"):
        anomaly.explain(kerasae.stacked_autoencoder((6,), (2,)), new)


def run_saved_model(folder, signature, rows):
    import tensorflow as tf

    got = tf.saved_model.load(str(folder)).signatures[signature](rows=tf.constant(rows))
    return {name: value.numpy() for name, value in got.items()}


def run_onnx(folder, signature, rows):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(folder / f"{signature}.onnx")
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, {"rows": rows}), strict=True))


def run_litert(folder, signature, rows):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    file = interpreter.Interpreter(model_path=str(folder / "model.tflite"))
    return file.get_signature_runner(signature)(rows=rows)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("export", "run"),
    [
        (kerasae.export_saved_model, run_saved_model),
        (kerasae.export_onnx, run_onnx),
        (kerasae.export_litert, run_litert),
    ],
    ids=["saved_model", "onnx", "litert"],
)
def test_the_export_scores_and_explains_as_the_detector(fitted, new, export, run, tmp_path):
    if run is run_onnx:
        pytest.importorskip("tf2onnx")
    folder = export(fitted.model, tmp_path / "demo")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {"anomaly_score", "explain"} <= set(manifest["signatures"])
    odd = np.concatenate([new[:60], broken(new[:30]), 30 * new[:10]])
    expected = fitted.score(odd)._asdict()
    del expected["worst"]  # which is only of `top`
    for batch in (100, 1):
        got = run(folder, "anomaly_score", odd[:batch])
        assert set(got) == set(expected)
        for name in ("anomaly_score", "reconstruction_error", "feature_errors"):
            np.testing.assert_allclose(got[name], expected[name][:batch], rtol=2e-4, atol=1e-5)
        # A row's p-value may be the next one where its score is that of a held-out row.
        assert np.abs(got["p_value"] - expected["p_value"][:batch]).max() < 2.1 / 301
        # To the last digit a fraction of that many rows, in every runtime.
        rows = len(fitted.model.anomaly.scores) + 1
        of_rows = np.round(got["p_value"].astype("float64") * rows) / rows
        np.testing.assert_array_equal(got["p_value"], of_rows.astype("float32"))
        explained = run(folder, "explain", odd[:batch])
        for name, value in fitted.explain(odd)._asdict().items():
            np.testing.assert_allclose(
                explained[name], value[:batch], rtol=2e-4, atol=2e-4, err_msg=name
            )
    # A row that is not finite has no nearest row, and leaves the others of its batch as they are.
    odd[1, 2], odd[2, 0] = np.inf, np.nan
    got = run(folder, "anomaly_score", odd[:100])
    assert got["is_anomaly"][1:3].all()
    others = np.delete(np.arange(100), [1, 2])
    np.testing.assert_allclose(
        got["anomaly_score"][others], expected["anomaly_score"][others], rtol=2e-4
    )


def parts_table(rows, seed):
    """A weight follows from a size and a material; some cells are missing."""
    rng = np.random.default_rng(seed)
    material = rng.choice(["steel", "wood", "glass"], rows, p=[0.6, 0.3, 0.1])
    size = rng.normal(10, 2, rows)
    density = np.select([material == "steel", material == "wood"], [7.8, 0.6], 2.5)
    weight = size * density * (1 + 0.02 * rng.normal(size=rows))
    cells = {"material": material.astype(object), "size": size, "weight": weight}
    cells["size"][rng.random(rows) < 0.1] = np.nan
    cells["material"][rng.random(rows) < 0.05] = None
    return {name: list(values) for name, values in cells.items()}


@pytest.fixture(scope="module")
def of_table():
    return Detector(steps=800).fit(parts_table(1200, 0), verbose=0)


def test_a_table_of_words_and_missing_cells_is_learnt_in_one_call(of_table):
    new, odd = parts_table(300, 1), parts_table(300, 2)
    swapped = {"steel": "wood", "wood": "steel", "glass": "steel", None: None}
    odd["material"] = [swapped[one] for one in odd["material"]]
    known = np.array([one is not None for one in odd["material"]])
    scores = of_table.score(new)
    flagged = of_table.score(odd).is_anomaly
    assert scores.is_anomaly.mean() < 0.05
    assert flagged[known].mean() > 0.8
    why = of_table.explain(odd)
    assert why.contributions.shape == (300, 3)
    np.testing.assert_allclose(why.contributions.sum(axis=1), why.anomaly_score, rtol=1e-4)
    named = {why.worst(int(i), 1, of_table.model.columns)[0][0] for i in np.flatnonzero(known)[:20]}
    assert named <= {"material", "weight"}
    assert why.expected[0, 0] in ("steel", "wood", "glass")


def test_missing_cells_add_nothing_and_unseen_levels_much(of_table):
    row = {"material": "steel", "size": 10.0, "weight": 78.0}
    rows = [row, {**row, "size": None}, {**row, "material": "gold"}]
    why = of_table.explain(rows)
    assert why.anomaly_score[1] < 3 < why.anomaly_score[2]
    assert why.worst(2, 1, of_table.model.columns)[0][0] == "material"


def test_an_array_with_missing_cells_is_learnt_as_a_table_of_numbers(new):
    rows = draw(900).astype("float64")
    rows[np.random.default_rng(0).random(rows.shape) < 0.1] = np.nan
    detector = Detector(steps=400).fit(rows, columns=COLUMNS, verbose=0)
    assert detector.model.columns == COLUMNS
    scores = detector.score(np.concatenate([new[:300], broken(new[:300])])).anomaly_score
    assert roc_auc_score(np.repeat([0, 1], 300), scores) > 0.7
    one = new[:1].copy()
    one[0, 1] = np.nan
    why = detector.explain(one)
    assert why.anomaly_score < 3
    assert np.isnan(one[0, 1])
    np.testing.assert_allclose(why.contributions.sum(axis=1), why.anomaly_score, rtol=1e-4)


def test_a_table_far_from_zero_keeps_its_digits():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(np.random.default_rng(0).integers(0, 1000, (300, 3)))
    table.columns = ["a", "b", "c"]
    odd = pandas.concat([table[:20], table[:20] + 5000])
    near, far = (
        Detector(steps=100).fit(table + offset, verbose=0).score(odd + offset)
        for offset in (0, 10**12)
    )
    assert far.is_anomaly[20:].all()
    np.testing.assert_allclose(far.anomaly_score, near.anomaly_score, rtol=1e-3)


def test_the_detector_of_a_table_is_saved_with_its_columns(of_table, tmp_path):
    of_table.model.save(tmp_path / "model.keras")
    loaded = kerasae.load_model(tmp_path / "model.keras")
    new = parts_table(50, 3)
    np.testing.assert_allclose(
        anomaly.score(loaded, new).anomaly_score, of_table.score(new).anomaly_score, rtol=1e-5
    )
    worst = anomaly.worst_columns(loaded, new, top=2)
    assert set(worst.column.ravel()) <= {"material", "size", "weight"}


def test_rows_like_many_others_are_not_flagged_by_their_last_digit():
    rows = np.repeat([[1.0, 2.0], [3.0, 4.0]], 30, axis=0)
    found = Detector(steps=100).fit(rows, verbose=0).score(rows)
    assert not found.is_anomaly.any()
    assert found.p_value.min() > 0.2


def test_anomalies_that_are_many_and_alike_are_left_out():
    rng = np.random.default_rng(0)
    alike = rng.normal(6, 0.1, size=(40, 6)).astype("float32")
    rows = np.concatenate([draw(960), alike])
    detector = Detector(contamination=0.1, steps=100).fit(rows, verbose=0)
    assert (~detector.kept[960:]).all()
    # A twentieth of the memory counts as near.
    np.testing.assert_allclose(np.diff(detector.model.anomaly.parts.weights), np.zeros(24))


def test_of_many_rows_only_those_that_are_drawn_are_looked_at(monkeypatch):
    monkeypatch.setattr("kerasae.anomaly.detector.TRAINING_ROWS", 300)
    detector = Detector(contamination=0.1, steps=100).fit(draw(3000), verbose=0)
    # 300 to train on and 600 held out.
    assert (~detector.kept).sum() == 90


@pytest.mark.tensorflow
def test_the_saved_model_of_a_table_explains_as_the_detector(of_table, tmp_path):
    import tensorflow as tf

    folder = kerasae.export_saved_model(of_table.model, tmp_path / "demo")
    rows = {
        "material": ["steel", "wood", ""],
        "size": [10.0, 14.0, 9.0],
        "weight": [9.0, 8.0, 70.0],
    }
    explain = tf.saved_model.load(str(folder)).signatures["explain"]
    dtypes = {"material": tf.string}
    got = explain(
        **{name: tf.constant(cells, dtypes.get(name, tf.float32)) for name, cells in rows.items()}
    )
    rows["material"][2] = None
    expected = of_table.explain(rows)
    for name in ("anomaly_score", "within", "between", "contributions"):
        np.testing.assert_allclose(got[name], getattr(expected, name), rtol=1e-4)
    assert got["expected"].shape == (3, 3)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_onnx_of_a_table_takes_its_codes(of_table, tmp_path):
    pytest.importorskip("tf2onnx")
    folder = kerasae.export_onnx(of_table.model, tmp_path / "demo")
    new = parts_table(40, 4)
    got = run_onnx(folder, "anomaly_score", of_table.model.schema.codes(new))
    np.testing.assert_allclose(
        got["anomaly_score"], of_table.score(new).anomaly_score, rtol=2e-4, atol=1e-5
    )
