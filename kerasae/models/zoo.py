"""The zoo: one builder function a family."""

import math
import warnings

import keras

from kerasae.door import check_count, unknown
from kerasae.layers.corruption import GaussianCorruption
from kerasae.layers.sparsity import ACTIVATION_RANGES, KLSparsityRegularizer
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.stacks import dense_decoder, dense_encoder


def stacked_autoencoder(
    input_shape,
    hidden_units,
    *,
    activation="tanh",
    output_activation="linear",
    corruption=None,
    bottleneck=None,
    scaler=None,
    columns=None,
    name="stacked_autoencoder",
):
    """A symmetric stack of dense layers, compiled.

    With one hidden layer and a linear output it finds at best the subspace of PCA (Bourlard and
    Kamp, 1988); more layers can do better than PCA at the same number of codings.

    Args:
        input_shape: Shape of one row: `(columns,)`, or the number of columns.
        hidden_units: Widths of the encoder's layers, the codings' last, mirrored by the decoder:
            `(300, 100)` makes 300-100-300. A single number stands for one layer.
        activation: Name of a Keras activation, or a callable, for the hidden layers and codings.
        output_activation: The same for the reconstruction, on the scaled values.
        corruption: `GaussianCorruption`, `SaltPepperDropout` or another layer before the first
            hidden one, on the scaled values; or None.
        bottleneck: `KLSparsityRegularizer` or another layer after the codings; or None.
        scaler: An adapted `RangeScaling` or `keras.layers.Normalization`, a
            `keras.layers.Rescaling`, or None for rows that are scaled already.
        columns: Names of the columns, or None.
        name: Name of the model.

    Returns:
        An `Autoencoder` with Adam and mean squared error.

    Raises:
        ValueError: Widths that are not whole numbers of at least 1, an unknown activation, or a
            sparsity whose range is not the activation's.

    Warns:
        UserWarning: The codings are at least as many as the columns, and nothing keeps the model
            from learning the identity.

    Reference: Hinton and Salakhutdinov (2006), Reducing the dimensionality of data with neural
    networks.

    Example:
        >>> model = stacked_autoencoder((64,), (32, 8))
        >>> [layer.name for layer in model.encoder.layers + model.decoder.layers]
        ['hidden_1', 'codings', 'hidden_3', 'output']
    """
    input_shape = _as_tuple("input_shape", input_shape)
    hidden_units = _as_tuple("hidden_units", hidden_units)
    if len(input_shape) != 1:
        raise ValueError(
            "A dense stack takes rows of columns; flatten images first. "
            f"Received: input_shape={input_shape}"
        )
    for argument in (activation, output_activation):
        _check_activation(argument)
    if isinstance(bottleneck, KLSparsityRegularizer):
        _check_range(activation, bottleneck)
    if hidden_units[-1] >= math.prod(input_shape) and corruption is None and bottleneck is None:
        warnings.warn(
            f"{hidden_units[-1]} codings for {math.prod(input_shape)} columns: nothing keeps the "
            "model from learning the identity; add a corruption or a sparse bottleneck, or use "
            "fewer codings",
            UserWarning,
            stacklevel=2,
        )
    encoder = dense_encoder(
        input_shape,
        hidden_units,
        activation=activation,
        corruption=corruption,
        bottleneck=bottleneck,
    )
    decoder = dense_decoder(
        input_shape, hidden_units, activation=activation, output_activation=output_activation
    )
    model = Autoencoder(encoder, decoder, scaler, columns, name=name)
    model.compile()
    return model


def sparse_autoencoder(
    input_shape,
    hidden_units,
    *,
    rho=-0.1,
    beta=0.01,
    activation="tanh",
    name="sparse_autoencoder",
    **arguments,
):
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
        name: Name of the model.
        **arguments: Other arguments of `stacked_autoencoder`.

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
    _check_activation(activation)
    sparsity = KLSparsityRegularizer(rho, beta, _bounded_range(activation), name="sparsity")
    return stacked_autoencoder(
        input_shape,
        hidden_units,
        activation=activation,
        bottleneck=sparsity,
        name=name,
        **arguments,
    )


def denoising_autoencoder(
    input_shape, hidden_units, *, corruption=None, name="denoising_autoencoder", **arguments
):
    """A stack that learns to restore rows from corrupted ones, compiled.

    Its inputs are corrupted in training only; the target is the clean row, and so is what it is
    validated on. The codings may be more than the columns.

    Args:
        input_shape: Shape of one row: `(columns,)`, or the number of columns.
        hidden_units: Widths of the encoder's layers, the codings' last.
        corruption: `GaussianCorruption`, `SaltPepperDropout` or another layer, on the scaled
            values; by default Gaussian noise with a standard deviation of 0.2.
        name: Name of the model.
        **arguments: Other arguments of `stacked_autoencoder`.

    Returns:
        An `Autoencoder` with Adam and mean squared error.

    Raises:
        ValueError: What `stacked_autoencoder` refuses.

    Reference: Vincent et al. (2008), Extracting and composing robust features with denoising
    autoencoders.

    Example:
        >>> model = denoising_autoencoder((64,), 100)
        >>> model.encoder.layers[0].name, model.encoder.layers[0].stddev
        ('corruption', 0.2)
    """
    if corruption is None:
        corruption = GaussianCorruption(0.2, name="corruption")
    return stacked_autoencoder(
        input_shape, hidden_units, corruption=corruption, name=name, **arguments
    )


ZOO = {
    "stacked": stacked_autoencoder,
    "sparse": sparse_autoencoder,
    "denoising": denoising_autoencoder,
}


def _as_tuple(name, value):
    values = tuple(value) if hasattr(value, "__iter__") else (value,)
    if not values or isinstance(value, str):
        raise ValueError(f"{name} must be whole numbers, (300, 100). Received: {name}={value!r}")
    for one in values:
        check_count(name, one)
    return tuple(map(int, values))


def _check_activation(activation):
    if isinstance(activation, str):
        known = [
            name
            for name in dir(keras.activations)
            if name[0] != "_" and name not in ("get", "serialize", "deserialize")
        ]
        if activation not in known:
            raise ValueError(unknown("activation", activation, known))


def _activation_name(activation):
    return activation if isinstance(activation, str) else getattr(activation, "__name__", "")


def _bounded_range(activation):
    """The range of an activation, or an error that says which have one."""
    name = _activation_name(activation)
    if name not in ACTIVATION_RANGES:
        raise ValueError(
            f"KL sparsity needs a bounded activation; expected one of "
            f"{', '.join(ACTIVATION_RANGES)}. Received: activation={name or activation}"
        )
    return ACTIVATION_RANGES[name]


def _check_range(activation, sparsity):
    name = _activation_name(activation)
    if name and not hasattr(keras.activations, name):
        return  # a function of the user's own: its range is the user's to know
    expected = _bounded_range(activation)
    if expected != tuple(sparsity.activation_range):
        raise ValueError(
            f"The activation_range of the sparsity must be that of {name}, {expected}. "
            f"Received: {sparsity.activation_range}"
        )
