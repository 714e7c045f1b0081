"""Models of tables: by names in and out, on every family, saved and loaded."""

import keras
import numpy as np
import pytest

import kerasae
from kerasae.tables import Schema

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")


def test_fit_reconstruct_and_encode_by_names(model, table):
    back = model.reconstruct(table)
    assert (back.dtypes == table.dtypes).all()
    assert back.index.equals(table.index)
    assert not back.isna().any().any()
    assert (back.colour == table.colour).mean() > 0.9
    assert (back.sold == table.sold).mean() > 0.9
    assert np.corrcoef(back["size"], table["size"].fillna(2))[0, 1] > 0.9
    codings = model.encode(table, output="table")
    assert list(codings) == ["codings_1", "codings_2", "codings_3"]
    assert codings.index.equals(table.index)
    np.testing.assert_array_equal(codings.to_numpy(), model.encode(table))


def test_libraries_and_orders_of_columns_give_the_same(model, table):
    expected = model.encode(table)
    other = table[table.columns[::-1]]
    for frame in (other, pl.from_pandas(other), pa.Table.from_pandas(other)):
        rows = (
            frame.drop_columns(["__index_level_0__"]) if hasattr(frame, "drop_columns") else frame
        )
        np.testing.assert_array_equal(model.encode(rows), expected)
        assert type(model.reconstruct(rows)) is type(rows)
        np.testing.assert_allclose(
            model.reconstruction_error(rows), model.reconstruction_error(table)
        )
    np.testing.assert_array_equal(model.encode(model.schema.codes(table)), expected)
    rows = table.head(3).astype(object).where(table.head(3).notna(), None)
    dicts = [{**row, "when": row["when"]} for row in rows.to_dict("records")]
    np.testing.assert_allclose(model.encode(dicts), expected[:3], atol=1e-6)


def test_the_loss_is_the_error_of_rows(model, table):
    errors = model.reconstruction_error(table)
    found = model.evaluate(table, verbose=0, return_dict=True)
    assert found["table_error"] == pytest.approx(errors.mean(), rel=1e-4)
    assert model._objective == "table_error"
    per_column = model.reconstruction_error(table, per_feature=True)
    assert per_column.shape == (200, 6)
    np.testing.assert_allclose(per_column.mean(axis=1), errors, rtol=1e-4)
    assert per_column[3, 0] == 0  # a missing cell


def test_sample_weights_and_validation(table):
    model = kerasae.table_autoencoder(table, (8, 2))
    history = model.fit(
        table,
        sample_weight=np.ones(len(table)),
        validation_data=table.head(50),
        epochs=2,
        verbose=0,
    )
    assert "val_table_error" in history.history
    model.fit(table, validation_split=0.2, verbose=0)


def test_saved_models_keep_the_schema(model, table, tmp_path):
    kerasae.anomaly.calibrate(model, table)
    model.save(tmp_path / "model.keras")
    again = kerasae.load_model(tmp_path / "model.keras")
    assert again.schema == model.schema
    np.testing.assert_array_equal(again.encode(table), model.encode(table))
    np.testing.assert_array_equal(
        kerasae.anomaly.score(again, table).anomaly_score,
        kerasae.anomaly.score(model, table).anomaly_score,
    )
    again.fit(table, verbose=0)


def test_a_fresh_process_loads_it(model, table, tmp_path, run_python):
    model.save(tmp_path / "model.keras")
    table.to_pickle(tmp_path / "table.pkl")
    code = (
        "import keras, kerasae, pandas; model = keras.saving.load_model('model.keras');"
        "print(model.encode(pandas.read_pickle('table.pkl')).sum())"
    )
    assert float(run_python(code)) == pytest.approx(float(model.encode(table).sum()), rel=1e-4)


@pytest.mark.parametrize("family", [name for name in kerasae.ZOO if name != "convolutional"])
@pytest.mark.fast(every=4)
def test_every_family_learns_a_table(table, family):
    own = {"k-sparse": {"k": 2}}.get(family, {})
    model = kerasae.table_autoencoder(table, (16, 4), family=family, **own)
    before = model.evaluate(table, verbose=0, return_dict=True)["table_error"]
    model.fit(table, epochs=4, verbose=0)
    after = model.evaluate(table, verbose=0, return_dict=True)["table_error"]
    assert np.isfinite(after)
    assert after < before
    assert model.reconstruct(table).shape == table.shape
    if model.prior is not None:
        drawn = model.generate(5, seed=0)
        assert list(drawn) == list(table)
        assert set(drawn.colour) <= {"red", "green", "blue"}


