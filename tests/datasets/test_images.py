"""Folders of PNG and JPEG files."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kerasae import convolutional_autoencoder, datasets
from kerasae.datasets import ImageFolder, load

RAMP = (np.arange(12 * 8 * 3, dtype="uint8") * 5 % 251).reshape(12, 8, 3)


def pixels(folder, **options):
    data = load(folder, **options)
    return data.x.reshape(len(data.x), *data.image_shape)


def test_colours_names_and_split(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/2.PNG", "1.png", "3.png"):
        Image.fromarray(RAMP).save(tmp_path / name, "PNG")
    (tmp_path / ".hidden.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image")
    data = load(tmp_path, test_fraction=0.34)
    assert data.names == ["1.png", "3.png", "b/2.PNG"]
    assert data.image_shape == (12, 8, 3)
    assert data.x.dtype == "uint8"
    assert data.is_test.sum() == 1
    np.testing.assert_array_equal(data.x, np.stack([RAMP.ravel()] * 3))


def test_grey_stays_grey_unless_there_are_colours(tmp_path):
    Image.fromarray(RAMP[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(pixels(tmp_path), RAMP[None, ..., :1])
    assert pixels(tmp_path, image_shape=(None, None, 3)).shape == (1, 12, 8, 3)
    Image.fromarray(RAMP).save(tmp_path / "colour.png")
    both = pixels(tmp_path)
    np.testing.assert_array_equal(both[1], np.repeat(RAMP[..., :1], 3, axis=2))


def test_alpha_palette_and_16_bits_look_as_in_a_viewer(tmp_path):
    clear = np.dstack([RAMP, np.full((12, 8), 0, "uint8")])
    clear[:6, :, 3] = 255
    Image.fromarray(clear).save(tmp_path / "alpha.png")
    Image.fromarray(RAMP[..., 0]).convert("P").save(tmp_path / "palette.png")
    deep = np.arange(96, dtype="uint16").reshape(12, 8) * 257
    Image.fromarray(deep).save(tmp_path / "sixteen.png")
    alpha, palette, sixteen = pixels(tmp_path)
    np.testing.assert_array_equal(alpha[:6], RAMP[:6])
    assert (alpha[6:] == 255).all()
    np.testing.assert_array_equal(palette, np.repeat(RAMP[..., :1], 3, axis=2))
    np.testing.assert_array_equal(sixteen[..., 0], np.arange(96).reshape(12, 8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_upright(orientation, tmp_path):
    """What a viewer shows is the same, however the camera was held."""
    upright = np.zeros((16, 32, 3), "uint8")
    upright[:8, :16] = 255
    stored = Image.fromarray(upright)
    # The inverse of what a viewer does, by Pillow's names of the transpositions.
    inverse = {
        2: "FLIP_LEFT_RIGHT",
        3: "ROTATE_180",
        4: "FLIP_TOP_BOTTOM",
        5: "TRANSPOSE",
        6: "ROTATE_90",
        7: "TRANSVERSE",
        8: "ROTATE_270",
    }
    if orientation in inverse:
        stored = stored.transpose(Image.Transpose[inverse[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    (shown,) = pixels(tmp_path)
    assert shown.shape == upright.shape
    assert np.abs(shown.astype(int) - upright).max() < 30


def test_resizing_averages_and_may_enlarge(tmp_path):
    stripes = np.zeros((64, 64), "uint8")
    stripes[::2] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    (small,) = pixels(tmp_path, image_shape=(8, 16))
    assert small.shape == (8, 16, 1)
    assert np.abs(small.astype(int) - 127).max() < 12
    assert pixels(tmp_path, image_shape=(70, 80)).shape == (1, 70, 80, 1)


def test_a_large_photograph_is_read_small(tmp_path):
    smooth = np.add.outer(np.arange(800), np.arange(600))[..., None] * [0.1, 0.15, 0.05]
    Image.fromarray(smooth.astype("uint8")).save(tmp_path / "photo.jpg", quality=95)
    (small,) = pixels(tmp_path, image_shape=(40, 30))
    expected = smooth.reshape(40, 20, 30, 20, 3).mean(axis=(1, 3))
    assert np.abs(small - expected).max() < 4


def test_sizes_must_be_one_or_given(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    Image.fromarray(RAMP[:5]).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match="one size. Received: 8x12 in a.png, 8x5 in b.png. Try"):
        load(tmp_path)
    assert pixels(tmp_path, image_shape=(6, 6)).shape == (2, 6, 6, 3)


def test_damaged_files_are_counted_and_the_first_is_named(tmp_path):
    for name in "abcd":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), "uint8")).save(
            tmp_path / f"{name}.png"
        )
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.png").write_bytes(b"GIF89a" + bytes(50))
    # The second is seen in its header, the first when it is decoded.
    with pytest.raises(ValueError, match="Received: a damaged c.png, .*c.png") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "c.png").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ValueError, match="Received: a damaged b.png and 1 more, .*truncated"):
        load(tmp_path)
    (tmp_path / "c.png").write_bytes(b"")
    with pytest.raises(ValueError, match="Received: a damaged c.png"):
        load(tmp_path)


def test_a_header_that_claims_too_many_pixels_is_refused(tmp_path):
    def chunk(kind, content):
        packed = kind + content
        return struct.pack(">I", len(content)) + packed + struct.pack(">I", zlib.crc32(packed))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    with pytest.raises(ValueError, match="a damaged bomb.png"):
        load(tmp_path, image_shape=(8, 8))


def test_no_images_and_wrong_shapes(tmp_path):
    with pytest.raises(ValueError, match="must be a folder with .png, .jpg, .jpeg files"):
        load(tmp_path)
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="1 or 3 channels.*Received.*2"):
        load(tmp_path, image_shape=(8, 8, 2))


def test_arrays_with_channels_first_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 3, 20, 30), "uint8"))
    with pytest.raises(ValueError, match="channels last.*moveaxis"):
        load(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.zeros((5, 20, 30, 3), "uint8"))
    assert load(tmp_path / "x.npy").image_shape == (20, 30, 3)


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for i in range(11):
        few = generator.integers(0, 255, (9, 7, 3), "uint8")
        Image.fromarray(few).save(tmp_path / f"{i:02}.png")
    return tmp_path


def test_a_stream_has_the_rows_of_the_array(folder):
    x = pixels(folder)
    stream = ImageFolder(folder, batch_size=4)
    np.testing.assert_array_equal(np.concatenate(list(stream)), x)
    model = convolutional_autoencoder(stream.row_shape, (3, 5))
    np.testing.assert_allclose(model.encode(stream), model.encode(x), atol=1e-3)
    shuffled = ImageFolder(folder, batch_size=4, shuffle=True)
    one = np.concatenate(list(shuffled))
    shuffled.on_epoch_end()
    two = np.concatenate(list(shuffled))
    assert (one != two).any()
    np.testing.assert_array_equal(*(np.sort(rows, axis=0) for rows in (one, two)))
    history = model.fit(shuffled, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_a_training_that_goes_on_has_the_order_that_it_would_have_had(folder):
    whole, later = (ImageFolder(folder, (6, 4), 2, shuffle=True, seed=3) for _ in range(2))
    whole.on_epoch_end()
    whole.on_epoch_end()
    later.go_to(2)
    for one, other in zip(whole, later, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_more_than_memory_is_to_hold_is_left_in_files(folder):
    data = load(folder, held=5 * 9 * 7 * 3, test_fraction=0.2)
    assert (len(data.x), len(data.more), data.is_test.sum()) == (5, 6, 1)
    files = {folder / name for name in data.names} | set(data.more)
    assert len(files) == 11
    rest = ImageFolder(data.folder, data.image_shape, files=data.more)
    assert sum(len(batch) for batch in rest) == 6
    assert datasets.load(folder).more == []
