"""A TF-Serving-compatible subset for laptops and tests: REST and gRPC over `NAME/VERSION/`."""

try:
    from kerasae.serving.server import Server
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"no module {error.name} (kerasae.serving); expected the extra serve; "
        "try pip install 'kerasae[serve]'",
        name=error.name,
    ) from error

__all__ = ["Server"]
