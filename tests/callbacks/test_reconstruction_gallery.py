import functools

import matplotlib.image
import numpy as np
import pytest

import kerasae
from kerasae import plots
from kerasae.callbacks import ReconstructionGallery


@pytest.fixture
def drawn(monkeypatch):
    """The arguments of the plots, picture by picture."""
    pictures = []

    def spy(name, draw, *arguments):
        pictures.append((name, *arguments))
        return draw(*arguments)

    for name in ("reconstructions", "corrupted_triples"):
        spying = functools.partial(spy, name, getattr(plots, name))
        monkeypatch.setattr(plots, name, spying)
    return pictures


def test_a_picture_every_few_epochs_and_after_the_last(make, x, tmp_path, drawn):
    model = make()
    gallery = ReconstructionGallery(x[:6], tmp_path / "new", every=2, image_shape=(8, 8))
    model.fit(x, epochs=5, verbose=0, callbacks=[gallery])
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["epoch_0002.png", "epoch_0004.png", "epoch_0005.png"]
    for name in names:
        assert matplotlib.image.imread(tmp_path / "new" / name).ndim == 3
    assert [picture[0] for picture in drawn] == ["corrupted_triples"] * 3
    assert all(picture[-1] == (8, 8) for picture in drawn)


@pytest.mark.fast(every=2)
@pytest.mark.parametrize("compiled", [{}, {"steps_per_execution": 3, "jit_compile": True}])
def test_the_same_corruption_every_time_and_its_reconstruction(make, x, tmp_path, drawn, compiled):
    model = make(**compiled)
    gallery = ReconstructionGallery(x[:6], tmp_path, every=1, image_shape=(8, 8))
    model.fit(x, epochs=2, verbose=0, callbacks=[gallery])
    first, last = drawn
    np.testing.assert_array_equal(first[1], x[:6])
    np.testing.assert_array_equal(first[2], last[2])
    assert 0.2 < np.std(first[2] - x[:6]) < 0.4
    np.testing.assert_allclose(last[3], model.reconstruct(last[2]), atol=1e-6)
    assert np.abs(first[3] - last[3]).max() > 1e-3


def test_training_goes_on_as_without_it(make, x, tmp_path, assert_same):
    plain, watched = make(), make()
    plain.fit(x, epochs=2, shuffle=False, verbose=0)
    gallery = ReconstructionGallery(x[:6], tmp_path, every=1, image_shape=(8, 8))
    watched.fit(x, epochs=2, shuffle=False, verbose=0, callbacks=[gallery])
    assert_same(plain, watched)


def test_without_corruption_originals_are_over_reconstructions(x, tmp_path, drawn):
    model = kerasae.stacked_autoencoder((64,), (8,))
    gallery = ReconstructionGallery(x[:6], tmp_path, image_shape=(8, 8))
    model.fit(x, verbose=0, callbacks=[gallery])
    ((name, originals, reconstructed, _),) = drawn
    assert name == "reconstructions"
    np.testing.assert_array_equal(originals, x[:6])
    np.testing.assert_allclose(reconstructed, model.reconstruct(x[:6]), atol=1e-6)


def test_images_are_drawn_in_the_users_units_and_tables_scaled(x, tmp_path, drawn):
    scaler = kerasae.RangeScaling()
    raw = (1000 + 500 * x)[:, 2:6]
    scaler.adapt(raw)
    for image_shape in ((2, 2), None):
        model = kerasae.denoising_autoencoder((4,), 3, scaler=scaler)
        gallery = ReconstructionGallery(raw[:3], tmp_path, image_shape=image_shape)
        model.fit(raw, verbose=0, callbacks=[gallery])
    (_, *image, _), (_, *table, _) = drawn
    np.testing.assert_array_equal(image[0], raw[:3])
    assert np.abs(image[1] - raw[:3]).max() > 50
    np.testing.assert_allclose(table[0], np.asarray(scaler(raw[:3])), atol=1e-6)
    assert all(np.abs(rows).max() < 3 for rows in table)


def test_tensorboard_gets_the_same_pictures(make, x, tmp_path, events):
    import tensorflow as tf

    gallery = ReconstructionGallery(
        x[:6], tmp_path / "a", every=2, image_shape=(8, 8), tensorboard=tmp_path / "board"
    )
    make().fit(x, epochs=4, verbose=0, callbacks=[gallery])
    images = events(tmp_path / "board")["reconstructions"]
    assert [event.step for event in images] == [1, 3]
    width, height, png = tf.make_ndarray(images[-1].tensor_proto)
    decoded = tf.io.decode_png(png).numpy()
    assert decoded.shape == (int(height), int(width), 3)
    on_disk = matplotlib.image.imread(tmp_path / "a" / "epoch_0004.png")
    np.testing.assert_allclose(decoded / 255, on_disk[..., :3], atol=1 / 255)


def test_wrong_arguments_are_refused_before_training(make, x, tmp_path):
    with pytest.raises(ValueError, match="every must be a whole number of at least 1"):
        ReconstructionGallery(x, tmp_path, every=0)
    with pytest.raises(ValueError, match=r"ReconstructionGallery must hold rows.*\(63,\)"):
        make().fit(x, verbose=0, callbacks=[ReconstructionGallery(x[:, :63], tmp_path)])
