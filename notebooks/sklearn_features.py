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
# # Deep features in a scikit-learn pipeline
#
# Few of the rows have labels, as is usual. An autoencoder needs none: it learns features from all rows, and a linear
# classifier learns from the few labels on top of them. Here it is a step of a scikit-learn pipeline like any other.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kerasae.sklearn import AutoencoderDetector, AutoencoderTransformer

x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=500, random_state=0, stratify=y)
len(x_train), len(x_test)

# %% [markdown]
# ## Features from all rows, a classifier from few labels
#
# A winner-take-all autoencoder keeps each coding for the tenth of the rows that it fits best, so that codings become
# parts of digits. Family and width were chosen on a part of the training rows.

# %%
features = AutoencoderTransformer(
    "winner-take-all", 256, winners=0.1, scaler="pixels", random_state=0
).fit(x_train)
features

# %% [markdown]
# The classifier is the same each time; what it sees are the pixels, their principal components, or the codings. Each
# accuracy on the 500 test digits is a mean over ten draws of the rows that have labels.

# %%
inputs = {
    "pixels": (x_train, x_test),
    "PCA, 32 components": PCA(32, random_state=0).fit(x_train),
    "codings": features,
}
inputs = {
    name: one if isinstance(one, tuple) else (one.transform(x_train), one.transform(x_test))
    for name, one in inputs.items()
}
counts = [50, 100, 200, len(x_train)]
accuracy, spread = {}, {}
for name, (train, test) in inputs.items():
    for count in counts:
        scores = []
        for seed in range(10 if count < len(x_train) else 1):
            labelled = np.random.default_rng(seed).permutation(len(x_train))[:count]
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            classifier.fit(train[labelled], y_train[labelled])
            scores.append(100 * classifier.score(test, y_test))
        accuracy.setdefault(name, []).append(np.mean(scores))
        spread.setdefault(name, []).append(np.std(scores))
pd.DataFrame(accuracy, index=pd.Index(counts, name="rows with labels")).round(1)

# %%
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for name, values in accuracy.items():
    axes.errorbar(counts, values, spread[name], marker="o", capsize=3, label=name)
axes.set(xscale="log", xlabel="rows with labels", ylabel="test accuracy, %", xticks=counts)
axes.set_xticks(counts, [str(count) for count in counts])
_ = axes.legend()
# %% [markdown]
# ## One pipeline, and a grid over it
#
# The transformer has `get_params`, `clone`, `set_output` and all else that scikit-learn asks for; the grid trains a new
# autoencoder on each fold. With `n_jobs=2` the fits run in two processes.

# %%
pipeline = make_pipeline(
    AutoencoderTransformer(scaler="pixels", max_iter=20, random_state=0),
    StandardScaler(),
    LogisticRegression(max_iter=2000),
)
grid = {
    "autoencodertransformer__family": ["denoising", "winner-take-all"],
    "autoencodertransformer__hidden_units": [32, 128],
}
search = GridSearchCV(pipeline, grid, cv=2).fit(x_train, y_train)
results = pd.DataFrame(search.cv_results_)
results = results[[*results.filter(like="param_"), "mean_test_score"]]
results.columns = ["family", "hidden_units", "accuracy"]
results.sort_values("accuracy", ascending=False).round(3)

# %%
f"{100 * search.score(x_test, y_test):.1f}% of the test digits"

# %% [markdown]
# ## Rows that are not digits
#
# A detector is fitted to digits alone, and flags the 1% of them that it knows least. The rows to find are digits whose
# pixels were shuffled.

# %%
detector = AutoencoderDetector(scaler="pixels", max_iter=30, random_state=0).fit(x_train)
shuffled = np.random.default_rng(0).permuted(x_test[:100], axis=1)
found = {
    "test digits": (detector.predict(x_test) == -1).mean(),
    "shuffled digits": (detector.predict(shuffled) == -1).mean(),
}
pd.Series(found, name="share flagged").round(3)

# %% [markdown]
# The fitted autoencoders are Keras models, `features.model_` and `detector.model_`: they are plotted, saved and exported
# as all others, the threshold of the detector included.
