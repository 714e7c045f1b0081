"""Deep features as a transformer."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted

from kerasae.methods import deep_features
from kerasae.models import Autoencoder
from kerasae.sklearn.base import AutoencoderEstimator
from kerasae.tables import Schema


class AutoencoderTransformer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, AutoencoderEstimator
):
    """Turns rows into the codings of an autoencoder that it is fitted to, for any pipeline.

    The autoencoder is any family of the zoo; its scaler is part of it, so that no `StandardScaler`
    is needed before it. A table of mixed columns, or with missing cells, needs no encoder before it
    either: see `kerasae.tables`. The model is there as `model_`, to be plotted or exported.

    Args:
        family: Name of the family in `kerasae.ZOO`, or a builder: a function that takes the shape
            of a row, the hidden units, `scaler` and `columns`, and returns an `Autoencoder`, such
            as `functools.partial(kerasae.variational_autoencoder, stddev=0.2)`.
        hidden_units: Widths of the encoder's layers, the codings' last; by default as many as
            columns, then a quarter of them.
        activation: Name of a Keras activation; by default the family's.
        corruption: "gaussian:STDDEV" or "salt-pepper:RATE", in training only; or None. For tables
            of mixed columns "wrong:RATE", "swap:RATE" or "missing:RATE".
        tied: Whether the decoder's weights are the encoder's, transposed.
        rho: Sparse: target of the mean activation.
        beta: Weight of the family's penalty, if it has one.
        k: K-sparse: codings that a row keeps.
        winners: Winner-take-all: share of the rows that win, in (0, 1].
        likelihood: Variational: "bernoulli" or "gaussian"; by default what fits the scaled rows.
        prior: Adversarial: "gaussian", "mixture" or "swiss-roll".
        scaler: "auto" ("pixels" for images, else "range"), "pixels", "range", "standard" or "none".
            For tables of mixed columns "standard", which is "auto", "range", "robust" or "normal".
        image_shape: (height, width) or (height, width, channels) of the image that a row holds,
            which is given to convolutions, in any family; or None for rows of columns.
        schema: The `kerasae.tables.Schema` of tables of mixed columns, where the one that is read
            from them is not wanted; or None.
        max_iter: Most passes over the rows, at least 1; by default about 18,000 steps,
            most of which are not taken: see `tol`.
        batch_size: Rows a step, at least 1; by default 128, or 32 under 10,000 rows.
        learning_rate_init: Learning rate of Adam, above 0.
        early_stopping: Whether some rows are held out, training stops when the error on them no
            longer falls, and the best weights are taken. Else it stops when the error on the
            training rows no longer falls, with the last weights.
        validation_fraction: Share of the rows that are held out, in (0, 1), where `early_stopping`.
        n_iter_no_change: Passes without a lower error after which training stops, at least 1.
        tol: By how much the mean squared error must fall to count as lower, as a share of the
            variance of the scaled rows, at least 0; None for training to the end.
        random_state: Integer for the same weights in each fit, `RandomState`, or None.
        verbose: 0 for silence, 1 for a progress bar, 2 for a line a pass.
        layer: "codings", or the name of another layer, "hidden_1" for example, whose outputs are
            the features.

    Attributes:
        model_: The fitted `kerasae.Autoencoder`.
        schema_: The `kerasae.tables.Schema` of a table of mixed columns, or None.
        history_: Loss and errors of each pass by name, as `kerasae.plots.loss_curve` takes them.
        loss_curve_: The loss of each pass.
        n_iter_: Number of passes.
        n_samples_seen_: Number of rows that the scaler has seen.
        n_features_in_: Number of columns.
        feature_names_in_: Names of the columns, where `fit` was given a table with names.

    Weights and copies of a row train the same model where the rows make one step of `batch_size`;
    in several steps they differ by what the batches are.

    Raises:
        ValueError: In `fit`: a parameter that is out of its range or does not go with the family,
            rows that are not finite, or training that diverges.

    Reference: Hinton and Salakhutdinov (2006), Reducing the dimensionality of data with neural
    networks.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> x = load_iris().data
        >>> features = AutoencoderTransformer(hidden_units=(4, 2), max_iter=5, random_state=0)
        >>> features.fit_transform(x).shape
        (150, 2)
        >>> features.inverse_transform(features.transform(x[:3])).shape
        (3, 4)
        >>> features.get_feature_names_out().tolist()
        ['autoencodertransformer0', 'autoencodertransformer1']
    """

    def __init__(
        self,
        family: str | Callable[..., Autoencoder] = "stacked",
        hidden_units: int | Sequence[int] | None = None,
        *,
        activation: str | Callable[..., Any] | None = None,
        corruption: str | None = None,
        tied: bool | None = None,
        rho: float | None = None,
        beta: float | None = None,
        k: int | None = None,
        winners: float | None = None,
        likelihood: str | None = None,
        prior: str | None = None,
        scaler: str = "auto",
        image_shape: Sequence[int] | None = None,
        schema: Schema | None = None,
        max_iter: int | None = None,
        batch_size: int | None = None,
        learning_rate_init: float = 0.001,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float | None = 1e-4,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        layer: str = "codings",
    ) -> None:
        super().__init__(
            family,
            hidden_units,
            activation=activation,
            corruption=corruption,
            tied=tied,
            rho=rho,
            beta=beta,
            k=k,
            winners=winners,
            likelihood=likelihood,
            prior=prior,
            scaler=scaler,
            image_shape=image_shape,
            schema=schema,
            max_iter=max_iter,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            random_state=random_state,
            verbose=verbose,
        )
        self.layer = layer

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Trains an autoencoder on rows.

        Args:
            X: Rows, array or table of shape (rows, columns).
            y: Ignored.
            sample_weight: Weight of each row, shape (rows,), at least 0, or None.

        Returns:
            The estimator.
        """
        self._fit(X, sample_weight)
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Trains for one pass over rows; the first ones decide on the widths.

        The scaler follows the mean and the spread of all.

        Args:
            X: Rows, array or table of shape (rows, columns).
            y: Ignored.
            sample_weight: Weight of each row, shape (rows,), at least 0, or None.

        Returns:
            The estimator.
        """
        self._partial_fit(X, sample_weight)
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """The codings of rows.

        Args:
            X: Rows, array or table of shape (rows, columns).

        Returns:
            float32 array of shape (rows, codings), or what `set_output` asks for.
        """
        rows = self._rows(X)
        return deep_features(self.model_, rows, self.layer).reshape(len(rows), -1)

    def inverse_transform(self, X: Any) -> Any:  # noqa: N803
        """Rows from their codings.

        Args:
            X: Codings as `transform` returns them, shape (rows, codings).

        Returns:
            float32 array of shape (rows, columns), in the units of the rows; a table where `fit`
            was given one of mixed columns.

        Raises:
            ValueError: `layer` is not "codings", or the codings have another shape.
        """
        check_is_fitted(self)
        if self.layer != "codings":
            raise ValueError(
                "layer must be 'codings' to be turned back into rows. "
                f"Received: layer={self.layer!r}"
            )
        codings = check_array(X, dtype=np.float32)
        shape = self.model_.decoder.input_shape[1:]
        if codings.shape[1] != self._n_features_out:
            raise ValueError(
                f"X must be rows of {self._n_features_out} codings. "
                f"Received: X of shape {codings.shape}"
            )
        rows = self.model_.decode(codings.reshape(len(codings), *shape))
        return rows if self.schema_ is not None else rows.reshape(len(rows), -1)

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """How well rows are reconstructed, for a search over parameters other than `scaler`.

        Args:
            X: Rows, array or table of shape (rows, columns).
            y: Ignored.

        Returns:
            The mean squared error on the scaled values, negative: higher is better.
        """
        return -float(self.model_.reconstruction_error(self._rows(X)).mean(dtype="float64"))

    @property
    def _n_features_out(self):
        half = self.model_.encoder
        if self.layer == "codings":
            return int(np.prod(half.output_shape[1:]))
        layers = {one.name: one for part in (half, self.model_.decoder) for one in part.layers}
        return int(np.prod(layers[self.layer].output.shape[1:]))

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn must know: codings are float32, whatever the rows are."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
