"""What is done with a source is what is done with the same rows in memory."""

import keras
import numpy as np
import pandas as pd
import pytest

import kerasae
from kerasae import anomaly, datasets
from kerasae.anomaly import scores as scores_module
from kerasae.datasets import sampling
from kerasae.models import chunks, recipes
from kerasae.tables import Schema, TableEncoder

ROWS = 600


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(0)
    x = rng.normal([5, -3, 0, 100], [1, 2, 0.1, 30], (ROWS, 4))
    return pd.DataFrame(x, columns=list("abcd"))


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(1)
    days = pd.date_range("2024-01-01", periods=ROWS, freq="7h")
    frame = pd.DataFrame(
        {
            "key": np.arange(ROWS),
            "size": np.where(rng.random(ROWS) < 0.1, np.nan, rng.gamma(2, 3, ROWS)),
            "colour": rng.choice(["red", "blue", "green", ""], ROWS, p=[0.5, 0.3, 0.15, 0.05]),
            "when": days,
            "large": 1.7e9 + rng.normal(size=ROWS),
            "yes": rng.random(ROWS) < 0.3,
        }
    )
    return frame.rename(columns={"key": "row"})


@pytest.fixture(scope="module")
def model(numbers):
    keras.utils.set_random_seed(0)
    scaler = kerasae.RangeScaling()
    scaler.adapt(numbers)
    made = kerasae.stacked_autoencoder((4,), (8, 2), scaler=scaler)
    made.fit(numbers, epochs=2, verbose=0)
    anomaly.calibrate(made, numbers)
    return made


def opened(frame, size=90):
    return datasets.open([frame[i : i + size] for i in range(0, len(frame), size)])


@pytest.mark.parametrize("name", ["range", "standard", "pixels", "auto"])
def test_scalers_are_adapted_as_to_rows_in_memory(numbers, name):
    x = numbers.abs() if name == "pixels" else numbers
    found = [recipes.make_scaler(name, rows) for rows in (opened(x), x.to_numpy())]
    scaled = [keras.ops.convert_to_numpy(kerasae.layers.scaling.scale(one, x)) for one in found]
    np.testing.assert_allclose(*scaled, rtol=1e-5, atol=1e-5)


def test_range_scaling_has_the_names_of_a_source(numbers):
    scaler = kerasae.RangeScaling()
    scaler.adapt(opened(numbers))
    assert scaler.columns == ("a", "b", "c", "d")
    np.testing.assert_allclose(scaler.mean, numbers.mean(), rtol=1e-12)
    np.testing.assert_allclose(scaler.range, np.ptp(numbers.to_numpy(), axis=0), rtol=1e-6)


def test_a_schema_is_that_of_the_table(mixed):
    with pytest.warns(UserWarning, match="left out"):
        whole = Schema.infer(mixed)
    with pytest.warns(UserWarning, match="left out"):
        found = Schema.infer(opened(mixed))
    assert found.left_out == whole.left_out == {"row": "a row index"}
    for one, other in zip(found, whole, strict=True):
        assert (one.name, one.kind, one.levels, one.missing, one.periods) == (
            *(other.name, other.kind, other.levels, other.missing, other.periods),
        )
        assert (one.low, one.high) == (other.low, other.high)
        assert bool(one.origin) == bool(other.origin)


def test_extremes_and_gaps_of_a_schema_are_those_of_all_rows(mixed, monkeypatch):
    monkeypatch.setattr(sampling.Sample.__init__, "__defaults__", (60, 2**20, 1))
    with pytest.warns(UserWarning, match="left out"):
        found = Schema.infer(opened(mixed))
    assert found.left_out == {"row": "a row index"}  # which 60 rows do not show
    assert found["size"].low == mixed["size"].min()
    assert found["size"].high == mixed["size"].max()
    assert found["size"].missing == mixed["size"].isna().sum()
    assert found["colour"].missing == (mixed["colour"] == "").sum()
    days = mixed["when"].astype("datetime64[us]").astype("int64") / 86_400e6
    np.testing.assert_allclose([found["when"].low, found["when"].high], [days.min(), days.max()])