def test_a_missing_target_has_no_gradient(table):
    codes = Schema.infer(table).codes(table)
    model = kerasae.table_autoencoder(table, (8, 2))
    hidden = codes.copy()
    hidden[:, 2] = np.nan
    bias = model.decoder.layers[-1].weights[-1]
    of_colour = model.scaler.layout.column_of == 2
    before = np.asarray(keras.ops.convert_to_numpy(bias))[of_colour]
    model.fit(hidden, epochs=2, verbose=0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(bias)[of_colour], before)


def test_swap_takes_cells_from_the_same_column_whole(table):
    model = kerasae.table_autoencoder(table, (8, 2), corruption="swap:0.5")
    encoded = model.scaler(model.schema.codes(table))
    swapped = keras.ops.convert_to_numpy(model.encoder.layers[0](encoded, training=True))
    encoded = keras.ops.convert_to_numpy(encoded)
    changed = 0
    for j in range(len(model.schema)):
        part = model.scaler.layout.column_of == j
        pool = {tuple(row) for row in encoded[:, part]}
        assert {tuple(row) for row in swapped[:, part]} <= pool
        changed += (swapped[:, part] != encoded[:, part]).any(axis=1).mean()
    assert 0.2 < changed / len(model.schema) < 0.5  # some are swapped for their equals


def test_wrong_cells_are_swapped_levels_and_numbers_within_the_bound(table):
    model = kerasae.table_autoencoder(table, (8, 2), corruption="wrong:1.0")
    encoded = model.scaler(model.schema.codes(table))
    layer = model.encoder.layers[0]
    wrong = keras.ops.convert_to_numpy(layer(encoded, training=True))
    count = len(model.scaler.layout.values)
    encoded = keras.ops.convert_to_numpy(encoded)
    assert np.isin(wrong[:, count:], encoded[:, count:]).all()
    occurs = [np.isin(wrong[:, j], encoded[:, j]).mean() for j in range(count)]
    np.testing.assert_allclose(occurs, 0.5, atol=0.15)  # half of the numbers are moved
    assert abs(wrong).max() == 4
    far = np.full_like(encoded, 99)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(far)), 4 + 0 * far)


def test_missing_corruption_makes_cells_as_the_encoder_does(table):
    model = kerasae.table_autoencoder(table, (8, 2), corruption="swap:0.1+missing:1.0")
    encoded = model.scaler(model.schema.codes(table))
    emptied = keras.ops.convert_to_numpy(model.encoder.layers[0](encoded, training=True))
    nothing = np.full((1, len(model.schema)), np.nan, "float32")
    np.testing.assert_array_equal(
        emptied, np.repeat(keras.ops.convert_to_numpy(model.scaler(nothing)), 200, axis=0)
    )


def test_saved_corruptions_know_their_columns(table, tmp_path):
    model = kerasae.table_autoencoder(table, (8, 2), corruption="swap:0.1+missing:0.2")
    model.save(tmp_path / "model.keras")
    again = kerasae.load_model(tmp_path / "model.keras")
    layers = again.encoder.layers[0].layers
    assert [layer.columns for layer in layers] == [again.scaler.layout.column_of.tolist()] * 2
    assert layers[1].fill[-1] == 1
    again.fit(table, verbose=0)


def test_steps_of_the_users_own_are_refused(table):
    class Own(kerasae.Autoencoder):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return super().compute_loss(x, y, y_pred, sample_weight, training)

    model = kerasae.table_autoencoder(table, (8, 2), model_class=Own)
    with pytest.raises(ValueError, match="steps of Keras"):
        model.fit(table, verbose=0)


def test_anomalies_are_found_by_name(model, table):
    kerasae.anomaly.calibrate(model, table)
    odd = table.head(6).copy()
    odd.iloc[0, odd.columns.get_loc("size")] = 99.0
    scores = kerasae.anomaly.score(model, odd)
    assert scores.is_anomaly[0]
    assert model.schema.names[scores.feature_errors[0].argmax()] == "size"


def test_other_methods_take_tables(model, table):
    head = [keras.layers.Dense(1)]
    network = kerasae.supervised_from(model, head)
    network.compile("adam", "mse")
    network.fit(table, table["count"].to_numpy(), verbose=0)
    assert network.predict(table.head(3), verbose=0).shape == (3, 1)
    assert kerasae.deep_features(model, table, "hidden_1").shape == (200, 32)
    trimmed = kerasae.anomaly.trim_and_refit(model, table, epochs=1, verbose=0)
    assert trimmed.model.schema == model.schema
    kerasae.pretrain(kerasae.table_autoencoder(table, (8, 4, 2)), table, epochs=1)
