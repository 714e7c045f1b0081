"""What every layer keeps: its configuration, its symbolic shape, dtype policies, masks."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasae
from kerasae import layers
from kerasae.layers.base import AutoencoderLayer, PassThrough, is_identity_at_inference

# Each name: a layer with arguments other than the defaults, and the shape of its input.
LAYERS = {
    "AdversarialPrior": lambda: layers.AdversarialPrior(
        layers.MixturePrior([[0.0, 1.0], [2.0, 3.0]], 0.3), (5,), 0.2, seed=1
    ),
    "ContractivePenalty": lambda: layers.ContractivePenalty(0.3, seed=1),
    "GaussianCodings": lambda: layers.GaussianCodings(3, beta=0.5, bound=4.0, seed=1),
    "GaussianCorruption": lambda: layers.GaussianCorruption(0.2, rate=0.5, seed=1),
    "KLSparsityRegularizer": lambda: layers.KLSparsityRegularizer(0.2, 0.1, (0, 1)),
    "KSparse": lambda: layers.KSparse(1, alpha=2.0),
    "MissingCorruption": lambda: layers.MissingCorruption(0.3, [0, 0], [0.0, 1.0], seed=1),
    "MixedDense": lambda: layers.MixedDense(3, "float16", activation="tanh"),
    "NoiseLevelFeatures": layers.NoiseLevelFeatures,
    "RangeScaling": layers.RangeScaling,
    "ResidualDenoising": lambda: layers.ResidualDenoising(1, "tanh", 0.5, seed=1),
    "SaltPepperDropout": lambda: layers.SaltPepperDropout(0.3, 0.4, low=-1.0, high=2.0, seed=1),
    "SpatialWinnerTakeAll": lambda: layers.SpatialWinnerTakeAll(0.5),
    "SwapCorruption": lambda: layers.SwapCorruption(0.3, [0, 1], seed=1),
    "WrongCorruption": lambda: layers.WrongCorruption(0.3, [0, 1], [0], seed=1),
    "WinnerTakeAll": lambda: layers.WinnerTakeAll(0.5),
}
CONCRETE = {
    name
    for name in layers.__all__
    if isinstance(one := getattr(layers, name), type)
    and issubclass(one, keras.layers.Layer)
    and name not in ("AutoencoderLayer", "Corruption", "PassThrough", "TiedDense")
}


def shape_of(name):
    # One hidden unit, one column and its level for ResidualDenoising.
    shapes = {"SpatialWinnerTakeAll": (6, 4, 4, 2), "ResidualDenoising": (6, 3)}
    return shapes.get(name, (6, 2))


def rows(name, dtype="float32"):
    return np.random.default_rng(0).uniform(0.1, 0.9, shape_of(name)).astype(dtype)


def make(name, **options):
    layer = LAYERS[name]()
    if options:
        layer = type(layer).from_config({**layer.get_config(), **options})
    if name == "RangeScaling":
        layer.adapt(rows(name))
    return layer


def test_every_layer_is_covered():
    assert set(LAYERS) == CONCRETE  # TiedDense needs another layer: tests/layers/test_tied.py


@pytest.mark.parametrize("name", LAYERS)
def test_a_configuration_goes_round(name):
    layer = make(name)
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    written = keras.saving.serialize_keras_object(layer)
    assert written["registered_name"] == f"kerasae>{name}"
    read = keras.saving.deserialize_keras_object(written)
    assert read.get_config() == config


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [False, True])
def test_the_symbolic_output_is_that_of_the_call(name, training):
    layer = make(name)
    takes = "training" in str(layer.call.__code__.co_varnames)
    options = {"training": training} if takes else {}
    symbolic = layer(keras.KerasTensor((None, *shape_of(name)[1:])), **options)
    got = layer(rows(name), **options)
    assert tuple(symbolic.shape[1:]) == tuple(got.shape[1:])
    assert symbolic.shape[0] is None
    assert keras.backend.standardize_dtype(got.dtype) == symbolic.dtype


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_outputs_are_finite_under_every_dtype_policy(name, policy):
    keras.config.set_dtype_policy(policy)
    try:
        layer = make(name)
        half = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}.get(policy, "float32")
        got = layer(ops.cast(rows(name), half))
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(ops.convert_to_numpy(ops.cast(got, "float32"))).all()
    for weight in layer.weights:
        if weight.dtype != "uint32":
            assert weight.dtype == "float32"
    if isinstance(layer, PassThrough):
        assert keras.backend.standardize_dtype(got.dtype) == half


@pytest.mark.parametrize("name", [n for n in LAYERS if isinstance(LAYERS[n](), PassThrough)])
def test_masks_pass_through(name):
    layer = make(name)
    assert layer.supports_masking
    mask = ops.convert_to_tensor(np.array([True, False, True, True, False, True]))
    assert layer.compute_mask(rows(name), mask) is mask


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_called_the_identity_at_inference_is_it(name):
    layer = make(name)
    if is_identity_at_inference(layer):
        np.testing.assert_array_equal(ops.convert_to_numpy(layer(rows(name))), rows(name))
        assert isinstance(layer.at_inference(), keras.layers.Identity)
    elif isinstance(layer, AutoencoderLayer) and name != "GaussianCodings":
        assert layer.at_inference() is None


def test_what_a_layer_does_at_inference_has_its_weights():
    layer = make("GaussianCodings")
    expected = ops.convert_to_numpy(layer(rows("GaussianCodings")))
    got = layer.at_inference()(rows("GaussianCodings"))
    np.testing.assert_allclose(ops.convert_to_numpy(got), expected, rtol=1e-6)


class Gate(PassThrough):
    """A gate of the decoder that reports and has a penalty of all three tensors."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.batches = self.add_weight((), initializer="zeros", trainable=False, name="batches")
        self.reported = keras.metrics.Sum("batches_of_gate")
        self.shapes = []

    def call(self, inputs, training=False):
        if training:
            self.batches.assign(self.batches + 1)
        return inputs

    def report(self):
        self.reported.update_state(ops.ones(()))

    def penalty(self, x, codings, reconstruction):
        self.shapes.append(tuple(tuple(one.shape[1:]) for one in (x, codings, reconstruction)))
        return 3.0 + 0 * ops.mean(reconstruction)

    def tie(self, encoder, decoder):
        self.tied = encoder.name, decoder.name


