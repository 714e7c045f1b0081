"""Its builder."""

from families.top_k import TopK
from kerasae.models.zoo.arguments import passes_on_to
from kerasae.models.zoo.stacked import stacked_autoencoder


@passes_on_to(stacked_autoencoder)
def top_k_autoencoder(
    input_shape, hidden_units, *, k=4, activation="relu", name="top_k_autoencoder", **options
):
    return stacked_autoencoder(
        input_shape,
        hidden_units,
        activation=activation,
        codings_activation="linear",
        bottleneck=TopK(k, name="top_k"),
        name=name,
        **options,
    )
