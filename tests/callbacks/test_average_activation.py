import json

import numpy as np
import pytest

from kerasae.callbacks import AverageActivation


@pytest.mark.fast(every=2)
@pytest.mark.parametrize("compiled", [{}, {"steps_per_execution": 3, "jit_compile": True}])
def test_the_history_holds_the_mean_of_the_codings_after_each_epoch(make, x, compiled):
    model = make(**compiled)
    history = model.fit(x, epochs=1, verbose=0, callbacks=[AverageActivation(x[:50])]).history
    first = model.encode(x[:50]).mean()
    assert history["average_activation"] == pytest.approx([first], abs=1e-6)
    history = model.fit(
        x, initial_epoch=1, epochs=3, verbose=0, callbacks=[AverageActivation(x[:50])]
    ).history
    assert history["average_activation"][1] == pytest.approx(model.encode(x[:50]).mean(), abs=1e-6)
    assert history["average_activation"][0] != pytest.approx(first, abs=1e-6)


def test_training_goes_on_as_without_it(make, x, assert_same):
    plain, watched = make(), make()
    plain.fit(x, epochs=3, shuffle=False, verbose=0)
    watched.fit(x, epochs=3, shuffle=False, verbose=0, callbacks=[AverageActivation(x)])
    assert_same(plain, watched)


def test_tensorboard_gets_the_mean_and_the_histogram_of_the_codings(make, x, tmp_path, events):
    import tensorflow as tf

    model = make()
    history = model.fit(
        x, epochs=3, verbose=0, callbacks=[AverageActivation(x, tmp_path / "board")]
    ).history
    written = events(tmp_path / "board")
    scalars = [float(tf.make_ndarray(e.tensor_proto)) for e in written["average_activation"]]
    assert scalars == pytest.approx(history["average_activation"], rel=1e-6)
    histograms = written["average_activation/codings"]
    assert [event.step for event in histograms] == [0, 1, 2]
    buckets = tf.make_ndarray(histograms[-1].tensor_proto)
    per_coding = model.encode(x).mean(axis=0)
    assert buckets[:, 2].sum() == len(per_coding) == 8
    assert (buckets[0, 0], buckets[-1, 1]) == pytest.approx((per_coding.min(), per_coding.max()))


def test_rows_that_do_not_fit_are_refused_before_training(make, x):
    with pytest.raises(ValueError, match=r"AverageActivation must hold rows.*\(63,\)"):
        make().fit(x, verbose=0, callbacks=[AverageActivation(x[:, :63])])


IMPORTS = """
import json, sys, numpy as np, kerasae
from kerasae.callbacks import AverageActivation
imported = []
for board in (None, sys.argv[1]):
    model = kerasae.stacked_autoencoder((8,), (4,))
    model.fit(np.eye(8), verbose=0, callbacks=[AverageActivation(np.eye(8), board)])
    imported.append("tensorflow" in sys.modules)
print(json.dumps(imported))
"""


@pytest.mark.slow
@pytest.mark.tensorflow  # once is enough: the script is on JAX anyway
def test_tensorflow_is_imported_only_for_tensorboard(run_python, tmp_path):
    pytest.importorskip("jax")
    got = json.loads(run_python(IMPORTS, tmp_path / "board", KERAS_BACKEND="jax"))
    assert got == [False, True]


def test_the_mean_is_that_of_the_codings_means(make, x):
    logs = {}
    callback = AverageActivation(x)
    callback.set_model(model := make())
    callback.on_train_begin()
    callback.on_epoch_end(0, logs)
    assert logs["average_activation"] == pytest.approx(np.mean(model.encode(x)), abs=1e-6)
