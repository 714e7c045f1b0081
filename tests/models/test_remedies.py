"""Codings that are as many as the columns want a remedy that is switched on: case 20."""

import warnings

import keras
import pytest

import kerasae
from kerasae import layers
from kerasae.layers.base import stops_identity

WIDE = {"input_shape": (6,), "hidden_units": (8, 6)}
IMAGES = {"input_shape": (4, 4, 1), "hidden_units": (8, 16)}
KERAS = keras.layers
OFF = {
    "nothing": lambda: kerasae.stacked_autoencoder(**WIDE),
    "beta 0": lambda: kerasae.sparse_autoencoder(**WIDE, beta=0.0),
    "contractive, beta 0": lambda: kerasae.contractive_autoencoder(**WIDE, beta=0.0),
    "adversarial, beta 0": lambda: kerasae.adversarial_autoencoder(**WIDE, beta=0.0),
    "variational, beta 0": lambda: kerasae.variational_autoencoder(**WIDE, beta=0.0),
    "k = codings": lambda: kerasae.k_sparse_autoencoder(**WIDE, k=6),
    "k above codings": lambda: kerasae.k_sparse_autoencoder(**WIDE, k=60),
    "winners 1": lambda: kerasae.winner_take_all_autoencoder(**WIDE, winners=1.0),
    "rate 0": lambda: kerasae.denoising_autoencoder(
        **WIDE, corruption=kerasae.SaltPepperDropout(0.0)
    ),
    "stddev 0": lambda: kerasae.denoising_autoencoder(
        **WIDE, corruption=kerasae.GaussianCorruption(0.0)
    ),
    "noise on none": lambda: kerasae.denoising_autoencoder(
        **WIDE, corruption=kerasae.GaussianCorruption(0.5, rate=0.0)
    ),
    "dropout 0": lambda: kerasae.stacked_autoencoder(**WIDE, corruption=KERAS.Dropout(0.0)),
    "Keras's noise 0": lambda: kerasae.stacked_autoencoder(
        **WIDE, corruption=KERAS.GaussianNoise(0.0)
    ),
    "an identity": lambda: kerasae.stacked_autoencoder(**WIDE, bottleneck=KERAS.Identity()),
    "a plain layer": lambda: kerasae.stacked_autoencoder(**WIDE, codings=KERAS.Dense(6)),
    "a penalty of 0": lambda: kerasae.stacked_autoencoder(
        **WIDE, bottleneck=KERAS.ActivityRegularization()
    ),
    "a layer, beta 0": lambda: kerasae.stacked_autoencoder(
        **WIDE, bottleneck=layers.ContractivePenalty(0.0), activation="tanh"
    ),
    "images": lambda: kerasae.convolutional_autoencoder(**IMAGES),
    "images, rate 0": lambda: kerasae.denoising_autoencoder(
        **IMAGES, corruption=kerasae.SaltPepperDropout(0.0)
    ),
}


class Own(layers.PassThrough):
    def call(self, inputs):
        return inputs


ON = {
    "fewer codings": lambda: kerasae.stacked_autoencoder((6,), (8, 5)),
    "sparse": lambda: kerasae.sparse_autoencoder(**WIDE, beta=0.1),
    "contractive": lambda: kerasae.contractive_autoencoder(**WIDE),
    "adversarial": lambda: kerasae.adversarial_autoencoder(**WIDE),
    "variational": lambda: kerasae.variational_autoencoder(**WIDE),
    "k-sparse": lambda: kerasae.k_sparse_autoencoder(**WIDE, k=5),
    "winner-take-all": lambda: kerasae.winner_take_all_autoencoder(**WIDE),
    "denoising": lambda: kerasae.denoising_autoencoder(**WIDE),
    "masking": lambda: kerasae.denoising_autoencoder(
        **WIDE, corruption=kerasae.SaltPepperDropout(0.3)
    ),
    "dropout": lambda: kerasae.stacked_autoencoder(**WIDE, corruption=KERAS.Dropout(0.1)),
    "Keras's noise": lambda: kerasae.stacked_autoencoder(
        **WIDE, corruption=KERAS.GaussianNoise(0.1)
    ),
    "Keras's penalty": lambda: kerasae.stacked_autoencoder(
        **WIDE, bottleneck=KERAS.ActivityRegularization(l1=0.1)
    ),
    "codings with a penalty": lambda: kerasae.stacked_autoencoder(
        **WIDE, codings=KERAS.Dense(6, activity_regularizer="l1")
    ),
    "a layer of the user's own": lambda: kerasae.stacked_autoencoder(**WIDE, bottleneck=Own()),
    "one of two is on": lambda: kerasae.sparse_autoencoder(
        **WIDE, beta=0.0, corruption=kerasae.GaussianCorruption(0.1)
    ),
    "places of maps compete": lambda: kerasae.winner_take_all_autoencoder(
        (4, 4, 1), (8, 16), winners=1.0
    ),
}


@pytest.mark.parametrize("name", OFF)
def test_a_remedy_that_is_switched_off_is_none(name):
    with pytest.warns(UserWarning, match="nothing keeps the model from learning the identity"):
        OFF[name]()


@pytest.mark.parametrize("name", ON)
def test_one_that_is_on_is_enough(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ON[name]()


def test_layers_within_models_count():
    off = keras.Sequential([keras.Input((6,)), KERAS.Dropout(0.0), KERAS.Activation("tanh")])
    on = keras.Sequential([keras.Input((6,)), KERAS.Dropout(0.2)])
    assert (stops_identity(off), stops_identity(on), stops_identity(None)) == (False, True, False)
