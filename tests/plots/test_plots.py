import matplotlib.colors
import numpy as np
import pytest

from kerasae import plots

ROWS = np.random.default_rng(0).random((4, 15))


def legend(figure):
    """The texts of all legends of a figure."""
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    return [text.get_text() for one in legends if one for text in one.get_texts()]


def lines_at(axes):
    """The positions of vertical lines."""
    return [line.get_xdata()[0] for line in axes.get_lines() if len(set(line.get_xdata())) == 1]


def test_loss_curve_draws_the_history():
    (axes,) = plots.loss_curve({"mse": [0.4, 0.2, 0.1], "val_mse": [0.5, 0.3, 0.25]}).axes
    training, validation = axes.get_lines()
    assert training.get_xydata().tolist() == [[1, 0.4], [2, 0.2], [3, 0.1]]
    assert validation.get_ydata().tolist() == [0.5, 0.3, 0.25]
    assert legend(axes.figure) == ["training: 0.10000 at the end", "validation: 0.25000 at the end"]


def test_loss_curve_without_validation_or_mse():
    (axes,) = plots.loss_curve({"loss": [0.4]}).axes
    assert len(axes.get_lines()) == 1
    assert axes.get_ylabel() == "loss"
    with pytest.raises(ValueError, match="Received: none"):
        plots.loss_curve({})


def test_originals_are_over_their_reconstructions_on_one_scale():
    figure = plots.reconstructions(ROWS, ROWS / 2, (3, 5), titles="abcd")
    assert len(figure.axes) == 8
    for i, row in enumerate(ROWS):
        above, below = figure.axes[i].images[0], figure.axes[4 + i].images[0]
        np.testing.assert_array_equal(above.get_array(), row.reshape(3, 5))
        np.testing.assert_array_equal(below.get_array(), row.reshape(3, 5) / 2)
        assert above.get_clim() == below.get_clim() == (ROWS.min(), ROWS.max())
    assert [axes.get_title() for axes in figure.axes] == [*"abcd", "", "", "", ""]


def test_rows_that_are_not_images_are_drawn_as_curves():
    figure = plots.reconstructions(ROWS, ROWS / 2)
    assert len(figure.axes) == 4
    for axes, row in zip(figure.axes, ROWS, strict=True):
        original, reconstruction = axes.get_lines()
        np.testing.assert_array_equal(original.get_ydata(), row)
        np.testing.assert_array_equal(reconstruction.get_ydata(), row / 2)
    assert legend(figure) == ["original", "reconstruction"]


def test_triples_are_three_lines_on_the_scale_of_the_originals():
    figure = plots.corrupted_triples(ROWS, 9 * ROWS, ROWS / 2, (3, 5), titles="abcd")
    assert len(figure.axes) == 12
    drawn = np.array([axes.images[0].get_array().ravel() for axes in figure.axes])
    np.testing.assert_array_equal(drawn, np.concatenate([ROWS, 9 * ROWS, ROWS / 2]))
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(ROWS.min(), ROWS.max())}
    sides = [figure.axes[i].get_ylabel() for i in (0, 4, 8)]
    assert sides == ["original", "corrupted", "reconstruction"]
    curves = plots.corrupted_triples(ROWS, 9 * ROWS, ROWS / 2)
    assert sorted(legend(curves)) == ["corrupted", "original", "reconstruction"]
    by_name = {line.get_label(): line.get_ydata() for line in curves.axes[1].get_lines()}
    np.testing.assert_array_equal(by_name["corrupted"], 9 * ROWS[1])


