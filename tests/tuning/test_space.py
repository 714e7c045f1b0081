import pytest

from kerasae.datasets import load
from kerasae.layers import GaussianCorruption, SaltPepperDropout
from kerasae.tuning import space


def test_what_people_write_is_read():
    assert space.parse(["layout=50,100-50-100", "beta=0.01,0.1", "corruption=gaussian:0.2"]) == {
        "layout": ["50", "100-50-100"],
        "beta": [0.01, 0.1],
        "corruption": ["gaussian:0.2"],
    }
    assert space.parse(["beta=1e-4:1:5"]) == {"beta": [0.0001, 0.001, 0.01, 0.1, 1.0]}
    assert space.parse(["rho=-0.5:0.5", "batch_size=32:256"]) == {
        "rho": {"low": -0.5, "high": 0.5},
        "batch_size": {"low": 32, "high": 256},
    }


@pytest.mark.parametrize(
    "text", ["beta", "beta=", "=1", "beta=1:0", "beta=0:1:3", "beta=0.1:1:1", "beta=a:b"]
)
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(ValueError, match="must be .* Received: .*Try"):
        space.parse([text])


@pytest.mark.parametrize(
    ("given", "model", "message"),
    [
        ({"bta": [1]}, "sparse", "Received: hyperparameter='bta' \\(--set\\). Try beta"),
        ({"beta": [1]}, "stacked", "Received: hyperparameter='beta'"),
        ({"layout": ["300-100"]}, "stacked", "Try 300-100-300"),
        ({"beta": {"low": 0.1, "high": 1}}, "sparse", "Try beta=0.1:1:5, or another tuner"),
        ({"beta": [0.1, 0.1]}, "sparse", "beta must have distinct values"),
        ({"scaler": ["range"]}, "stacked", "Received: hyperparameter='scaler'"),
        ({"rate": [0.1], "stddev": [0.1]}, "denoising", "Received: rate and stddev"),
        ({"layout": ["8"]}, "staked", "Received: model='staked'. Try stacked"),
    ],
)
def test_a_wrong_space_is_refused(given, model, message):
    with pytest.raises(ValueError, match=message):
        space.check(given, model, "grid")


def test_every_hyperparameter_reaches_its_model():
    rows = load("digits")
    build = lambda model, **values: space.build(model, values, rows, None)  # noqa: E731
    model = build("sparse", layout="20-6-20", rho=0.3, beta=0.7, activation="sigmoid")
    assert [layer.units for layer in model.encoder.layers[:2]] == [20, 6]
    sparsity = model.encoder.layers[-1]
    assert (sparsity.rho, float(sparsity.beta)) == (0.3, pytest.approx(0.7))
    assert model.encoder.layers[0].activation.__name__ == "sigmoid"
    noise = build("denoising", stddev=0.4).encoder.layers[0]
    assert isinstance(noise, GaussianCorruption)
    assert noise.stddev == 0.4
    noise = build("denoising", rate=0.25).encoder.layers[0]
    assert isinstance(noise, SaltPepperDropout)
    assert (noise.rate, noise.low, noise.high) == (0.25, 0, 16)


def test_ranges_and_values_as_keras_tuner_has_them():
    given = {
        "beta": {"low": 0.001, "high": 1},
        "batch_size": {"low": 8, "high": 64},
        "rho": [0, 0.5],
    }
    beta, batch, rho = space.hyperparameters(given).space
    assert (beta.min_value, beta.max_value, beta.sampling) == (0.001, 1, "log")
    assert isinstance(batch.random_sample(0), int)
    assert rho.values == [0.0, 0.5]
