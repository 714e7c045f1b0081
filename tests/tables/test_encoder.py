"""The maths of encoded tables: scalings, inverses, the weighted error of mixed columns."""

import numpy as np
import pytest
from keras import ops

from kerasae.tables import Layout, TableEncoder, TableLoss
from kerasae.tables.encoder import SCALINGS
from kerasae.tables.model import cell_corruption


@pytest.mark.parametrize("numbers", SCALINGS)
def test_the_inverse_undoes_the_encoding(table, numbers):
    encoder = made(table, numbers)
    codes = encoder.codes(table)
    back = np.asarray(encoder.inverse(encoder(codes)))
    observed = ~np.isnan(codes)
    np.testing.assert_allclose(back[observed], codes[observed], rtol=1e-4, atol=1e-4)
    # Beyond what was seen, too.
    far = np.where(observed, codes, 0)
    far[:, 0] *= 50
    back = np.asarray(encoder.inverse(encoder(far)))
    np.testing.assert_allclose(back[:, 0], far[:, 0], rtol=1e-4, atol=1e-4)


def made(table, numbers="standard", indicators=True):
    from kerasae.tables import Schema

    encoder = TableEncoder(Schema.infer(table), numbers, indicators)
    encoder.adapt(table)
    return encoder


def test_scalings_are_what_numpy_says(table):
    size = table["size"].to_numpy()
    present = size[~np.isnan(size)]
    low, middle, high = np.quantile(present, [0.25, 0.5, 0.75])
    expected = {
        "standard": (size - present.mean()) / present.std(),
        "range": (size - present.mean()) / np.ptp(present),
        "robust": (size - middle) / (0.7413 * (high - low)),
    }
    for numbers, z in expected.items():
        encoder = made(table, numbers)
        found = np.asarray(encoder(encoder.codes(table)))[:, 0]
        np.testing.assert_allclose(found, np.nan_to_num(z), atol=1e-5)


def test_normal_scores_are_nearly_normal():
    skewed = {"income": np.exp(2 * np.random.default_rng(0).normal(size=5000))}
    encoder = made(skewed, "normal")
    z = np.asarray(encoder(encoder.codes(skewed)))[:, 0]
    assert abs(z.mean()) < 0.05
    assert abs(z.std() - 1) < 0.05
    assert abs((z**3).mean()) < 0.5


def test_a_missing_cell_is_zero_with_an_indicator(table):
    encoder = made(table)
    encoded = np.asarray(encoder(encoder.codes(table)))
    column_of = encoder.layout.column_of
    size = encoded[3, column_of == 0]
    assert size.tolist() == [0.0, 1.0]
    assert encoded[4, column_of == 0][-1] == 0
    colour = encoded[5, column_of == 2]
    assert colour[:-1].sum() == 0
    assert colour[-1] == 1
    assert made(table, indicators=False).width == encoder.width - 2


def test_cycles_of_dates():
    import pandas as pd

    when = pd.Series(pd.date_range("2024-01-01 06:00", periods=28, freq="D"))
    encoder = made(pd.DataFrame({"when": pd.concat([when, when + pd.Timedelta("6h")])}))
    assert encoder.schema["when"].periods == (1.0, 7.0)
    _, *cycles = np.asarray(encoder(encoder.codes(pd.DataFrame({"when": when})))).T
    of_day, of_week = cycles[0], cycles[1]
    np.testing.assert_allclose(of_day, np.ones(28), atol=1e-3)  # a quarter of the day
    np.testing.assert_allclose(of_week, np.tile(of_week[:7], 4), atol=1e-3)


def test_the_error_of_a_row_is_that_of_the_formula(table):
    encoder = made(table, indicators=False)
    codes = encoder.codes(table)
    rng = np.random.default_rng(0)
    output = rng.normal(size=(len(codes), encoder.width)).astype("float32")
    encoded = np.asarray(encoder(codes))
    column_of = encoder.layout.column_of
    errors = np.zeros(codes.shape)
    for j, column in enumerate(encoder.schema):
        target, predicted = encoded[:, column_of == j], output[:, column_of == j]
        if column.kind in ("category", "boolean"):
            log_p = predicted - np.log(np.exp(predicted).sum(axis=1, keepdims=True))
            errors[:, j] = -(target * log_p).sum(axis=1)
            cells = codes[:, j][~np.isnan(codes[:, j])]
            shares = np.unique(cells, return_counts=True)[1] / len(cells)
            errors[:, j] /= -(shares * np.log(shares)).sum()
        else:
            errors[:, j] = np.square(target - predicted).sum(axis=1) / (1 + len(column.periods))
    observed = ~np.isnan(codes)
    expected = (errors * observed).sum(axis=1) / observed.sum(axis=1)
    found = TableLoss(encoder.layout).call(encoder.target(codes), output)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4)
    np.testing.assert_allclose(
        np.asarray(encoder.errors(codes, output)).mean(axis=1), expected, rtol=1e-4
    )


