"""How much codings move with the row: the norm of the encoder's Jacobian."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from kerasae.layers.base import LayerOptions, PassThrough, is_identity_at_inference
from kerasae.layers.beta import add_beta
from kerasae.layers.seeded import SeededLayer

# The derivative of an activation at the place where its output is y.
DERIVATIVES = {
    "linear": ops.ones_like,
    "tanh": lambda y: 1 - ops.square(y),
    "sigmoid": lambda y: y * (1 - y),
    "softsign": lambda y: ops.square(1 - ops.abs(y)),
    "softplus": lambda y: -ops.expm1(-y),
    "relu": lambda y: ops.cast(y > 0, y.dtype),
    "elu": lambda y: ops.where(y > 0, ops.ones_like(y), y + 1),
}
LINEAR = (keras.layers.Flatten, keras.layers.Reshape)
KERNELS = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D)
# By how much, beside values of about 1, the inputs of recurrent layers are moved.
MOVE, MOVE_IN_HALF = 0.01, 0.1


def jacobian_norm(layers: Sequence[keras.layers.Layer], x: Any) -> Any:
    r"""Squared Frobenius norm of the Jacobian of dense layers, exact, row by row.

    $$\lVert J \rVert_F^2, \quad J = D_L W_L^\top \cdots D_1 W_1^\top, \quad
    D_l = \mathrm{diag}(\phi'(W_l^\top h_{l-1} + b_l))$$

    J is multiplied out from the codings, whose number is small, towards the input; for one layer
    this is $\sum_j \phi'_j{}^2 \lVert w_j \rVert^2$ without any product.

    Args:
        layers: Built dense layers, input first; dropout, corruptions and penalties between them
            count as the identity.
        x: Inputs of the first, shape (batch, columns).

    Returns:
        A float32 tensor of shape (batch,).

    Reference: Rifai et al. (2011), Contractive auto-encoders, equation 5, for one layer.

    Example:
        >>> dense = keras.layers.Dense(2, kernel_initializer="ones")
        >>> dense.build((None, 3))
        >>> float(jacobian_norm([dense], ops.ones((1, 3)))[0])
        6.0
    """
    steps = [step for step in _steps(layers, x) if step[1] is not None]
    slopes = [slope for _, _, slope in steps]
    kernels = [ops.cast(layer.kernel, "float32") for layer, _, _ in steps]
    first, *others = kernels
    if not others:
        return ops.matmul(ops.square(slopes[0]), ops.sum(ops.square(first), axis=0))
    # (batch, codings, width of the layer below), times that layer's slopes.
    down = ops.expand_dims(slopes[-1], 2) * ops.transpose(others[-1])
    for kernel, slope in zip(others[-2::-1], slopes[-2:0:-1], strict=True):
        down = ops.matmul(down * ops.expand_dims(slope, 1), ops.transpose(kernel))
    down = down * ops.expand_dims(slopes[0], 1)
    if first.shape[0] < first.shape[1]:
        return ops.sum(ops.square(ops.matmul(down, ops.transpose(first))), axis=(1, 2))
    # The norm of A W^T is that of A under W^T W, which is smaller than W here.
    gram = ops.matmul(ops.transpose(first), first)
    return ops.sum(ops.matmul(down, gram) * down, axis=(1, 2))


def jacobian_norm_estimate(layers: Sequence[keras.layers.Layer], x: Any, directions: Any) -> Any:
    r"""Unbiased estimate of the squared Frobenius norm of the Jacobian, row by row.

    $$E \lVert J v \rVert^2 = \lVert J \rVert_F^2 \text{ where } E[v v^\top] = I$$

    J v is carried forward through the layers, at the cost of one more pass. Through recurrent
    layers it is the central difference $(f(x + \epsilon v) - f(x - \epsilon v)) / 2 \epsilon$.

    Args:
        layers: Built dense, convolutional (Conv1D, Conv2D), recurrent, flattening and reshaping
            layers.
        x: Inputs of the first, shape (batch, ...).
        directions: Random v of the shape of x, with independent entries of mean 0 and variance 1.

    Returns:
        A float32 tensor of shape (batch,), one estimate for each row's direction.

    Reference: Hutchinson (1990), A stochastic estimator of the trace of the influence matrix.
    """
    moved = ops.cast(directions, "float32")
    for layer, linear, slope in _steps(layers, x):
        moved = layer(moved) if linear is None else slope * linear(moved)
    return ops.sum(ops.square(moved), axis=tuple(range(1, len(moved.shape))))


def _steps(layers, x):
    """For each layer that does something: itself, its linear part and its slopes at x, or None."""
    h = ops.cast(x, "float32")
    steps = []
    for layer in layers:
        if is_identity_at_inference(layer):
            continue
        if isinstance(layer, LINEAR):
            h = layer(h)
            steps.append((layer, None, None))
            continue
        if isinstance(layer, keras.layers.RNN):
            steps.append((functools.partial(_central_difference, layer, h), None, None))
            h = ops.cast(layer(h), "float32")
            continue
        derivative = _derivative(layer)
        kernel = ops.cast(layer.kernel, "float32")
        linear = _linear(layer, kernel)
        h = linear(h)
        if layer.use_bias:
            h = h + ops.cast(layer.bias, "float32")
        h = layer.activation(h)
        steps.append((layer, linear, derivative(h)))
    return steps


def _central_difference(layer, h, direction):
    """The derivative of a layer's output at h along a direction."""
    axes = tuple(range(1, len(h.shape)))
    length = ops.sqrt(ops.mean(ops.square(direction), axis=axes, keepdims=True))
    move = MOVE if layer.compute_dtype == "float32" else MOVE_IN_HALF
    size = move / ops.maximum(ops.stop_gradient(length), 1e-6)
    ahead, behind = (ops.cast(layer(h + sign * size * direction), "float32") for sign in (1, -1))
    return (ahead - behind) / (2 * ops.reshape(size, (-1,) + (1,) * (len(ahead.shape) - 1)))


def _linear(layer, kernel):
    if isinstance(layer, keras.layers.Dense):
        return lambda h: ops.matmul(h, kernel)
    return lambda h: layer.convolution_op(h, kernel)


def _derivative(layer):
    name = getattr(getattr(layer, "activation", None), "__name__", None)
    if not isinstance(layer, KERNELS) or name not in DERIVATIVES:
        what = f"{type(layer).__name__} with activation {name}" if name else type(layer).__name__
        raise ValueError(
            "layers must be recurrent, or Dense, Conv1D or Conv2D with one of the activations "
            f"{', '.join(DERIVATIVES)} for a known Jacobian. Received: {layer.name}, a {what}"
        )
    return DERIVATIVES[name]


@keras.saving.register_keras_serializable("kerasae")
class ContractivePenalty(SeededLayer, PassThrough):
    r"""Weighs the squared norm of an encoder's Jacobian.

    $$\beta \frac{1}{n} \sum_{i=1}^{n} \left\lVert \frac{\partial h}{\partial x}(x_i)
    \right\rVert_F^2$$

    over the scaled values x and codings h. Exact for dense encoders (`jacobian_norm`); for
    convolutional and recurrent ones an unbiased estimate by one random direction a row
    (`jacobian_norm_estimate`). In float32 under every dtype policy. It stands anywhere in an
    encoder, whose Jacobian it weighs in training, and passes its input through.

    Args:
        beta: Weight, at least 0. It becomes the variable `beta`, as in `KLSparsityRegularizer`.
        seed: Integer, or None for a random one, of the estimate.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `beta` is negative or not finite.

    Reference: Rifai et al. (2011), Contractive auto-encoders: explicit invariance during feature
    extraction.

    Example:
        >>> dense = keras.layers.Dense(2, kernel_initializer="ones")
        >>> dense.build((None, 3))
        >>> float(ContractivePenalty(0.5).weighted_norm([dense], ops.ones((4, 3))))
        3.0
    """

    identity_at_inference = True

    def __init__(
        self, beta: float, seed: int | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(seed, **kwargs)
        self.beta = add_beta(self, beta)
        self._encoder: Callable[[], keras.Model] | None = None
        self.built = True

    @property
    def stops_identity(self) -> bool:
        """Whether the penalty has any weight."""
        return float(ops.convert_to_numpy(self.beta)) > 0

    def call(self, inputs):
        return inputs

    def tie(self, encoder: keras.Model, decoder: keras.Model) -> None:
        """Takes the encoder whose Jacobian is to be weighed."""
        self.check(encoder.layers)
        self._encoder = lambda: encoder  # out of sight of Keras

    def penalty(self, x: Any, codings: Any, reconstruction: Any) -> Any:
        """The penalty of the encoder that it was tied to, a scalar."""
        return None if self._encoder is None else self.weighted_norm(self._encoder().layers, x)

    def check(self, layers: Sequence[keras.layers.Layer]) -> None:
        """Refuses layers whose Jacobian is not known."""
        for layer in layers:
            known = isinstance(layer, (*LINEAR, keras.layers.RNN))
            if not (known or is_identity_at_inference(layer)):
                _derivative(layer)

    def weighted_norm(self, layers: Sequence[keras.layers.Layer], x: Any) -> Any:
        """The penalty over a batch of scaled rows, a scalar."""
        return self.beta * ops.mean(self.norms(layers, x))

    def norms(self, layers: Sequence[keras.layers.Layer], x: Any) -> Any:
        """The squared norm of each of the scaled rows, or its estimate, (batch,)."""
        if all(
            isinstance(one, keras.layers.Dense) or is_identity_at_inference(one) for one in layers
        ):
            return jacobian_norm(layers, x)
        coins = keras.random.uniform(ops.shape(x), dtype="float32", seed=self.seed_generator)
        return jacobian_norm_estimate(layers, x, ops.sign(coins - 0.5))
