# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Anomalies of a series
#
# Keras's example "Timeseries anomaly detection using an autoencoder" (Pavithra Vijay, 2020) on a series that is made
# here, and what kerasae adds to it: a score for every step, thresholds that hold, anomalies with a start and an
# end, and new steps as they come.
#
# The series has one value every quarter of an hour, 96 a day, fifty days without an anomaly and
# forty days with some.

# %%
import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import kerasae
from kerasae import series
from kerasae.models import conv1d_stack

keras.utils.set_random_seed(0)
DAY = 96
made = kerasae.datasets.make_series(50 * DAY, 40 * DAY, 1, period=DAY, anomalies=10, seed=1)
made.x_train.shape, made.x_test.shape, made.events

# %% [markdown]
# The model takes windows of a day. `windows` are views: no step is copied. The example's network has two
# convolutions with 32 and 16 filters, which halve the steps twice, and their mirror image: a
# `conv1d_stack` whose codings are feature maps. The scaler is in the model, so that all that
# follows is in the units of the series.

# %%
train, normal = made.x_train[: 40 * DAY], made.x_train[40 * DAY :]
cut = series.windows(train, DAY, stride=1)
scaler = keras.layers.Normalization()
scaler.adapt(train)
model = kerasae.convolutional_autoencoder(
    (DAY, 1), (32, 16), maps=True, activation="relu", codings_activation="relu", scaler=scaler
)
[(layer.name, layer.output.shape[1:]) for layer in model.encoder.layers + model.decoder.layers]

# %%
history = model.fit(cut, epochs=8, batch_size=64, validation_split=0.1, verbose=0)
kerasae.plots.loss_curve(history.history)

# %% [markdown]
# The example takes as its threshold the largest error of the training windows, and calls a step an anomaly where all
# windows over it are above. Here the threshold comes from days that the model did not see. A step's score is the error
# that the windows over it give it, beside the error that normal windows have at the same place:
# about 1 for a normal step.
#
# Neighbouring steps are alike, and share windows: ten days of them say less than as many
# independent rows would. p-values count whole blocks, here days.

# %%
threshold = series.calibrate(model, normal, "p99", block=DAY)
scores = series.score(model, made.x_test)
found = series.find_anomalies(
    scores, max_gap=DAY // 8, min_duration=DAY // 12, timestamps=made.timestamps[50 * DAY :]
)
for one in found:
    print(f"{one.start_time} to {one.end_time}, score {one.score:5.1f}, p {one.p_value:.2f}")

# %%
spans = [(one.start, one.end, one.channel) for one in found]
kerasae.plots.step_anomalies(
    made.x_test,
    scores.expected,
    scores.score,
    spans,
    threshold,
    timestamps=made.timestamps[50 * DAY :],
    columns=["value"],
)

# %% [markdown]
# The labels say how good that is: precision and recall of whole events, and the area under a ROC
# curve that knows of ranges.

# %%
flags = np.zeros(len(made.labels), bool)
for start, end, _ in spans:
    flags[start:end] = True
print(series.event_metrics(made.labels, flags))
print(f"range AUC {series.range_auc(made.labels, scores.score, DAY // 2):.3f}")

# %% [markdown]
# Feature maps are many codings, a quarter of which would do for one value a step: such a model learns to copy.
# With few codings it has to know what a day looks like. The convolutions stay, and a dense layer makes
# the codings.

# %%
few = kerasae.denoising_autoencoder(
    (DAY, 1),
    (32, 16, 12),
    activation="relu",
    codings_activation="linear",
    stack=functools.partial(conv1d_stack, kernel_size=7),
    scaler=scaler,
)
few.fit(cut, epochs=8, batch_size=64, verbose=0)
series.calibrate(few, normal, "p99", block=DAY)
better = series.score(few, made.x_test)
print(f"range AUC {series.range_auc(made.labels, better.score, DAY // 2):.3f}")

# %% [markdown]
# New steps are scored as they come, by the window that ends with them. `stream.update` takes one
# step or many.

# %%
stream = series.Stream(few)
start, end, kind = made.events[0]
stream.update(made.x_test[: start - 10])
for first in range(start - 10, start + 60, 10):
    now = stream.update(made.x_test[first : first + 10])
    print(
        f"steps {first - start:3d} from the start of the {kind}: {now.is_anomaly.sum()} of 10 flagged"
    )
