"""What `kerasae train` prints of a model: its errors beside those of PCA."""

from typing import TYPE_CHECKING

from kerasae.cli.terminal import console

if TYPE_CHECKING:
    import numpy as np

    from kerasae.datasets import Data
    from kerasae.models import Autoencoder


def compare_with_pca(
    autoencoder: "Autoencoder", rows: "Data"
) -> tuple[dict[str, float], "np.ndarray | None"]:
    """Prints the errors of a model and of PCA with as many components.

    Args:
        autoencoder: The model.
        rows: Data to train and test on.

    Returns:
        The errors by name, and PCA's error of each column or None.
    """
    return (_of_rows if rows.schema is None else _of_table)(autoencoder, rows)


def _of_rows(autoencoder, rows):
    import numpy as np
    from rich.table import Table

    from kerasae.report.findings import scaled as on_scale
    from kerasae.report.principal import principal

    codings = int(np.prod(autoencoder.encoder.output_shape[1:]))
    parts = {"train": rows.x_train, "test": rows.x_test}

    def few(x):
        """Scaled rows of about 50 million values at most, for PCA."""
        some = x[:: -(-x.size // 50_000_000)]
        return on_scale(autoencoder, some).reshape(len(some), -1)

    scaled = {name: few(x) for name, x in parts.items()}
    # With as many components as columns it is the identity.
    compared, by_column = codings < scaled["train"].shape[1], None
    components = min(codings, *scaled["train"].shape)
    if compared:
        by_pca = principal(scaled["train"], components)
    metrics = {}
    table = Table("mean squared error (scaled)", *parts)
    for who in (autoencoder.name, f"PCA, {components} components")[: 1 + compared]:
        errors = []
        for name, x in parts.items():
            if who == autoencoder.name:
                key, error = f"{name}_mse", autoencoder.reconstruction_error(x).mean()
            else:
                by_column = np.square(scaled[name] - by_pca(scaled[name])).mean(axis=0)
                key, error = f"pca_{name}_mse", by_column.mean()
            metrics[key] = float(error)
            errors.append(f"{error:.5f}")
        table.add_row(who, *errors)
    console.print(table)
    return metrics, by_column


def _of_table(autoencoder, rows):
    import numpy as np
    from keras import ops
    from rich.table import Table

    from kerasae.report.principal import principal

    encoder, codings = autoencoder.scaler, int(np.prod(autoencoder.encoder.output_shape[1:]))
    train, test = rows.x_train, rows.x_test
    encoded = ops.convert_to_numpy(encoder(train))
    by_pca = principal(encoded, min(codings, *encoded.shape))(ops.convert_to_numpy(encoder(test)))
    usual = np.repeat(encoded.mean(axis=0, keepdims=True), len(test), axis=0)
    back = {
        autoencoder.name: autoencoder.reconstruct(test),
        f"PCA, {codings} components": ops.convert_to_numpy(encoder.inverse(by_pca)),
        "mean, most frequent": ops.convert_to_numpy(encoder.inverse(usual)),
    }
    error = float(autoencoder.reconstruction_error(test).mean())
    metrics = {"test_table_error": error}
    metrics["train_table_error"] = float(autoencoder.reconstruction_error(train).mean())
    table = Table("test rows", "numbers: R2", "levels: right")
    for who, found in back.items():
        r2, right = of_cells(rows.schema, test, found, train)
        table.add_row(who, *("" if one is None else f"{one:.3f}" for one in (r2, right)))
        short = {autoencoder.name: "test", "mean, most frequent": "usual"}.get(who, "pca_test")
        own = {"r2": r2, "accuracy": right}
        metrics |= {f"{short}_{n}": float(v) for n, v in own.items() if v is not None}
    console.print(table)
    console.print(f"error of test rows {error:.5f}, where knowing nothing of a row has 1")
    return metrics, None


def of_cells(schema, codes, found, train):
    """Mean R2 of numbers and mean accuracy of levels, None where there are none."""
    import numpy as np

    r2, right = [], []
    for i, column in enumerate(schema):
        seen = ~np.isnan(codes[:, i])
        if not seen.any():
            continue
        cells, guess = codes[seen, i].astype("float64"), found[seen, i]
        if column.levels:
            right.append(np.mean(cells == guess))
        elif (spread := np.square(cells - np.nanmean(train[:, i])).mean()) > 0:
            r2.append(1 - np.square(cells - guess).mean() / spread)
    return tuple(float(np.mean(one)) if one else None for one in (r2, right))
