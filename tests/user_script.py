"""What a user writes, checked by the type checker: it must know every name, argument and result."""

import keras
import numpy as np

import kerasae
from kerasae import anomaly, callbacks, datasets, plots
from kerasae.layers import ContractivePenalty, MixturePrior
from kerasae.models import conv_stack
from kerasae.tuning import best_model, leaderboard, search

data = datasets.load("digits")
x: np.ndarray = data.x_train
scaler = kerasae.RangeScaling()
scaler.adapt(x)

model: kerasae.Autoencoder = kerasae.sparse_autoencoder(
    (64,),
    (64, 100),
    rho=-0.1,
    beta=0.01,
    scaler=scaler,
    columns=[f"pixel {i}" for i in range(64)],
    corruption=kerasae.SaltPepperDropout(rate=0.3, low=-0.5, high=0.5, name="noise"),
)
model.compile(keras.optimizers.Adam(0.01), steps_per_execution=10)
history: keras.callbacks.History = model.fit(
    x,
    batch_size=64,
    epochs=2,
    validation_data=data.x_test,
    callbacks=[callbacks.StabilityGuard(), callbacks.PenaltyWarmup(2)],
)
codings: np.ndarray = model.encode(x, batch_size=128)
errors: np.ndarray = model.reconstruction_error(x, per_feature=True, verbose=1)
hidden: np.ndarray = kerasae.deep_features(model, x, "hidden_1", batch_size=128)
print(codings.shape, errors.mean(), hidden.shape, model.decode(codings).shape)

cutoff: float = anomaly.calibrate(model, data.x_test, threshold="p99")
scores: anomaly.Scores = anomaly.score(model, data.x, batch_size=512)
print(cutoff, scores.p_value.min(), scores.is_anomaly.sum())
trimmed: anomaly.Trimmed = anomaly.trim_and_refit(model, x, quantile=0.75, epochs=2)
print(trimmed.model.row_shape, trimmed.kept.sum())

folder = kerasae.export_saved_model(model, "saved_models/digits", metrics={"mse": 0.1})
again: kerasae.Autoencoder = kerasae.load_model(folder.parent)
plots.error_histogram(scores.anomaly_score, threshold=cutoff).savefig("errors.png")

generative = kerasae.adversarial_autoencoder(
    (64,), (32, 2), prior=MixturePrior(stddev=0.3), discriminator_units=(16,), seed=0
)
rows: np.ndarray = generative.generate(10, seed=1)
images = kerasae.stacked_autoencoder(
    (8, 8, 1), (4, 8), stack=conv_stack, bottleneck=ContractivePenalty(0.1)
)
network = kerasae.supervised_from(again, keras.layers.Dense(10, activation="softmax"))
network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
network.fit(x, data.y_train, epochs=1)

search("digits", {"layout": ["8", "32-8-32"], "beta": [0.1]}, "sweeps/first", model="sparse")
print(leaderboard("sweeps/first")["val_mse"].min(), best_model("sweeps/first").columns)