@pytest.mark.parametrize("how", ["standard", "range", "robust", "normal"])
def test_an_encoder_is_adapted_as_to_the_table(mixed, how):
    table = mixed.drop(columns="row")
    schema = Schema.infer(table)
    one, other = TableEncoder(schema, how), TableEncoder(schema, how)
    one.adapt(opened(table))
    other.adapt(table)
    for name in TableEncoder.STATE:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-5, atol=1e-6)


def test_quantiles_of_a_sample_are_near_those_of_all_rows(monkeypatch):
    monkeypatch.setattr(sampling.Sample.__init__, "__defaults__", (2000, 2**20, 1))
    x = pd.DataFrame({"x": np.random.default_rng(2).gamma(2, 3, 30_000)})
    schema = Schema.infer(x)
    encoder = TableEncoder(schema, "robust")
    encoder.adapt(opened(x, 5000))
    low, center, high = np.quantile(x, [0.25, 0.5, 0.75])
    assert abs(encoder.mean[0] - center) < 0.1 * center
    assert abs(encoder.spread[0] - 0.7413 * (high - low)) < 0.1 * center


def test_outputs_come_by_piece_and_are_those_of_the_rows(model, numbers):
    calls = {
        "encode": model.encode,
        "reconstruct": model.reconstruct,
        "predict": lambda x: model.predict(x, verbose=0),
        "reconstruction_error": model.reconstruction_error,
        "per feature": lambda x: model.reconstruction_error(x, per_feature=True),
        "deep features": lambda x: kerasae.deep_features(model, x, layer="hidden_1"),
        "worst": lambda x: anomaly.worst_columns(model, x, top=2).column,
    }
    for name, call in calls.items():
        whole = call(numbers)
        pieces = (
            call(opened(numbers))
            if name != "worst"
            else [one.column for one in anomaly.worst_columns(model, opened(numbers), top=2)]
        )
        pieces = list(pieces)
        assert len(pieces) == 7, name
        if name == "worst":
            np.testing.assert_array_equal(np.concatenate(pieces), whole)
        else:
            np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-5, err_msg=name)


def test_scores_come_by_piece_and_none_is_kept(model, numbers):
    whole = anomaly.score(model, numbers, top=2)
    stream = anomaly.score(model, opened(numbers), top=2)
    assert iter(stream) is stream
    parts = list(stream)
    for name in ("anomaly_score", "feature_errors", "p_value", "is_anomaly"):
        found = np.concatenate([getattr(one, name) for one in parts])
        # Rounding may move a score past one of those that it is compared with.
        tolerance = 2 / (ROWS + 1) if name == "p_value" else 1e-6
        np.testing.assert_allclose(found, getattr(whole, name), atol=tolerance)
    found = np.concatenate([one.worst.column for one in parts])
    np.testing.assert_array_equal(found, whole.worst.column)


def test_tables_come_back_as_tables(mixed):
    table = mixed.drop(columns="row")
    keras.utils.set_random_seed(0)
    source = opened(table)
    made = kerasae.table_autoencoder(source, (8, 2))
    made.fit(source, epochs=1, verbose=0, validation_data=opened(table[:100]))
    parts = list(made.reconstruct(source))
    assert [len(one) for one in parts] == [90] * 6 + [60]
    assert parts[0].column_names == list(table.columns)
    np.testing.assert_allclose(
        np.concatenate(list(made.encode(source))), made.encode(table), atol=1e-5
    )


@pytest.mark.parametrize("guard", [0.0, 1.0])
def test_a_calibration_is_that_of_the_rows(model, numbers, guard):
    wanted = anomaly.calibrate(model, numbers, guard=guard)
    known = model.anomaly.scores, model.anomaly.column_errors
    assert anomaly.calibrate(model, opened(numbers), guard=guard) == pytest.approx(wanted, rel=1e-4)
    np.testing.assert_allclose(model.anomaly.scores, known[0], rtol=1e-3, atol=1e-5)
    if not guard:
        np.testing.assert_allclose(model.anomaly.column_errors, known[1], rtol=1e-4)
    anomaly.calibrate(model, numbers)


