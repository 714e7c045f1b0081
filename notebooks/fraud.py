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
# # Fraud: few labels, and a threshold from them
#
# Of 20,000 card payments a hundred are fraud, and only 2,000 payments have been looked at. A model learns what payments
# are usually like, without labels; the labels set the threshold. The payments are made up: amounts follow customers'
# habits, and fraud breaks them, each value being a usual one.

# %%
import keras
import numpy as np
import pandas as pd

import kerasae
from kerasae.anomaly import labelled_threshold, ranking

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
count, frauds = 20_000, 100
kinds = np.array(["groceries", "fuel", "online", "travel"])
kind = rng.integers(0, 4, count)
home = rng.choice(["AT", "CH", "DE"], count)
payments = pd.DataFrame(
    {
        "kind": kinds[kind],
        "amount": np.exp(rng.normal(np.array([3.2, 4.0, 3.6, 6.0])[kind], 0.35)).round(2),
        "hour": (rng.normal(np.array([17, 8, 21, 11])[kind], 2.5) % 24).round(1),
        "customer_from": home,
        "paid_in": np.where(rng.random(count) < np.where(kind == 3, 0.6, 0.02), "FR", home),
    },
    index=pd.Index([f"P{number:06d}" for number in rng.permutation(count)], name="payment"),
)
fraud = rng.choice(count, frauds, replace=False)
others = rng.permutation(count)[:frauds]  # amount and hour of payments of another kind
payments.iloc[fraud, [1, 2]] = payments.iloc[others, [1, 2]].to_numpy()
payments.iloc[fraud[::2], 4] = "FR"
is_fraud = np.zeros(count, int)
is_fraud[fraud] = 1
payments.head()

# %% [markdown]
# The model is trained on all payments, the fraudulent ones among them: they are too few to be learnt. Half of the
# payments are kept to measure with.

# %%
train, test = payments[: count // 2], payments[count // 2 :]
model = kerasae.table_autoencoder(train, (64, 4))
model.fit(train, epochs=20, batch_size=64, verbose=0)
kerasae.anomaly.calibrate(model, train)
scores = kerasae.anomaly.score(model, test, top=2)
ranking(scores.anomaly_score, is_fraud[count // 2 :])

# %% [markdown]
# The threshold comes from the 2,000 payments that have been looked at: the one with the best F1 score, or one that flags
# at most one of 200 honest payments.

# %%
looked_at = np.arange(2000)
known = is_fraud[count // 2 :][looked_at]
unknown_scores, unknown = scores.anomaly_score[2000:], is_fraud[count // 2 + 2000 :]
rows = []
for rule in ("f1", "fpr:0.005"):
    threshold = labelled_threshold(rule, scores.anomaly_score[looked_at], known)
    flagged = unknown_scores > threshold
    caught = int((flagged & (unknown == 1)).sum())
    rows.append((rule, threshold, int(flagged.sum()), caught, int(unknown.sum())))
pd.DataFrame(rows, columns=["rule", "threshold", "flagged", "fraud among them", "fraud in all"])

# %% [markdown]
# What is shown to the person who decides: the payment, and which of its columns do not fit the others.

# %%
worst = scores.anomaly_score.argsort()[::-1][:5]
found = test.iloc[worst].copy()
found["does not fit"] = [", ".join(map(str, names)) for names in scores.worst.column[worst]]
found

# %%
from_labels = labelled_threshold("f1", scores.anomaly_score[looked_at], known)
kerasae.plots.error_histogram(scores.anomaly_score, from_labels, is_fraud[count // 2 :])