def test_the_loss_bounds_numbers_where_the_corruption_does(table):
    encoder = made(table)
    codes = np.nan_to_num(encoder.codes(table)[:2])
    far = codes.copy()
    far[0, 0] = encoder.mean[0] + 300 * encoder.spread[0]
    output = np.zeros((2, encoder.width), "float32")
    whole = np.asarray(encoder.errors(far, output))
    assert encoder.bound is None
    cell_corruption("swap:0.2+wrong:0.2", encoder)
    bounded, target = (np.asarray(encoder.target(one)) for one in (far, codes))
    assert bounded[0, 0] == 4
    np.testing.assert_array_equal(bounded[:, 1:], target[:, 1:])
    np.testing.assert_array_equal(encoder.errors(far, output), whole)
    assert whole[0, 0] == pytest.approx(9e4, rel=1e-3)
    assert TableEncoder(**encoder.get_config()).bound == 4.0


def test_knowing_nothing_has_the_error_one_in_every_column(table):
    for numbers in ("standard", "range"):
        encoder = made(table, numbers, indicators=False)
        codes = encoder.codes(table)
        blind = np.asarray(encoder(codes)).mean(axis=0, keepdims=True).repeat(len(codes), 0)
        logits = np.log(np.maximum(blind, 1e-6))
        categories = [j for j, one in enumerate(encoder.schema) if one.levels]
        is_level = np.isin(encoder.layout.column_of, categories)
        errors = np.asarray(encoder.errors(codes, np.where(is_level, logits, blind)))
        numeric = [j for j in range(len(encoder.schema)) if j not in categories]
        kept = ~np.isnan(codes).any(axis=1)
        np.testing.assert_allclose(errors[kept].mean(axis=0)[categories], 1, atol=0.05)
        np.testing.assert_allclose(errors[kept].mean(axis=0)[numeric[:2]], 1, atol=0.05)


def test_a_new_model_can_start_at_the_error_of_knowing_nothing(table):
    import kerasae
    from kerasae.models.recipes import start_at_mean

    model = kerasae.table_autoencoder(table, (16, 2))
    codes = model.schema.codes(table)
    before = model.reconstruction_error(codes).mean()
    start_at_mean(model, codes)
    after = model.reconstruction_error(codes).mean()
    assert after < before
    assert after == pytest.approx(1, abs=0.1)


def test_an_unseen_level_has_a_large_error():
    encoder = made({"colour": ["red", "blue"] * 20})
    sure = ops.convert_to_tensor(np.array([[9.0, 0.0, 0.0]], "float32"))
    seen, unseen = (
        float(np.asarray(encoder.errors(np.array([[code]], "float32"), sure))[0, 0])
        for code in (0.0, 2.0)
    )
    assert seen < 0.01
    assert unseen > 5
    assert np.asarray(encoder.inverse(np.array([[0.0, 1.0, 9.0]]))).tolist() == [[1.0]]


def test_constant_columns_are_zero_and_a_drift_keeps_its_size():
    encoder = made({"same": [3.0] * 9, "also": ["a"] * 9})
    assert np.asarray(encoder(np.array([[0.0, 0.0]])))[0, 0] in (-3.0, 0.0)
    codes = encoder.codes({"same": [3.0, 4.0], "also": ["a", "a"]})
    z = np.asarray(encoder(codes))[:, 0]
    assert z.tolist() == [0.0, 1.0]


def test_layout_puts_categories_of_equal_width_together():
    layout = Layout([("category", 3), ("number", 0), ("category", 2), ("category", 3)], [1])
    assert layout.column_of.tolist() == [1, 2, 2, 0, 0, 0, 3, 3, 3, 1]
    assert Layout(**layout.get_config()).column_of.tolist() == layout.column_of.tolist()
