"""The figure that every plot returns."""

import io

import matplotlib.figure


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that notebooks show, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=90)
        return picture.getvalue()
