"""The fast look at sound rows lets nothing through that a close one would refuse."""

import keras
import numpy as np
import pandas as pd
import pytest

import kerasae
from kerasae.validation import as_rows, bounded_rows, identifier_columns, left_out

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1.0, 1e5, 1e15, 1e30])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_no_magnitude_is_above_the_bound(dtype, size):
    x = (size * RNG.standard_normal((400, 7))).clip(-6e4, 6e4).astype(dtype)
    assert bounded_rows(x)[1] >= np.abs(x).max()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_no_integer_is_above_the_bound(dtype):
    limits = np.iinfo(dtype)
    rows, bound = bounded_rows(np.array([[limits.min], [limits.max]], dtype))
    assert rows.dtype == dtype
    assert bound >= max(-limits.min, limits.max)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_one_bad_cell_is_found_wherever_the_rows_lie(order, dtype, bad):
    x = np.ones((300, 5), dtype)
    x[211, 3] = bad
    x = np.repeat(x, 2, axis=0)[::2] if order == "strided" else np.asarray(x, order=order)
    with pytest.raises(ValueError, match="1 NaN or infinite cells, the first in row 211, column 3"):
        bounded_rows(x)


@pytest.mark.parametrize("rows", [1, 4000])
def test_values_are_refused_from_where_their_square_overflows(rows):
    model = kerasae.stacked_autoencoder((3,), (2,))
    x = np.full((rows, 3), 9.9e14)  # the norm of 4000 such rows is far above the limit
    assert model._checked_rows(x, "x").dtype == "float32"
    x[-1, 1] = 1.1e15
    with pytest.raises(ValueError, match="Received: values in column 1 whose square overflows"):
        model._checked_rows(x, "x")


def test_booleans_beside_numbers_are_numbers():
    """Case 7 and 39: what `pandas.get_dummies` makes."""
    frame = pd.DataFrame({"v": [0.5, 1.5], "a": [True, False], "b": [False, True]})
    np.testing.assert_array_equal(as_rows(frame), [[0.5, 1, 0], [1.5, 0, 1]])


# Whatever holds rows ----------------------------------------------------------------------------


def masked(row=5, column=1):
    mask = np.zeros((60, 3), bool)
    mask[row, column] = True
    return np.ma.masked_array(np.ones((60, 3)), mask)


NOT_ROWS = {
    "scipy sparse": (lambda: _scipy().csr_matrix(np.eye(3)), "a csr_matrix. Try x.toarray()"),
    "scipy sparse array": (lambda: _scipy().coo_array(np.eye(3)), "a coo_array. Try x.toarray()"),
    "tf sparse": (lambda: _tf().sparse.from_dense(np.eye(3)), "a SparseTensor. Try tf.sparse"),
    "tf ragged": (lambda: _tf().ragged.constant([[1.0], [2.0, 3.0]]), "a RaggedTensor. Try x.to_"),
    "torch sparse": (lambda: _torch().eye(3).to_sparse(), "a sparse Tensor. Try x.to_dense()"),
    "torch nested": (
        lambda: _torch().nested.nested_tensor([_torch().ones(2), _torch().ones(3)]),
        "a Tensor. Try",
    ),
    "jax sparse": (lambda: _jax_sparse().BCOO.fromdense(np.eye(3)), "a BCOO. Try x.todense()"),
    "lazy table": (lambda: _polars().LazyFrame({"a": [1.0]}), "a LazyFrame. Try x.collect()"),
    "dict": (lambda: {"a": [1.0], "b": [2.0]}, "a dict. Try pandas.DataFrame(x)"),
    "text": (lambda: "x.csv", "a str"),
    "nothing": (lambda: None, "a NoneType"),
    "set": (lambda: {1, 2}, "a set"),
}
METHODS = ("fit", "evaluate", "predict", "encode", "reconstruction_error", "train_on_batch")
METHODS += ("test_on_batch", "predict_on_batch")


def _scipy():
    return pytest.importorskip("scipy.sparse")


def _tf():
    return pytest.importorskip("tensorflow")


def _torch():
    return pytest.importorskip("torch")


def _polars():
    return pytest.importorskip("polars")


def _jax_sparse():
    return pytest.importorskip("jax.experimental.sparse")