def test_hooks_are_found_in_the_decoder_too(digits):
    gate = Gate(name="gate")
    model = kerasae.stacked_autoencoder((64,), (10,), gate=gate)
    assert gate.tied == ("encoder", "decoder")
    history = model.fit(digits[:100], batch_size=50, verbose=0).history
    assert history["batches_of_gate"] == [2]
    assert history["loss"][0] == pytest.approx(3 + history["mse"][0], rel=1e-4)
    assert set(gate.shapes) == {((64,), (10,), (64,))}
    # Penalties and reports are of training.
    assert model.evaluate(digits[:100], verbose=0, return_dict=True)["loss"] < 1


def test_hooks_are_found_inside_of_models(digits):
    inner = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10), Gate(name="inner")])
    encoder = keras.Sequential([keras.Input((64,)), inner])
    decoder = keras.Sequential([keras.Input((10,)), keras.layers.Dense(64)])
    model = kerasae.Autoencoder(encoder, decoder)
    model.compile()
    history = model.fit(digits[:100], batch_size=50, verbose=0).history
    assert history["batches_of_gate"] == [2]


def test_a_contractive_penalty_serves_any_family(digits):
    """As a bottleneck it adds what ContractiveAutoencoder adds."""
    penalty = layers.ContractivePenalty(0.1, name="contraction")
    model = kerasae.stacked_autoencoder((64,), (10,), activation="sigmoid", bottleneck=penalty)
    model.compile(keras.optimizers.SGD(1e-9))
    x = digits[:50]
    history = model.fit(x, batch_size=50, verbose=0).history
    expected = float(penalty.weighted_norm(model.encoder.layers, x))
    assert expected > 1e-3
    assert history["loss"][0] - history["mse"][0] == pytest.approx(expected, rel=1e-3)
