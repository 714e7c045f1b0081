"""Names and labels of others are drawn letter by letter."""

import numpy as np
import pytest

from kerasae import plots

ROWS = np.random.default_rng(0).uniform(size=(4, 15))
NAMES = [
    *("$\\frac{$", "a$b_$", "$$", "$x^2$", "_a", "__", "\\$", "%", "[red]", "=1+1", "größe", " "),
    *("a\nb", "a\tb", "\x1b[2J", "\udce9", "a" * 5000, "{x}", "\\undefined", "#"),
]


@pytest.fixture(params=[False, True], ids=["plain", "usetex"])
def drawn(request):
    """Draws a figure; gives the literal texts in it."""
    import matplotlib as mpl
    from matplotlib.text import Text

    def drawn(figure):
        texts = [text for text in figure.findobj(Text) if text.get_text()]
        literal = {text.get_text() for text in texts if not text.get_parse_math()}
        assert not any(text.get_usetex() for text in texts if not text.get_parse_math())
        if not request.param:  # where TeX is missing, our own texts cannot be drawn with it
            figure.savefig("figure.png")
        return literal

    with mpl.rc_context({"text.usetex": request.param}):
        yield drawn


def expected(name):
    if len(name) > 60:
        return name[:57] + "..."
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in name)


@pytest.mark.fast(every=7)
@pytest.mark.filterwarnings("ignore:Glyph", "ignore:constrained_layout")
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_names_are_literal_in_every_picture(drawn, name, tmp_path, monkeypatch):
    """Case 51: labels of images, classes, models, references and quantities."""
    monkeypatch.chdir(tmp_path)
    labels = np.array([name, "b", name, "c"])
    text = expected(name)
    for figure in (
        plots.reconstructions(ROWS, ROWS, (3, 5), titles=labels),
        plots.corrupted_triples(ROWS, ROWS, ROWS, titles=list(labels)),
    ):
        assert {text, "b", "c"} <= drawn(figure)
    for figure in (
        plots.codings_beside_pca(ROWS[:, :2], ROWS[:, :2], labels),
        plots.codings_beside_prior(ROWS[:, :2], ROWS[:, :2], labels),
    ):
        assert text in drawn(figure)
    assert text + ": 2 rows" in drawn(plots.codings_beside_pca(ROWS[:, :2], ROWS[:, :2], labels))
    board = drawn(plots.leaderboard([name, "b"], [0.2, 0.1], {name: 0.15, "b": [0.1, None]}))
    assert {text, "b", text + " 0.15000"} <= board
    assert text in drawn(plots.error_histogram([0.1, 0.2], quantity=name))
    for shape in ((3, 5), None):
        figure = plots.worst_rows(ROWS, 0 * ROWS, ROWS[:, 0], image_shape=shape, numbers=labels)
        assert any(f"row {text}"[:20] in one for one in drawn(figure))