def test_rows_must_go_together():
    with_nan = np.where(ROWS > 0.9, np.nan, ROWS)
    for pair in ((ROWS, ROWS[:3]), (ROWS[:0], ROWS[:0]), (ROWS[0], ROWS[0]), (ROWS, with_nan)):
        with pytest.raises(ValueError, match="Received"):
            plots.reconstructions(*pair)
        with pytest.raises(ValueError, match="Received"):
            plots.corrupted_triples(pair[0], *pair)
        with pytest.raises(ValueError, match="Received"):
            plots.worst_rows(*pair, np.ones(4))
    with pytest.raises(ValueError, match=r"of 15 columns. Received.*\(4, 4\)"):
        plots.reconstructions(ROWS, ROWS, (4, 4))
    with pytest.raises(ValueError, match="titles must have one entry a row, 4"):
        plots.reconstructions(ROWS, ROWS, (3, 5), titles="abc")


def test_activations_and_their_means_are_counted_and_marked():
    codings = np.tanh(np.random.default_rng(0).normal(-0.2, 1, (50, 12)))
    figure = plots.activation_histogram(codings, rho=-0.1)
    left, right = figure.axes
    assert sum(bar.get_height() for bar in left.patches) == codings.size
    assert sum(bar.get_height() for bar in right.patches) == 12
    edges = [right.patches[0].get_x(), right.patches[-1].get_x() + right.patches[-1].get_width()]
    np.testing.assert_allclose(edges, [codings.mean(axis=0).min(), codings.mean(axis=0).max()])
    for axes in figure.axes:
        np.testing.assert_allclose(lines_at(axes), [codings.mean(), -0.1])
    assert legend(figure) == [
        rf"measured $\hat\rho$ = {codings.mean():.4f}",
        r"target $\rho$ = -0.1000",
    ]
    assert len(lines_at(plots.activation_histogram(codings).axes[0])) == 1


def test_activations_must_be_codings_of_rows():
    for bad in (np.ones(3), np.ones((0, 3)), [[np.nan, 1]]):
        with pytest.raises(ValueError, match=r"codings must be.*Received"):
            plots.activation_histogram(bad)
    with pytest.raises(ValueError, match="rho must be finite"):
        plots.activation_histogram(ROWS, rho=np.nan)


def test_a_threshold_says_how_many_rows_lie_above_it():
    errors = np.random.default_rng(0).gamma(4, 0.002, 1000)
    figure = plots.error_histogram(errors, threshold=0.02)
    (axes,) = figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == 1000
    assert axes.get_yscale() == "log"
    assert axes.get_xscale() == "linear"
    np.testing.assert_allclose(lines_at(axes), [errors.mean(), 0.02])
    above = (errors > 0.02).sum()
    assert legend(figure) == [
        "1,000 rows",
        f"mean {errors.mean():.4g}",
        f"threshold 0.02: {above} of 1,000 rows ({above / 1000:.2%}) above",
    ]
    assert 0 < above < 1000


def test_known_anomalies_are_drawn_apart_and_far_ones_by_their_magnitude():
    errors = np.append(np.linspace(0.01, 0.02, 100), [3, 4, 5])
    figure = plots.error_histogram(errors, 3.5, is_anomaly=errors > 1)
    assert figure.axes[0].get_xscale() == "log"
    assert legend(figure) == [
        "100 normal",
        "3 anomalies",
        "threshold 3.5: 0 of 100 normal (0.00%), 2 of 3 anomalies (66.67%) above",
    ]
    assert legend(plots.error_histogram([1, 2], 1, [True, True]))[0] == "0 normal"
    constant = plots.error_histogram([0.5, 0.5])
    assert sum(bar.get_height() for bar in constant.axes[0].patches) == 2
    zero = plots.error_histogram(np.append(np.zeros(9), 1))
    assert zero.axes[0].get_xscale() == "linear"


def test_errors_must_be_errors():
    for bad in ([], [[1.0]], [np.inf], [-1.0]):
        with pytest.raises(ValueError, match=r"errors must be.*Received"):
            plots.error_histogram(bad)
    with pytest.raises(ValueError, match="is_anomaly must have one entry a row, 2"):
        plots.error_histogram([1, 2], is_anomaly=[True])
    with pytest.raises(ValueError, match="threshold must be finite"):
        plots.error_histogram([1, 2], threshold=np.nan)


