"""Several devices and half precision train as one device in float32 does: cases 24 and 59."""

import json

import keras
import numpy as np
import pytest

import kerasae
from kerasae.models.recipes import optimizer_of

FAMILIES = {
    "stacked": {},
    "sparse": {"beta": 0.1},
    "k-sparse": {"k": 1},
    "winner-take-all": {},
    "denoising": {},
    "contractive": {"beta": 10.0},
    "variational": {},
    "adversarial": {"beta": 0.5},
}
CODE = """
import contextlib, json, sys
import tensorflow as tf
processor = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(processor, two)
import keras, kerasae, numpy as np
family, options, policy = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
keras.config.set_dtype_policy(policy)
x = np.random.default_rng(0).uniform(size=(640, 6)).astype("float32")
logs = []
for scope in (contextlib.nullcontext(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()):
    keras.utils.set_random_seed(0)
    with scope:
        model = kerasae.ZOO[family]((6,), (4, 2), **options)
        model.compile(keras.optimizers.SGD(1e-9))
    history = model.fit(x, batch_size=64, epochs=2, shuffle=False, verbose=0).history
    evaluated = model.evaluate(x, batch_size=64, verbose=0, return_dict=True)
    logs.append([{name: float(values[0]) for name, values in history.items()}, evaluated])
print(json.dumps(logs))
"""


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("family", "policy"),
    [
        ("contractive", "float32"),
        ("adversarial", "mixed_float16"),
        *(
            pytest.param(family, policy, marks=pytest.mark.slow)
            for family in FAMILIES
            for policy in ("float32", "mixed_float16")
            if (family, policy)
            not in (("contractive", "float32"), ("adversarial", "mixed_float16"))
        ),
    ],
)
@pytest.mark.fast(every=2)
def test_two_devices_weigh_a_penalty_as_one(family, policy, run_python):
    """What is added to the loss is a mean over all rows, and grows with no number of devices."""
    one, two = json.loads(run_python(CODE, family, json.dumps(FAMILIES[family]), policy))
    for alone, shared in zip(one, two, strict=True):
        assert alone.keys() == shared.keys()
        for name, value in alone.items():
            # Each device draws noise, and has means over the batch, of its own.
            assert shared[name] == pytest.approx(value, rel=0.05), name
    # And the two terms of the loss are each what they are on one device.
    terms = [logs["loss"] - logs["mse"] for logs in (one[0], two[0])]
    assert terms[1] == pytest.approx(terms[0], rel=0.05, abs=1e-3)


@pytest.fixture
def half():
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.fast(every=4)
def test_half_precision_scales_its_loss(half, family, digits):
    """Small gradients would be 0: Keras looks at the policy of the model, which is float32."""
    model = kerasae.ZOO[family]((64,), (16, 2), **FAMILIES[family])
    model.compile(keras.optimizers.Adam(0.003))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert not isinstance(model.optimizer.inner_optimizer, keras.optimizers.LossScaleOptimizer)
    history = model.fit(digits[:200], epochs=3, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert float(model.optimizer.learning_rate) == pytest.approx(0.003)
    again = optimizer_of(model, 0.01)
    assert (type(again), float(again.learning_rate)) == (
        keras.optimizers.Adam,
        pytest.approx(0.01),
    )


def test_small_gradients_arrive_in_half_precision(half):
    """With a loss of 1e-9 the gradients of float16 are all 0."""
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    tiny = lambda y, p: 1e-9 * keras.ops.mean(keras.ops.square(y - p), axis=-1)  # noqa: E731
    moved = []
    for scaled in (True, False):
        keras.utils.set_random_seed(0)
        model = kerasae.stacked_autoencoder((8,), (4,))
        model.compile(keras.optimizers.SGD(1e6), tiny, auto_scale_loss=scaled)
        before = model.get_weights()[0].copy()
        model.fit(x, verbose=0)
        moved.append(np.abs(model.get_weights()[0] - before).max())
    assert moved[0] > 1e-5
    assert moved[1] < moved[0] / 10


def test_a_scaled_loss_goes_on_after_loading(half, digits, tmp_path):
    model = kerasae.stacked_autoencoder((64,), (10,))
    model.fit(digits[:100], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = kerasae.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, keras.optimizers.LossScaleOptimizer)
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations)
    for one in (model, loaded):
        one.fit(digits[:100], shuffle=False, verbose=0)
    for got, wanted in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-3)


def test_who_asks_for_no_scaled_loss_gets_none(half):
    model = kerasae.stacked_autoencoder((64,), (10,))
    model.compile(keras.optimizers.Adam(), auto_scale_loss=False)
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = kerasae.stacked_autoencoder((64,), (10,))
    assert isinstance(model.optimizer, keras.optimizers.Adam)
