"""The models of the suite; `PYTHONPATH=tests python -m serving.models FOLDER` writes them."""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

COLUMNS = 8


class Plain(tf.Module):
    """The half_plus_three of TF Serving's documentation, and signatures of other kinds."""

    def __init__(self, plus=3.0):
        super().__init__()
        self.plus = tf.Variable(float(plus))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def half(self, x):
        return {"y": x / 2.0 + self.plus}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2], tf.float32, "a"),
            tf.TensorSpec([None], tf.int32, "b"),
        ]
    )
    def two(self, a, b):
        return {"total": tf.reduce_sum(a, 1), "twice": 2 * b}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.uint8, "u")])
    def small(self, u):
        return {"next": u + tf.constant(1, tf.uint8)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def text(self, text):
        return {"upper": tf.strings.upper(text)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "path")])
    def gate(self, path):
        """Runs until the file PATH exists."""

        def closed(rounds):
            # A function of the rounds, or the look at the folder could be taken out of the loop.
            return tf.size(tf.io.matching_files(tf.where(rounds < 0, "", path[0]))) == 0

        rounds = tf.while_loop(closed, lambda rounds: [rounds + 1], [tf.constant(0, tf.int64)])[0]
        return {"open": tf.fill(tf.shape(path), rounds >= 0)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def mean(self, x):
        return {"mean": tf.reduce_mean(x)}


def save_plain(folder, plus=3.0):
    """Writes `Plain` as a version, whole or not at all."""
    folder = Path(folder)
    module = Plain(plus)
    signatures = {name: getattr(module, name) for name in ("two", "small", "text", "gate", "mean")}
    beside = folder.parent / f".{folder.name}"
    tf.saved_model.save(module, str(beside), {"serving_default": module.half, **signatures})
    beside.rename(folder)


def save_all(folder):
    """Writes every model of the suite, `Plain` and two of kerasae."""
    import kerasae

    folder = Path(folder)
    save_plain(folder / "half_plus_three" / "123")
    x = np.random.default_rng(0).uniform(size=(200, COLUMNS)).astype("float32")
    stacked = kerasae.stacked_autoencoder((COLUMNS,), (4, 2))
    stacked.fit(x, epochs=1, verbose=0)
    kerasae.anomaly.calibrate(stacked, x)
    kerasae.export_saved_model(stacked, folder / "stacked")
    variational = kerasae.variational_autoencoder((COLUMNS,), (4, 2))
    kerasae.export_saved_model(variational, folder / "variational")


if __name__ == "__main__":
    save_all(sys.argv[1])