def test_the_worst_rows_come_first_with_where_they_differ():
    figure = plots.worst_rows(ROWS, ROWS / 2, [0.1, 0.4, 0.2, 0.3], count=2, image_shape=(3, 5))
    assert [axes.get_title() for axes in figure.axes[:2]] == [
        "row 1\nerror 0.4",
        "row 3\nerror 0.3",
    ]
    drawn = np.array([axes.images[0].get_array().ravel() for axes in figure.axes[:6]])
    worst = ROWS[[1, 3]]
    np.testing.assert_array_equal(drawn, np.concatenate([worst, worst / 2, -worst / 2]))
    limit = worst.max() / 2
    assert {axes.images[0].get_clim() for axes in figure.axes[4:6]} == {(-limit, limit)}
    assert figure.axes[-1].get_ylabel() == "reconstruction\nless original"


def test_the_worst_rows_of_a_table_are_curves():
    figure = plots.worst_rows(ROWS, ROWS / 2, [0.1, 0.4, 0.2, 0.3])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title[:5] for title in titles] == ["row 1", "row 3", "row 2", "row 0"]
    original, reconstruction = figure.axes[0].get_lines()
    np.testing.assert_array_equal(original.get_ydata(), ROWS[1])
    np.testing.assert_array_equal(reconstruction.get_ydata(), ROWS[1] / 2)
    with pytest.raises(ValueError, match="count must be at least 1"):
        plots.worst_rows(ROWS, ROWS, np.ones(4), count=0)
    with pytest.raises(ValueError, match="errors must have one entry a row, 4"):
        plots.worst_rows(ROWS, ROWS, np.ones(3))


def test_filters_share_one_scale_about_zero_the_strongest_first():
    weights = ROWS[:3] * [[1], [-3], [2]]
    figure = plots.filters(weights, (3, 5), count=2)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["1", "2"]
    limit = np.abs(weights).max()
    for axes, coding in zip(figure.axes, (1, 2), strict=False):
        image = axes.images[0]
        np.testing.assert_array_equal(image.get_array().ravel(), weights[coding])
        assert image.get_clim() == (-limit, limit)
        assert np.ptp(image.cmap(0.5)[:3]) < 0.02
    assert figure.axes[-1].get_ylabel() == "weight"
    for bad in ({"image_shape": (2, 5)}, {"image_shape": (3, 5), "count": 0}):
        with pytest.raises(ValueError, match="Received"):
            plots.filters(weights, **bad)


def test_codings_are_beside_pca_with_every_class_named():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 20)
    codings, components = random.normal(size=(2, 200, 2)) + labels[:, None]
    figure = plots.codings_beside_pca(codings, components, labels)
    for axes, values in zip(figure.axes, (codings, components), strict=True):
        assert [text.get_text() for text in axes.texts] == [*"0123456789"]
        for name, points in enumerate(axes.collections):
            drawn = np.asarray(points.get_offsets())
            np.testing.assert_allclose(
                np.sort(drawn, axis=0), np.sort(values[labels == name], axis=0)
            )
    assert figure.axes[1].get_xlabel() == "principal component 1"
    assert legend(figure) == [f"{name}: 20 rows" for name in range(10)]
    looks = {
        (matplotlib.colors.to_hex(points.get_facecolor()[0]), points.get_paths()[0].vertices.size)
        for points in figure.axes[0].collections
    }
    assert len(looks) == 10


def test_names_of_classes_in_one_place_are_moved_apart():
    labels = np.repeat([*"abcd"], 5)
    places = np.random.default_rng(0).random((5, 2))
    figure = plots.codings_beside_pca(np.tile(places, (4, 1)), np.tile(places, (4, 1)), labels)
    spots = [text.get_position() for text in figure.axes[0].texts]
    gaps = [np.hypot(*np.subtract(a, b)) for a in spots for b in spots if a is not b]
    assert min(gaps) > 0.02