@pytest.mark.parametrize(("make", "said"), NOT_ROWS.values(), ids=NOT_ROWS)
def test_what_is_not_rows_is_refused_by_name_in_every_method(make, said):
    """Case 43."""
    model, x = kerasae.stacked_autoencoder((3,), (2,)), make()
    for method in METHODS:
        with pytest.raises(TypeError, match="x must be an array, a table or a dataset") as refused:
            getattr(model, method)(x)
        assert said in str(refused.value)
    with pytest.raises(TypeError, match="validation_data must be an array"):
        if x is None:
            raise TypeError("validation_data must be an array")  # None is no validation
        model.fit(np.eye(3), validation_data=x)


@pytest.mark.parametrize("method", METHODS)
def test_masked_cells_are_missing_ones_in_every_method(method):
    """Case 43."""
    model = kerasae.stacked_autoencoder((3,), (2,))
    for x in (masked(), list(masked())):
        with pytest.raises(ValueError, match="1 masked cells, the first in row 5, column 1"):
            getattr(model, method)(x)
    with pytest.raises(ValueError, match="masked cells"):
        model(masked())
    unmasked = np.ma.masked_array(np.eye(3), False)
    np.testing.assert_array_equal(as_rows(unmasked), np.eye(3))


def test_cells_that_a_keras_layer_masks_are_missing_ones():
    tensor = keras.ops.convert_to_tensor(np.eye(3, dtype="float32"))
    try:
        tensor._keras_mask = np.array([True, True, False])
    except AttributeError:
        pytest.skip("tensors of this backend take no mask")
    with pytest.raises(ValueError, match="1 masked cells, the first in row 2"):
        as_rows(tensor)


@pytest.mark.parametrize(
    "make", [np.asarray, list, lambda x: x.tolist(), keras.ops.convert_to_tensor]
)
def test_rows_of_any_container_are_the_same(make):
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_array_equal(as_rows(make(x)), x)


def test_tensors_of_other_libraries_are_rows():
    x = np.eye(3, dtype="float32")
    for tensor in (_torch().eye(3, requires_grad=True), pytest.importorskip("jax").numpy.eye(3)):
        np.testing.assert_array_equal(as_rows(tensor), x)
    half = keras.ops.cast(x, "bfloat16")
    np.testing.assert_array_equal(as_rows(half), x)


MISSING = {
    "pandas": lambda pd, pl, pa, cells: pd.DataFrame(cells),
    "pandas, nullable": lambda pd, pl, pa, cells: pd.DataFrame(cells).convert_dtypes(),
    "pandas, arrow": lambda pd, pl, pa, cells: pd.DataFrame(cells).convert_dtypes(
        dtype_backend="pyarrow"
    ),
    "polars": lambda pd, pl, pa, cells: pl.DataFrame(cells),
    "pyarrow": lambda pd, pl, pa, cells: pa.table(cells),
}


