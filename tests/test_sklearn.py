"""scikit-learn's contract, and what the estimators add to the models that they fit."""

import copy
import math
import pickle
import random

import joblib
import keras
import numpy as np
import pandas as pd
import pytest
from sklearn import datasets
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks as checks

import kerasae
from kerasae.callbacks.stability_guard import DivergedError
from kerasae.models import recipes
from kerasae.sklearn import AutoencoderDetector, AutoencoderTransformer
from kerasae.sklearn.copies import as_weights
from kerasae.sklearn.detector import lower_quantile

# One pass in one batch: what a check looks at does not depend on more, and dozens of fits are fast.
SHORT = {"hidden_units": 2, "max_iter": 1, "batch_size": 1000}
BOTH = [AutoencoderTransformer(**SHORT), AutoencoderDetector("stacked", **SHORT)]
NAMES = [checks.check_dataframe_column_names_consistency, checks.check_n_features_in_after_fitting]
NAMES_OF_OUTPUTS = [
    checks.check_transformer_get_feature_names_out,
    checks.check_transformer_get_feature_names_out_pandas,
    checks.check_set_output_transform,
    checks.check_set_output_transform_pandas,
    checks.check_set_output_transform_polars,
    checks.check_global_output_transform_pandas,
    checks.check_global_set_output_transform_polars,
]
LONGER = {"hidden_units": (6, 2), "max_iter": 4, "random_state": 0}


@pytest.fixture(scope="module")
def iris():
    return datasets.load_iris().data


@pytest.fixture(scope="module")
def transformer(iris):
    return AutoencoderTransformer(**LONGER).fit(iris)


@pytest.fixture(scope="module")
def detector(iris):
    return AutoencoderDetector(**LONGER, contamination=0.1).fit(iris)


@pytest.fixture(params=["transformer", "detector"])
def fitted(request):
    return request.getfixturevalue(request.param)


def output(estimator, x):
    """What tells one fitted estimator from another."""
    name = "transform" if hasattr(estimator, "transform") else "score_samples"
    return getattr(estimator, name)(x)


def global_states():
    return random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


# The contract -------------------------------------------------------------------------------------