def test_codings_beside_pca_wants_two_of_each():
    for bad in ((ROWS, ROWS, [0] * 4), (ROWS[:, :2], ROWS[:3, :2], [0] * 4)):
        with pytest.raises(ValueError, match=r"codings and components must be \(rows, 2\)"):
            plots.codings_beside_pca(*bad)
    with pytest.raises(ValueError, match="labels must have one entry a row, 4"):
        plots.codings_beside_pca(ROWS[:, :2], ROWS[:, :2], [0])
    with pytest.raises(ValueError, match="at most ten classes. Received: 11"):
        plots.codings_beside_pca(np.ones((11, 2)), np.ones((11, 2)), range(11))


def test_the_leaderboard_has_the_best_on_top_beside_the_references():
    references = {"book": [0.3, None, 0.1], "PCA": 0.15}
    figure = plots.leaderboard([*"abc"], [0.2, 0.3, 0.1], references, spread=[0.02, 0.03, 0.01])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [*"cab"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert [text.get_text() for text in axes.texts] == ["0.10000", "0.20000", "0.30000"]
    by_name = {line.get_label(): line for line in axes.get_lines()}
    np.testing.assert_array_equal(by_name["book"].get_xdata(), [0.1, 0.3, np.nan])
    assert by_name["PCA 0.15000"].get_xdata() == [0.15, 0.15]
    bars = axes.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([np.ptp(bar[:, 0]) for bar in bars], [0.02, 0.04, 0.06])
    assert set(legend(figure)) == {"book", "PCA 0.15000", "measured, with its spread"}


def test_a_leaderboard_of_unequal_lists_is_refused():
    for bad in (
        {"names": "ab", "mse": [0.1]},
        {"names": [], "mse": []},
        {"names": "a", "mse": [np.nan]},
        {"names": ["a"], "mse": [0.1], "spread": [0.1, 0.2]},
        {"names": ["a"], "mse": [0.1], "references": {"book": [1, 2]}},
        {"names": ["a"], "mse": [0.1], "references": dict.fromkeys("vwxyz", 1)},
    ):
        with pytest.raises(ValueError, match="Received"):
            plots.leaderboard(**{**bad, "names": [*bad["names"]]})


def test_images_are_drawn_line_by_line_on_one_scale():
    figure = plots.images(ROWS, (3, 5), across=3)
    assert len(figure.axes) == 4
    for axes, row in zip(figure.axes, ROWS, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), row.reshape(3, 5))
        assert axes.images[0].get_clim() == (ROWS.min(), ROWS.max())
    lines = [axes.get_subplotspec().rowspan.start for axes in figure.axes]
    assert lines == [0, 0, 0, 1]
    for bad in ({"image_shape": (4, 4)}, {"image_shape": (3, 5), "across": 0}):
        with pytest.raises(ValueError, match="Received"):
            plots.images(ROWS, **bad)


def test_codings_are_beside_draws_of_the_prior_on_the_same_axes():
    codings, drawn = np.random.default_rng(0).normal(size=(2, 30, 2))
    figure = plots.codings_beside_prior(codings, drawn[:20], np.repeat(["a", "b"], 15))
    left, right = figure.axes
    np.testing.assert_array_equal(right.collections[0].get_offsets(), drawn[:20])
    assert [text.get_text() for text in left.texts] == ["a", "b"]
    assert left.get_xlim() == right.get_xlim()
    with pytest.raises(ValueError, match=r"codings and drawn must be \(rows, 2\). Received"):
        plots.codings_beside_prior(codings, drawn[:, :1], ["a"] * 30)
    with pytest.raises(ValueError, match="at most ten classes. Received: 30"):
        plots.codings_beside_prior(codings, drawn, range(30))