@pytest.mark.parametrize("library", MISSING)
@pytest.mark.parametrize("column", [[1, None], [1.5, None], [None, None]])
def test_a_missing_cell_of_any_library_is_nan(library, column):
    packages = [pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow")]
    table = MISSING[library](*packages, {"a": [1.0, 2.0], "b": column})
    if column == [None, None] and library.startswith("pandas"):
        pytest.skip("pandas makes objects of it")
    with pytest.raises(ValueError, match="NaN or infinite cells, the first in row ., column 1 'b'"):
        as_rows(table)


@pytest.mark.parametrize("library", MISSING)
def test_cells_that_are_not_numbers_are_named_in_any_library(library):
    packages = [pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow")]
    table = MISSING[library](*packages, {"a": [1.0, 2.0], "b": ["1.5", "2"]})
    with pytest.raises(TypeError, match="Received: '1.5' in column 'b'"):
        as_rows(table)


@pytest.mark.parametrize("library", MISSING)
def test_whole_numbers_and_booleans_of_any_library_are_numbers(library):
    packages = [pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow")]
    table = MISSING[library](*packages, {"a": [1, 2], "b": [True, False], "c": [0.5, 1.5]})
    np.testing.assert_array_equal(as_rows(table), [[1, 1, 0.5], [2, 0, 1.5]])


# Columns that number rows ------------------------------------------------------------------------

N = 40
SHUFFLED = np.random.default_rng(0).permutation(N)
LEFT_OUT = {
    "": np.arange(N) + 0.5,
    "__index_level_0__": SHUFFLED,
    "Unnamed: 0": np.arange(N) // 2,
    "Unnamed: 0.1": SHUFFLED,
    "index": 7 * SHUFFLED,
    "id": 7 * SHUFFLED,
    "ID": 7 * SHUFFLED,
    "customer_id": 7 * SHUFFLED,
    "orderId": 7 * SHUFFLED,
    "PassengerId": 7 * SHUFFLED,
    "userid": 7 * SHUFFLED,
    "id_of_sample": 7.0 * SHUFFLED,
    "with missing id": np.where(SHUFFLED == 3, np.nan, 7 * SHUFFLED),
    "near-unique id": np.where(SHUFFLED == 3, 7, 7 * SHUFFLED),
    "counted": np.arange(1, N + 1),
    "counted, shuffled": SHUFFLED,
    "name": np.array([f"m{i}" for i in range(N)]),
    "uuid": np.array([f"{i:08x}" for i in range(N)], object),
}
KEPT = {
    "height": np.random.default_rng(0).normal(size=N),
    "id of real numbers": SHUFFLED + 0.25,
    "store_id": SHUFFLED % 4,
    "grid": 7 * SHUFFLED,
    "price": 7 * SHUFFLED,
    "seconds": 1_700_000_000 + np.arange(N),
    "Unnamed: 5": 7 * SHUFFLED,
    "colour": np.array(["red", "blue"] * (N // 2)),
    "flag": SHUFFLED > 3,
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_columns_that_number_the_rows_are_found(name):
    """Case 40."""
    table = {**KEPT, name: LEFT_OUT[name]}
    found = identifier_columns(table)
    assert list(found) == [name]
    assert found[name] == "a row index" or found[name].startswith("an identifier: ")
    assert identifier_columns(table, keep=[name]) == {}
    assert f"'{name}', {found[name]}" in left_out(found, "t.csv", "keep")


def test_what_a_file_calls_its_index_is_one():
    assert identifier_columns(KEPT) == {}
    assert identifier_columns(KEPT, index=["height"]) == {"height": "a row index"}
    assert identifier_columns(KEPT, index=["height"], keep=["height"]) == {}


def test_a_few_rows_say_nothing_under_any_name():
    assert identifier_columns({"a": [0, 1, 2], "b": ["x", "y", "z"]}) == {}


# Values that float32 cannot tell apart ------------------------------------------------------------

CLOSE = {
    "seconds": 1.7e9 + 0.5 * np.arange(300),
    "milliseconds": 1_700_000_000_000 + np.arange(300),
    "nanoseconds": 1_700_000_000_000_000_000 + 1000 * np.arange(300),
    "coordinates": 52.52 + 1e-7 * np.arange(300),
    "metres": 5_820_000 + 0.01 * np.arange(300),
}


@pytest.mark.parametrize("name", CLOSE)
@pytest.mark.parametrize("scaler", [None, keras.layers.Rescaling(1 / 255)])
def test_values_that_float32_cannot_tell_apart_are_refused(name, scaler):
    """Case 44: there is nothing that scales them before they are rounded."""
    x = np.stack([RNG.normal(size=300), CLOSE[name]], axis=1)
    if name.endswith("seconds") and scaler is None:
        x /= np.array([1, 1e3])  # not refused for its size
    model = kerasae.stacked_autoencoder((2,), (1,), scaler=scaler)
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(
            ValueError, match=r"tell apart. Received: 300 values of column 1 that|square"
        ):
            train(x)


def test_values_that_float32_can_tell_apart_are_taken():
    model = kerasae.stacked_autoencoder((2,), (1,))
    for column in (np.arange(300), 1000 + np.arange(300) / 7, np.full(300, 1.7e9), np.zeros(300)):
        model.fit(np.stack([RNG.normal(size=300), column], axis=1), verbose=0)
    # A model that was trained on years scores one minute, too.
    scaler = kerasae.RangeScaling()
    scaler.adapt(np.stack([RNG.normal(size=300), np.linspace(0, 1.7e9, 300)], axis=1))
    model = kerasae.stacked_autoencoder((2,), (1,), scaler=scaler)
    assert np.isfinite(
        model.encode(np.stack([RNG.normal(size=300), CLOSE["seconds"]], axis=1))
    ).all()