def test_a_calibration_keeps_a_sample_of_many_rows(model, numbers, monkeypatch):
    monkeypatch.setattr(scores_module, "CALIBRATION_ROWS", 200)
    anomaly.calibrate(model, opened(numbers), "p90")
    assert len(model.anomaly.scores) == 200
    flagged = np.concatenate([one.is_anomaly for one in anomaly.score(model, opened(numbers))])
    assert 0.03 < flagged.mean() < 0.2
    anomaly.calibrate(model, numbers)


def test_a_row_that_is_wrong_is_placed(model, numbers):
    spoilt = numbers.copy()
    spoilt.loc[200, "b"] = np.nan
    with pytest.raises(ValueError, match=r"NaN.*row 20, column 1 'b'.*\(rows from 180 on\)"):
        list(model.encode(opened(spoilt)))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(opened(spoilt), verbose=0)


def test_numbers_that_float32_cannot_hold_are_scaled_first():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"time": 1.7e9 + rng.random(300), "x": rng.random(300)})
    scaler = kerasae.RangeScaling()
    scaler.adapt(opened(frame))

    def errors(x):
        keras.utils.set_random_seed(0)
        made = kerasae.stacked_autoencoder((2,), (4, 2), scaler=scaler)
        made.fit(x, epochs=3, shuffle=False, verbose=0)
        return made.reconstruction_error(frame)

    if keras.backend.backend() == "jax":
        pytest.skip("JAX has float64 where it is enabled")
    np.testing.assert_allclose(errors(opened(frame)), errors(frame), rtol=1e-3, atol=1e-6)


def test_files_train_a_model(numbers, tmp_path):
    numbers.to_parquet(tmp_path / "rows.parquet", row_group_size=64)
    train, test = datasets.open(tmp_path / "rows.parquet").split(0.2)
    keras.utils.set_random_seed(0)
    scaler = kerasae.RangeScaling()
    scaler.adapt(train)
    made = kerasae.stacked_autoencoder((4,), (16, 3), scaler=scaler)
    history = made.fit(train, epochs=30, verbose=0, validation_data=test).history
    assert history["val_mse"][-1] < 0.5 * history["val_mse"][0]
    assert made.columns == ("a", "b", "c", "d")
    assert made.evaluate(test, return_dict=True, verbose=0)["mse"] == pytest.approx(
        np.mean(np.concatenate(list(made.reconstruction_error(test)))), rel=1e-4
    )


class Killed(BaseException):
    pass


class Kill(keras.callbacks.Callback):
    """Ends a fit within an epoch, after some steps."""

    needs_every_batch = False

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations >= self.step:
            raise Killed


@pytest.mark.parametrize("kind", ["source", "array"])
@pytest.mark.parametrize("step", [27, 45])
@pytest.mark.fast(every=2)
def test_a_fit_goes_on_within_an_epoch_to_the_same_bits(numbers, tmp_path, monkeypatch, kind, step):
    monkeypatch.setattr(chunks, "SOURCE_BYTES", 4 * 4 * 32 * 5)  # five batches of 32
    rows = opened(numbers) if kind == "source" else numbers.to_numpy("float32")

    def run(*callbacks):
        keras.utils.set_random_seed(4)
        made = kerasae.denoising_autoencoder((4,), (8, 2))
        made.compile(keras.optimizers.Adam(0.01), steps_per_execution=2)
        history = made.fit(rows, epochs=4, verbose=0, callbacks=list(callbacks)).history
        return made, history

    def backup():
        return kerasae.callbacks.AtomicBackup(tmp_path, within=0.0)

    with pytest.raises(Killed):
        run(backup(), Kill(step))
    state = kerasae.callbacks.atomic_backup._read(tmp_path / "backup.npz")[0]
    assert state["epoch"] * 19 + state["position"][0] in (step, step + 1)
    resumed, history = run(backup())
    whole, wanted = run()
    for got, want in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)
    assert history["loss"][0] == wanted["loss"][state["epoch"]]
    assert history["mse"] == wanted["mse"][state["epoch"] :]
    assert len(history["loss"]) == 4 - state["epoch"]
