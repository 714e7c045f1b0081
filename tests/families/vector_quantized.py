"""Its builder."""

from families.vector_quantizer import VectorQuantizer
from kerasae.models.zoo.arguments import passes_on_to
from kerasae.models.zoo.stacked import stacked_autoencoder


@passes_on_to(stacked_autoencoder)
def vector_quantized_autoencoder(
    input_shape, hidden_units, *, codes=32, name="vector_quantized_autoencoder", **options
):
    bottleneck = VectorQuantizer(codes, name="quantizer")
    return stacked_autoencoder(
        input_shape, hidden_units, bottleneck=bottleneck, name=name, **options
    )
