"""A TF-Serving-compatible subset for laptops and tests: REST and gRPC over `NAME/VERSION/`."""

try:
    from kerasae.serving.server import Server
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error.name} must be installed for kerasae.serving. Try pip install 'kerasae[serve]'",
        name=error.name,
    ) from error

__all__ = ["Server"]
