import keras
import numpy as np
import pytest

import kerasae
from kerasae.callbacks import AtomicBackup, PenaltyWarmup


def betas(model):
    """A callback that records beta within each epoch, and its record."""
    seen = []
    beta = model.encoder.layers[-1].beta
    return seen, keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(float(beta))
    )


@pytest.mark.fast(every=2)
@pytest.mark.parametrize("compiled", [{}, {"steps_per_execution": 3, "jit_compile": True}])
def test_beta_rises_in_a_line_and_stays(make, x, compiled):
    model = make(**compiled)
    seen, record = betas(model)
    model.fit(x, epochs=6, verbose=0, callbacks=[PenaltyWarmup(4), record])
    assert seen == pytest.approx([0, 0.01, 0.02, 0.03, 0.04, 0.04], rel=1e-6)


def test_the_penalty_in_the_loss_follows_beta(x):
    model = kerasae.sparse_autoencoder((64,), (16, 8), beta=0.04)
    model.compile(keras.optimizers.SGD(1e-12))  # the weights stay
    history = model.fit(
        x, batch_size=len(x), epochs=5, verbose=0, callbacks=[PenaltyWarmup(4)]
    ).history
    penalty = np.subtract(history["loss"], history["mse"])
    assert penalty[0] == pytest.approx(0, abs=1e-7)
    np.testing.assert_allclose(penalty, np.array([0, 1, 2, 3, 4]) * penalty[4] / 4, atol=1e-6)


def test_beta_is_whole_after_a_fit_that_ends_within_the_warmup(make, x):
    model = make()
    model.fit(x, epochs=2, verbose=0, callbacks=[PenaltyWarmup(10)])
    assert float(model.encoder.layers[-1].beta) == pytest.approx(0.04)


ORDERS = [
    lambda folder: [PenaltyWarmup(4), keras.callbacks.BackupAndRestore(folder)],
    lambda folder: [keras.callbacks.BackupAndRestore(folder), PenaltyWarmup(4)],
    lambda folder: [PenaltyWarmup(4), AtomicBackup(folder)],
    lambda folder: [AtomicBackup(folder), PenaltyWarmup(4)],
]


@pytest.mark.parametrize("callbacks", ORDERS)
@pytest.mark.fast(every=2)
def test_a_run_that_stops_in_the_warmup_resumes_to_the_same_weights(
    make, x, tmp_path, interrupted, callbacks
):
    whole, resumed = make(), make()
    whole.fit(x, epochs=6, shuffle=False, verbose=0, callbacks=[PenaltyWarmup(4)])
    interrupted(make(), x, 3, callbacks(tmp_path / "run"), epochs=6, shuffle=False)
    seen, record = betas(resumed)
    resumed.fit(
        x, epochs=6, shuffle=False, verbose=0, callbacks=[*callbacks(tmp_path / "run"), record]
    )
    assert seen[-2:] == pytest.approx([0.04, 0.04])
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_interrupted_or_saved_in_the_warmup_still_knows_its_beta(
    make, x, tmp_path, interrupted
):
    model = make()
    interrupted(model, x, 2, [PenaltyWarmup(4)], epochs=6)
    assert float(model.encoder.layers[-1].beta) < 0.03
    model.save(tmp_path / "model.keras")
    for one in (model, kerasae.load_model(tmp_path / "model.keras")):
        seen, record = betas(one)
        one.fit(x, initial_epoch=3, epochs=5, verbose=0, callbacks=[PenaltyWarmup(4), record])
        assert seen == pytest.approx([0.03, 0.04])


def test_only_penalties_are_warmed_up_not_normalizations(x):
    layers = [
        keras.layers.Dense(6, activation="tanh"),
        keras.layers.BatchNormalization(trainable=False),
        kerasae.KLSparsityRegularizer(0.0, 0.5, name="first"),
        keras.layers.Dense(4, activation="tanh"),
        kerasae.KLSparsityRegularizer(0.0, 0.25, name="second"),
    ]
    encoder = keras.Sequential([keras.Input((64,)), *layers])
    decoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(64)])
    for name, expected in ((None, (0.25, 0.125)), ("second", (0.5, 0.125))):
        model = kerasae.Autoencoder(encoder, decoder)
        model.compile()
        normalization = np.array(layers[1].beta)
        seen = []
        record = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs, seen=seen: seen.append(
                (float(layers[2].beta), float(layers[4].beta))
            )
        )
        model.fit(x, epochs=2, verbose=0, callbacks=[PenaltyWarmup(2, name), record])
        assert seen[1] == expected
        np.testing.assert_array_equal(layers[1].beta, normalization)


def test_nothing_to_warm_up_is_an_error(make, x):
    with pytest.raises(ValueError, match="must have a layer with a beta.*Received: none"):
        kerasae.stacked_autoencoder((64,), (8,)).fit(x, callbacks=[PenaltyWarmup(4)])
    with pytest.raises(ValueError, match="layer with a beta='spasity'. Try sparsity"):
        make().fit(x, callbacks=[PenaltyWarmup(4, "spasity")])
    for epochs in (0, -1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="epochs must be a whole number of at least 1"):
            PenaltyWarmup(epochs)