@checks.parametrize_with_checks(BOTH)
@pytest.mark.fast(every=4)
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("check", NAMES)
@pytest.mark.parametrize("estimator", BOTH)
def test_names_of_columns(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.parametrize("check", NAMES_OF_OUTPUTS)
@pytest.mark.fast(every=3)
def test_names_of_outputs(check):
    check("AutoencoderTransformer", BOTH[0])


@pytest.mark.slow
@checks.parametrize_with_checks(
    [AutoencoderTransformer(max_iter=3), AutoencoderDetector(max_iter=3, guard=1.0)],
    expected_failed_checks=lambda one: (
        {"check_sample_weight_equivalence_on_dense_data": "the guard's covariance has no weights"}
        if hasattr(one, "guard")
        else {}
    ),
)
def test_the_contract_in_several_batches(estimator, check):
    check(estimator)


# Fitting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", kerasae.ZOO)
@pytest.mark.fast(every=4)
def test_every_family_is_fitted_pickled_and_scored(family, digits):
    x, images = 16 * digits[:64], family == "convolutional"
    units = (2, 3) if images else 3
    options = {"hidden_units": units, "image_shape": (8, 8) if images else None, "k": None}
    if family == "k-sparse":
        options["k"] = 2
    detector = AutoencoderDetector(family, **options, max_iter=1, random_state=0).fit(x)
    loaded = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(loaded.decision_function(x), detector.decision_function(x))
    assert loaded.n_iter_ == 1
    features = AutoencoderTransformer(family, **options)
    features.model_, features.n_features_in_, features.schema_ = loaded.model_, 64, None
    codings = features.transform(x)
    assert codings.shape == (64, 68 if family == "residual-denoiser" else 3)
    assert features.inverse_transform(codings).shape == (64, 64)
    assert len(features.get_feature_names_out()) == codings.shape[1]


def test_a_builder_stands_for_a_family(iris):
    def narrow(input_shape, hidden_units, *, scaler, columns, beta=0.0):
        assert (input_shape, hidden_units, beta) == ((4,), (4, 1), 0.5)
        return kerasae.stacked_autoencoder(input_shape, 1, scaler=scaler, columns=columns)

    estimator = AutoencoderTransformer(narrow, max_iter=1, beta=0.5)
    assert estimator.fit_transform(iris).shape == (150, 1)


def test_defaults_are_those_of_the_command(iris, monkeypatch):
    monkeypatch.setattr(recipes, "default_epochs", lambda rows, batch_size: rows // batch_size)
    estimator = AutoencoderTransformer(random_state=0).fit(iris)
    assert estimator.n_iter_ == 150 // 32
    assert estimator.model_.encoder.output_shape == (None, 1)
    x = np.tile(iris, (67, 1))
    assert AutoencoderTransformer(hidden_units=1).fit(x).n_iter_ == 10_050 // 128


def test_outputs_are_those_of_the_model(transformer, detector, iris):
    codings = transformer.transform(iris)
    np.testing.assert_array_equal(codings, transformer.model_.encode(iris))
    np.testing.assert_allclose(
        transformer.inverse_transform(codings), transformer.model_.reconstruct(iris), rtol=1e-5
    )
    error = transformer.model_.reconstruction_error(iris)
    assert transformer.score(iris) == pytest.approx(-error.mean(), rel=1e-6)
    scores = detector.score_samples(iris)
    np.testing.assert_array_equal(-scores, detector.model_.reconstruction_error(iris))
    # The cut lies below the threshold by the rounding of float32.
    assert detector.offset_ == pytest.approx(np.sort(scores)[14:16].mean(), rel=2e-5)
    assert (detector.predict(iris) == -1).sum() == 15


def test_the_model_detects_the_same_rows(detector, iris):
    found = kerasae.anomaly.score(detector.model_, iris)
    np.testing.assert_array_equal(found.is_anomaly, detector.predict(iris) == -1)


def test_a_layer_gives_the_features(transformer, iris):
    hidden = copy.deepcopy(transformer).set_params(layer="hidden_1")
    expected = kerasae.deep_features(transformer.model_, iris, "hidden_1")
    np.testing.assert_allclose(hidden.transform(iris), expected, rtol=1e-6)
    assert len(hidden.get_feature_names_out()) == 6
    with pytest.raises(ValueError, match="layer must be 'codings' to be turned back into rows"):
        hidden.inverse_transform(expected)


def test_one_pass_is_a_partial_fit(iris):
    options = {**LONGER, "max_iter": 1}
    for kind in (AutoencoderTransformer, AutoencoderDetector):
        whole, part = kind(**options).fit(iris), kind(**options).partial_fit(iris)
        np.testing.assert_array_equal(output(part, iris), output(whole, iris))
        assert part.n_iter_ == 1


def test_partial_fits_go_on_after_pickling_as_without_it(fitted, iris):
    loaded = pickle.loads(pickle.dumps(fitted)).partial_fit(iris)
    going_on = copy.deepcopy(fitted).partial_fit(iris)
    np.testing.assert_allclose(output(loaded, iris), output(going_on, iris), rtol=1e-6)
    assert loaded.n_iter_ == 5 == len(loaded.loss_curve_)
    assert np.abs(output(loaded, iris) - output(fitted, iris)).max() > 1e-4
    assert fitted.n_iter_ == 4


def test_partial_fits_follow_all_rows_and_take_the_threshold_from_the_latest(iris):
    parts = [iris[::3], iris[1::3] + 1, iris[2::3] + 2]
    detector = AutoencoderDetector(
        hidden_units=2, scaler="standard", contamination=0.02, random_state=0
    )
    for rows in parts:
        detector.partial_fit(rows)
    x = np.concatenate(parts)
    assert detector.n_samples_seen_ == len(x)
    mean = np.ravel(detector.model_.scaler.mean)
    np.testing.assert_allclose(mean, x.mean(axis=0), atol=0.02 * x.std(axis=0).max())
    np.testing.assert_array_equal(detector.window_[0], x)
    assert (detector.predict(x) == -1).sum() == 3
    assert detector.fit(iris).window_ == ()


def test_early_stopping_takes_the_weights_of_the_lowest_held_out_error(iris):
    options = {"learning_rate_init": 0.05, "n_iter_no_change": 2, "max_iter": 200}
    estimator = AutoencoderTransformer(
        hidden_units=2, early_stopping=True, validation_fraction=0.3, random_state=1, **options
    ).fit(iris)
    errors = estimator.history_["val_mse"]
    assert 3 <= estimator.n_iter_ == len(errors) < 200
    held_out = np.random.RandomState(1).permutation(150)[:45]
    assert -estimator.score(iris[held_out]) == pytest.approx(min(errors), rel=1e-4)


def test_training_stops_where_it_learns_nothing(iris):
    constant = np.tile(iris[:1], (40, 1)) + np.arange(40)[:, None]  # one direction
    estimator = AutoencoderTransformer(hidden_units=1, max_iter=3000, tol=0.01, random_state=0)
    estimator.fit(constant)
    assert 10 < estimator.n_iter_ < 3000
    variance = (np.arange(40) / 39).var()
    best = min(estimator.history_["mse"][:-10])
    assert min(estimator.history_["mse"][-10:]) > best - 0.01 * variance
    assert estimator.set_params(tol=None, max_iter=60).fit(constant).n_iter_ == 60


# Randomness ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AutoencoderTransformer, AutoencoderDetector])
def test_a_random_state_decides_on_everything(kind, iris):
    first = output(kind(**LONGER).fit(iris), iris)
    before = global_states()
    np.testing.assert_array_equal(output(kind(**LONGER).fit(iris), iris), first)
    assert global_states() == before
    other = kind(**{**LONGER, "random_state": 1}).fit(iris)
    assert np.abs(output(other, iris) - first).max() > 1e-3


def test_without_a_random_state_numpys_decides(iris):
    estimator, found = AutoencoderTransformer(hidden_units=1, max_iter=1), []
    for seed in (3, 3, 4):
        np.random.seed(seed)  # noqa: NPY002
        found.append(estimator.fit_transform(iris))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 1e-3
    generator = np.random.RandomState(0)
    drawn = [clone(estimator).set_params(random_state=generator).fit_transform(iris)]
    drawn += [estimator.set_params(random_state=generator).fit_transform(iris)]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3


# Weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaler", ["range", "standard"])
def test_a_weight_is_a_number_of_copies(scaler, iris):
    x, weight = iris[::10], np.arange(15) % 4
    options = {**LONGER, "batch_size": 1000, "max_iter": 20, "scaler": scaler}
    weighted = AutoencoderDetector("stacked", **options).fit(x, sample_weight=weight)
    copies = AutoencoderDetector("stacked", **options).fit(np.repeat(x, weight, axis=0))
    np.testing.assert_allclose(
        weighted.decision_function(x), copies.decision_function(x), atol=1e-5
    )
    unweighted = AutoencoderDetector("stacked", **options).fit(x)
    assert np.abs(unweighted.decision_function(x) - copies.decision_function(x)).max() > 1e-3


def test_a_step_of_few_rows_has_no_copies_and_no_order(iris):
    x, weight = iris[::10].copy(), 1.0 + np.arange(15) % 3
    x[3, 1] = np.nan
    mixed = np.random.default_rng(0).permutation(int(weight.sum()))
    copies = as_weights(np.repeat(x, weight.astype(int), axis=0)[mixed], None)
    weighted = as_weights(x, weight)
    for one, other in zip(copies, weighted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert as_weights(x, None)[1] is None


def test_scalers_of_images_take_weights(digits):
    images, weight = digits[:30].reshape(30, 8, 8, 1), np.arange(30) % 3
    for name in ("range", "standard"):
        rows = images[weight > 0]
        one = recipes.make_scaler(name, rows, sample_weight=weight[weight > 0])
        two = recipes.make_scaler(name, np.repeat(images, weight, axis=0))
        np.testing.assert_allclose(
            *(
                keras.ops.convert_to_numpy(kerasae.layers.scaling.scale(s, rows))
                for s in (one, two)
            ),
            atol=1e-5,
        )


def test_many_rows_of_few_kinds_take_all_their_steps():
    rng = np.random.default_rng(0)
    x = rng.integers(2, size=(400, 3)).astype(float)
    fitted = AutoencoderTransformer(hidden_units=2, max_iter=2, random_state=0).fit(x)
    steps = keras.ops.convert_to_numpy(fitted.model_.optimizer.iterations)
    assert (steps, fitted.n_samples_seen_) == (2 * math.ceil(400 / 32), 400)
    few = AutoencoderTransformer(hidden_units=2, max_iter=2, random_state=0).fit(x[:30])
    assert (few.n_iter_, few.n_samples_seen_) == (2, 30)


def test_lower_quantiles_of_copies():
    rng = np.random.default_rng(0)
    for share in (0.01, 0.1, 0.25, 0.5):
        scores, weight = rng.normal(size=40), rng.integers(1, 5, 40)
        copies = np.repeat(scores, weight)
        expected = np.quantile(copies, share, method="averaged_inverted_cdf")
        assert lower_quantile(scores, share, weight) == pytest.approx(expected, rel=1e-12)
        assert lower_quantile(copies, share) == pytest.approx(expected, rel=1e-12)


# Among other estimators ---------------------------------------------------------------------------


def test_in_a_pipeline_with_a_column_transformer(iris):
    table = pd.DataFrame(iris, columns=["a", "b", "c", "d"], index=np.arange(150) + 7)
    features = AutoencoderTransformer(hidden_units=1, max_iter=2, random_state=0)
    columns = ColumnTransformer([("deep", features, ["a", "c", "d"])], remainder="passthrough")
    pipeline = make_pipeline(columns, LogisticRegression(max_iter=1000))
    y = datasets.load_iris().target
    assert cross_val_score(pipeline, table, y, cv=2, error_score="raise").mean() > 0.5
    named = columns.set_output(transform="pandas").fit_transform(table)
    assert list(named) == ["deep__autoencodertransformer0", "remainder__b"]
    assert named.index.tolist() == table.index.tolist()
    assert columns.named_transformers_["deep"].model_.columns == ("a", "c", "d")


def test_a_detector_is_scored_by_labels(iris):
    x = np.vstack([iris, iris[:10] * [3, 0.2, 3, 0.2]])
    y = np.repeat([1, -1], [150, 10])  # as predict says it
    order = np.random.default_rng(0).permutation(160)
    detector = AutoencoderDetector(hidden_units=1, max_iter=5, random_state=0)
    areas = cross_val_score(detector, x[order], y[order], cv=2, scoring="roc_auc")
    assert areas.min() > 0.9


def test_a_grid_over_families_and_widths(iris):
    grid = {"family": ["stacked", "sparse"], "hidden_units": [1, (4, 2)]}
    search = GridSearchCV(AutoencoderTransformer(max_iter=2, random_state=0), grid, cv=2)
    search.fit(iris)
    assert search.best_params_["hidden_units"] in (1, (4, 2))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.slow
def test_a_grid_in_two_processes_is_the_same(iris):
    grid = {"hidden_units": [1, 2]}
    one, two = (
        GridSearchCV(AutoencoderTransformer(max_iter=3, random_state=0), grid, cv=2, n_jobs=n)
        for n in (1, 2)
    )
    np.testing.assert_allclose(
        one.fit(iris).cv_results_["mean_test_score"],
        two.fit(iris).cv_results_["mean_test_score"],
        rtol=1e-5,
    )


@pytest.mark.slow
def test_joblib_files_are_read_in_a_fresh_process(detector, iris, tmp_path, run_python):
    joblib.dump(detector, tmp_path / "detector.joblib")
    np.save(tmp_path / "x.npy", iris)
    code = "import joblib, numpy as np; d = joblib.load('detector.joblib'); "
    code += "print(repr(d.decision_function(np.load('x.npy')).sum()))"
    found = run_python(code)
    assert float(found.removeprefix("np.float64(").removesuffix(")")) == pytest.approx(
        detector.decision_function(iris).sum(), rel=1e-6
    )


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables_of_every_library_have_names(library, iris, transformer):
    module = pytest.importorskip(library)
    columns = {name: iris[:, i] for i, name in enumerate("abcd")}
    make = module.table if library == "pyarrow" else module.DataFrame
    estimator = AutoencoderTransformer(**LONGER).fit(make(columns))
    assert estimator.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(estimator.transform(make(columns)), transformer.transform(iris))
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.transform(make({name: columns[name] for name in "dcba"}))


@pytest.fixture(scope="module")
def mixed():
    """A table whose number follows from its level, with a missing cell of each kind."""
    rng = np.random.default_rng(0)
    colour = rng.choice(["blue", "green", "red"], 120)
    size = np.unique(colour, return_inverse=True)[1] * 3 + rng.normal(0, 0.3, 120)
    table = pd.DataFrame({"size": size, "colour": colour, "heavy": size > 3})
    table.loc[4, "size"], table.loc[5, "colour"] = np.nan, None
    return table


def test_a_table_of_mixed_columns_goes_in_as_it_is(mixed):
    options = {"learning_rate_init": 0.02, "random_state": 0}
    features = AutoencoderTransformer(hidden_units=(16, 2), max_iter=60, **options)
    codings = features.fit_transform(mixed)
    assert codings.shape == (120, 2)
    assert features.feature_names_in_.tolist() == [*features.model_.schema.names] == [*mixed]
    found = features.inverse_transform(codings)
    known = mixed.drop(index=[4, 5])
    assert (found.colour[known.index] == known.colour).mean() > 0.9
    assert np.abs(found["size"] - mixed["size"]).median() < 1
    np.testing.assert_array_equal(features.model_.encode(mixed), codings)
    loaded = pickle.loads(pickle.dumps(features))
    np.testing.assert_array_equal(loaded.transform(mixed), codings)
    with pytest.raises(TypeError, match="X must be a table with the columns size, colour, heavy"):
        features.transform(mixed.to_numpy())
    with pytest.raises(ValueError, match="feature names should match"):
        features.transform(mixed[["colour", "size", "heavy"]])


def test_a_level_that_does_not_fit_is_an_outlier(mixed):
    rows = mixed.copy()
    rows.loc[7, "colour"] = "red" if rows["size"][7] < 3 else "blue"
    options = {"hidden_units": (16, 2), "max_iter": 60, "learning_rate_init": 0.02}
    options["random_state"] = 0
    detector = AutoencoderDetector(**options, contamination=0.05).fit(rows)
    assert np.argmin(detector.score_samples(rows)) == 7
    assert detector.predict(rows)[7] == -1
    assert 4 <= (detector.predict(rows) == -1).sum() <= 6


def test_tables_stop_early_and_take_weights_and_a_schema(mixed):
    schema = kerasae.tables.Schema.infer(mixed, columns=["colour", "size"])
    estimator = AutoencoderTransformer(
        hidden_units=1, schema=schema, early_stopping=True, max_iter=3, random_state=0
    )
    estimator.fit(mixed, sample_weight=np.arange(120))
    assert set(estimator.history_) == {"loss", "table_error", "val_loss", "val_table_error"}
    assert list(estimator.inverse_transform(np.zeros((2, 1)))) == ["colour", "size"]
    assert clone(estimator).get_params()["schema"] == schema


# Mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"family": "staked"}, "family must be one of .* Received: family='staked'. Try stacked"),
        ({"rho": 0.1}, "rho must go with family=sparse. Received: rho=0.1, family=stacked"),
        ({"family": "convolutional"}, "image_shape must be given for family='convolutional'"),
        ({"image_shape": (2, 3)}, "image_shape must hold the 4 columns of X. Received: .*2, 3"),
        ({"max_iter": 0}, "max_iter must be a whole number of at least 1. Received: max_iter=0"),
        ({"batch_size": 1.5}, "batch_size must be a whole number"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be a whole number"),
        ({"tol": -1}, "tol must be finite and at least 0, or None. Received: tol=-1"),
        ({"validation_fraction": 1.0}, r"validation_fraction must lie in \(0, 1\)"),
        ({"learning_rate_init": 0}, "learning_rate must be a positive, finite number"),
        ({"scaler": "rnage"}, "scaler must be one of .*Try range"),
        ({"hidden_units": ()}, "hidden_units must be whole numbers of at least 1"),
        (
            {"early_stopping": True, "validation_fraction": 0.999},
            "validation_fraction must leave rows to train on. Received: .*n_samples=150",
        ),
    ],
)
def test_parameters_are_refused_by_fit(options, message, iris):
    estimator = AutoencoderTransformer(**{"hidden_units": 2, "max_iter": 1, **options})
    with pytest.raises(ValueError, match=message):
        estimator.fit(iris)


@pytest.mark.parametrize("contamination", [0, 0.6, "p99", None, True])
def test_contamination_is_refused_outside_its_range(contamination, iris):
    with pytest.raises(ValueError, match=r"contamination must lie in \(0, 0.5\], or be 'auto'"):
        AutoencoderDetector(contamination=contamination, max_iter=1).fit(iris)


def test_training_that_diverges_is_an_error(iris):
    with pytest.raises(DivergedError, match="training must stay stable"):
        AutoencoderTransformer(learning_rate_init=1e30, max_iter=20, random_state=0).fit(iris)


def test_codings_of_another_width_are_refused(transformer):
    with pytest.raises(ValueError, match="X must be rows of 2 codings. Received: X of shape"):
        transformer.inverse_transform(np.zeros((3, 5)))
