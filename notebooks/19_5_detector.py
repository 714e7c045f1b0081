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
# # 19.5 A detector of anomalies in a table
#
# `kerasae.anomaly.Detector` scores a row by two parts: how little its columns fit together, and how far it
# is from other rows. This notebook shows what each of them sees, on a table of pumps with words, numbers and
# missing cells. The temperature of a pump follows from its load, the current from load and kind; the vibrations
# depend on nothing.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import kerasae


def pumps(n, seed, loads=(0.2, 1.0)):
    rng = np.random.default_rng(seed)
    kind = rng.choice(["small", "medium", "large"], n, p=[0.5, 0.3, 0.2])
    load = rng.uniform(*loads, n)
    factor = np.select([kind == "small", kind == "medium"], [4.0, 7.0], 12.0)
    return pd.DataFrame(
        {
            "kind": kind,
            "load": np.where(rng.random(n) < 0.05, np.nan, load),
            "temperature": 40 + 35 * load + rng.normal(0, 1.5, n),
            "current": factor * load + rng.normal(0, 0.3, n),
            **{f"vibration_{i}": rng.normal(6, 0.5, n) for i in range(8)},
        }
    )


normal = pumps(3000, seed=0)
normal.head()

# %% [markdown]
# Three kinds of trouble. In the first, a pump has not the temperature of its load, but that of another pump: an
# ordinary value. In the second, a large pump is entered as a small one: an ordinary word. In the third, all fits the
# load, but the load has never been so high.

# %%
new = pumps(400, seed=1)
temperature = pumps(40, seed=2).assign(temperature=pumps(40, seed=3).temperature)
entered = pumps(400, seed=5).query("kind == 'large'").head(40).assign(kind="small")
overload = pumps(40, seed=4, loads=(1.2, 1.6))
rows = pd.concat([new, temperature, entered, overload], ignore_index=True)
label = np.repeat(["normal", "temperature", "kind", "overload"], [400, 40, 40, 40])

detector = kerasae.anomaly.Detector().fit(normal, verbose=0)
found = detector.explain(rows)

figure, axes = plt.subplots(figsize=(6, 5))
for name in ("normal", "temperature", "kind", "overload"):
    chosen = label == name
    axes.scatter(found.within[chosen], found.between[chosen], s=14, alpha=0.7, label=name)
axes.set_xlabel("within: how little the columns fit together")
axes.set_ylabel("between: distance to the nearest rows")
_ = axes.legend()

# %% [markdown]
# The more columns have nothing to do with it, the less the distance to other rows sees a broken relation. The area
# under the ROC curve of each part, and of their sum:

# %%
from sklearn.metrics import roc_auc_score

pd.DataFrame(
    {
        name: {
            part: roc_auc_score(label[keep] == name, getattr(found, part)[keep])
            for part in ("within", "between", "anomaly_score")
        }
        for name in ("temperature", "kind", "overload")
        for keep in [(label == "normal") | (label == name)]
    }
).round(3)

# %% [markdown]
# A p-value is the share of held-out rows with as high a score. Of the normal rows about one in a hundred is flagged at
# the threshold of `Detector()`, the 99th percentile.

# %%
scores = detector.score(rows)
pd.crosstab(label, scores.is_anomaly)

# %% [markdown]
# Which columns are to blame? Contributions add up to the score, those of a category's levels in its column. `expected`
# says in which direction a value is odd, or which word was to be expected.

# %%
columns = list(normal.columns)
for row in (405, 445, 485):
    print(label[row], f"score {found.anomaly_score[row]:.1f}, p-value {scores.p_value[row]:.4f}")
    for column, share, expected in found.worst(row, columns=columns):
        value, usual = (
            one if isinstance(one, str) else f"{one:.2f}" for one in (rows[column][row], expected)
        )
        print(f"  {column}: {value}, expected {usual}, {share:.0%} of the score")

# %% [markdown]
# The rows in the memory are part of the model, and of its exports: keep that in mind where they are personal. `memory`
# says how many there may be. Everything else is as with any model: `detector.model.save`, `kerasae.export_saved_model`,
# `kerasae serve`.

# %%
len(detector.model.anomaly.parts.memory)
