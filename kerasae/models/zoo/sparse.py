"""Sparse codings: by a Kullback-Leibler penalty on their mean activation."""

from typing import Unpack

from kerasae.layers.sparsity import KLSparsityRegularizer
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.zoo.arguments import (
    Activation,
    Shape,
    StackOptions,
    bounded_range,
    check_activation,
    passes_on_to,
)
from kerasae.models.zoo.stacked import stacked_autoencoder


@passes_on_to(stacked_autoencoder, sets=("bottleneck",))
def sparse_autoencoder(
    input_shape: Shape,
    hidden_units: Shape,
    *,
    rho: float = -0.1,
    beta: float = 0.01,
    activation: Activation = "tanh",
    codings_activation: Activation | None = None,
    name: str = "sparse_autoencoder",
    **options: Unpack[StackOptions],
) -> Autoencoder:
    """A stack whose codings are pulled towards a small mean activation, compiled.

    The loss is the mean squared error plus beta times the sum over the codings of KL(rho ||
    rho_hat); see `KLSparsityRegularizer`. The codings may be more than the columns.

    Args:
        input_shape: Shape of one row: `(columns,)`, or the number of columns.
        hidden_units: Widths of the encoder's layers, the codings' last.
        rho: Target of the mean activation, strictly inside the activation's range; the lower bound
            (-1 for tanh, 0 for sigmoid) is a unit that is always off.
        beta: Weight of the penalty, at least 0.
        activation: A bounded one: tanh, softsign, hard_tanh, sigmoid or hard_sigmoid.
        codings_activation: The same for the codings; by default that of the hidden layers.
        name: Name of the model.
        **options: Other arguments of `stacked_autoencoder`.

    Returns:
        An `Autoencoder` with Adam and mean squared error.

    Raises:
        ValueError: `rho` lies outside the activation's range, `beta` is negative, the activation is
            unbounded, or what `stacked_autoencoder` refuses.

    Reference: Ng (2011), Sparse autoencoder, CS294A lecture notes.

    Example:
        >>> model = sparse_autoencoder((64,), 100, rho=0.05, beta=0.1, activation="sigmoid")
        >>> model.encoder.layers[-1].activation_range
        (0.0, 1.0)
    """
    of_codings = codings_activation or activation
    check_activation(of_codings)
    sparsity = KLSparsityRegularizer(rho, beta, bounded_range(of_codings), name="sparsity")
    return stacked_autoencoder(  # type: ignore[misc]
        input_shape,
        hidden_units,
        activation=activation,
        codings_activation=codings_activation,
        bottleneck=sparsity,
        name=name,
        **options,
    )
